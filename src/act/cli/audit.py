"""`actctl audit`: reading the log, taking it away, and proving it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from act.cli.command import Group, wants_json
from act.cli.connection import connected
from act.cli.files import SHARED, new_file
from act.cli.output import Column, print_json, print_list, print_one, say
from act.cli.records import COLUMNS, filter_options, with_ids
from act.cli.tail import follow

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import AuditRecord, Checkpoint, InclusionProof

NO_END = "The export is cut off: it does not end with a checkpoint. Export again."

_CHECKPOINT: list[Column[Checkpoint]] = [
    ("tenant", lambda head: head.tenant_id),
    ("size", lambda head: head.size),
    ("root hash", lambda head: head.root_hash),
    ("verifier key", lambda head: head.verifier_key),
]


_PROVEN: list[Column[InclusionProof]] = [
    ("index", lambda proof: proof.index),
    ("records", lambda proof: proof.size),
    ("leaf hash", lambda proof: proof.leaf_hash),
]


@click.group(cls=Group)
def audit() -> None:
    """What happened, and the proof of it."""


@audit.command("list")
@filter_options
@click.option("--since", metavar="TIME", help="RFC 3339, for example 2026-11-22T18:00:00Z.")
@click.option("--until", metavar="TIME", help="RFC 3339.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many records at most.")
@click.option("--all", "everything", is_flag=True, help="All records, however many.")
@click.option("--order", type=click.Choice(["desc", "asc"]), default="desc", help="[default: desc, the newest first]")
def list_records(limit: int, everything: bool, **filters: Any) -> None:
    """Records that match all filters, newest first.

    \b
    Example:
      actctl audit list --agent "Executor Agent" --decision denied
    """
    with connected() as act:
        page = 200 if everything else min(limit, 200)
        found = act.audit.list(**with_ids(act, filters), limit=page)
        print_list(found if everything else islice(found, limit), COLUMNS, nothing="No records.")


@audit.command()
@click.argument("index", type=click.IntRange(0))
def show(index: int) -> None:
    """One record, with everything its hash covers."""
    with connected() as act:
        found = act.audit.get(index)
    members: list[Column[AuditRecord]] = [("leafHash", lambda line: line.leaf_hash)]
    members += [(name, partial(_member, name)) for name in found.record]
    print_one(found, members)


def _member(name: str, line: AuditRecord) -> Any:
    return line.record[name]


@audit.command()
@click.argument("id")
def story(id: str) -> None:
    """One workflow, from first question to last outcome.

    ID is a conversation (context.conversationId), a task, or a decision.

    \b
    Example:
      actctl audit story order-4711
    """
    with connected() as act:
        print_list(_story(act, id), COLUMNS, nothing=f"No record of a conversation, a task or a decision {id!r}.")


def _story(act: Act, id: str) -> list[AuditRecord]:
    for name in ("conversation", "task", "decision_id"):
        found = {line.index: line for line in act.audit.list(**{name: id}, order="asc", limit=200)}
        if found:
            break
    # What people said is known by the decision that asked them.
    asked = {line.record["decisionId"] for line in found.values() if "approvalId" in line.record}
    for decision_id in asked:
        found |= {line.index: line for line in act.audit.list(decision_id=decision_id)}
    return [found[index] for index in sorted(found)]


@audit.command()
@click.option("--file", type=click.Path(path_type=Path), help="Write there instead of stdout, whole or not at all.")
def export(file: Path | None) -> None:
    """The whole log as JSON lines.

    Every record exactly as it was hashed; a signed checkpoint closes them. `actctl audit verify` proves it offline.
    A program should ask for --file, or check the exit code.
    """
    with connected() as act:
        lines = act.audit.export_lines()
        if file is None:
            size = _copy(lines, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with new_file(file, SHARED) as out:
                size = _copy(lines, out)
    say(f"Exported {size} records{f' to {file}' if file else ''}.")


def _copy(lines: Iterator[bytes], out: IO[bytes]) -> int:
    """How many records were copied."""
    count, last = 0, b""
    for line in lines:
        out.write(line + b"\n")
        count, last = count + 1, line
    if not last.startswith(b'{"checkpoint":'):
        raise click.ClickException(NO_END)
    return count - 1


@audit.command()
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the signed note there.")
def checkpoint(save: Path | None) -> None:
    """The signed head of the log.

    Kept elsewhere, it makes a shortened or rewritten log visible.

    \b
    Example:
      actctl audit checkpoint --save act-$(date +%F).note
    """
    with connected() as act:
        head = act.audit.checkpoint()
    if save is not None:
        with new_file(save, SHARED) as out:
            out.write(head.note.encode())
        say(f"The note is in {save}. Keep it and the verifier key where the server cannot change them.")
    print_one(head, _CHECKPOINT, None if save else {"note": head.note})


@audit.command()
@filter_options
@click.option("-n", "--lines", type=click.IntRange(0), default=10, show_default=True, help="Records to begin with.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between looks.")
def tail(lines: int, interval: float, **filters: Any) -> None:
    """The newest records, and more as they come.

    Until Ctrl-C. With -o json, one JSON object a line.
    """
    with connected() as act:
        follow(act, with_ids(act, filters), lines, interval)


@audit.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="act-witness", show_default=True, help="What the witness is called in its signatures.")
@click.option("--key", metavar="VERIFIERKEY", help="The log's verifier key, as it was kept elsewhere.")
@click.option("--every", type=click.FloatRange(1), metavar="SECONDS", help="Go on looking, until Ctrl-C.")
def witness(folder: Path, name: str, key: str | None, every: float | None) -> None:
    """Keep and cosign checkpoints, on another machine.

    FOLDER holds every checkpoint that was seen, and the keys. One that does not begin with all that was seen before
    is not signed, and the exit code is 1: the log was rewritten, or cut off.

    \b
    Example:
      actctl audit witness ./act-witness --key "$VERIFIER_KEY" --every 60
    """
    from act.cli.witness import Witness, watch

    if any(character.isspace() or character == "+" for character in name) or not name:
        raise click.UsageError("The name of a witness has no white space and no '+'.")
    keeper = Witness(folder, name, key)
    say(f"This witness is {keeper.verifier_key}")
    with connected() as act:
        watch(act, keeper, every)


@audit.command()
@click.argument("index", type=click.IntRange(0))
@click.option("--checkpoint", "note", type=click.File("rb"), metavar="NOTE", help="A kept checkpoint; else today's.")
@click.option("--key", metavar="VERIFIERKEY", help="The log's verifier key, as it was kept elsewhere.")
def prove(index: int, note: IO[bytes] | None, key: str | None) -> None:
    """Prove that one record is in the log that a checkpoint signed.

    The record is hashed here, and led to the signed root by a proof that the server has to give; the exit code is 1
    when it does not.

    \b
    Example:
      actctl audit prove 1729 --checkpoint kept.note --key "$VERIFIER_KEY"
    """
    from act.cli.verify import NO_KEY, proven

    with connected() as act:
        found = proven(act, index, None if note is None else note.read().decode(errors="replace"), key)
    print_one(found, _PROVEN)
    say(f"Record {index} is in the log of {found.size} records that the checkpoint signed.")
    if key is None:
        say(NO_KEY.replace("the export itself", "the server").replace("wrote the export", "runs it"))


@audit.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--checkpoint", "notes", type=click.File("rb"), multiple=True, metavar="NOTE", help="A kept checkpoint.")
@click.option("--key", metavar="VERIFIERKEY", help="The log's verifier key, as it was kept elsewhere.")
@click.pass_context
def verify(context: click.Context, file: IO[bytes] | None, notes: tuple[IO[bytes], ...], key: str | None) -> None:
    """Prove that a log is what it was.

    Every hash is computed again and every checkpoint checked; the exit code is 1 when one does not fit.

    With FILE (an export, - is stdin) no server is asked and none is trusted; without, the server's log is exported
    first. --checkpoint may be repeated.

    \b
    Example:
      actctl audit verify log.jsonl --checkpoint kept.note --key "$VERIFIER_KEY"
    """
    from act.cli.verify import NO_KEY, spooled, verified

    kept = {note.name: note.read().decode(errors="replace") for note in notes}
    with ExitStack() as stack:
        chunks: Iterable[bytes] | None = file
        if chunks is None:
            act = stack.enter_context(connected())
            chunks = (line + b"\n" for line in act.audit.export_lines())
        result = verified(stack.enter_context(spooled(chunks)), kept, key)
    if wants_json():
        print_json(result.as_json())
    else:
        print_one(
            result,
            [
                ("verified", lambda it: it.ok),
                ("records", lambda it: it.size),
                ("root hash", lambda it: it.root),
                ("first bad index", lambda it: it.bad_index),
                ("kept checkpoints", lambda it: it.checkpoints),
                ("log", lambda it: it.origin),
            ],
        )
    say(result.message)
    if key is None:
        say(NO_KEY)
    context.exit(0 if result.ok else 1)
