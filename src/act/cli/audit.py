"""`actctl audit`: reading the log, taking it away, and proving it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from act.cli.command import Group, confirm, wants_json, yes_option
from act.cli.connection import connected
from act.cli.durations import Duration
from act.cli.files import SHARED, new_file
from act.cli.output import Column, print_json, print_list, print_one, say
from act.cli.records import COLUMNS, filter_options, with_ids
from act.cli.tail import follow

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import AuditArchive, AuditRecord, Checkpoint, InclusionProof

_ARCHIVES: list[Column[AuditArchive]] = [
    ("first", lambda one: one.first),
    ("end", lambda one: one.end),
    ("from", lambda one: one.first_at),
    ("to", lambda one: one.last_at),
    ("file", lambda one: one.file),
    ("bytes", lambda one: one.bytes),
    ("removed", lambda one: one.removed == one.end),
    ("sha256", lambda one: one.sha256),
]
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
    """One record, and what is kept of its arguments."""
    with connected() as act:
        found = act.audit.get(index)
    members: list[Column[AuditRecord]] = [("leafHash", lambda line: line.leaf_hash)]
    members += [(name, partial(_member, name)) for name in found.record]
    if found.arguments is not None:
        members.append(("arguments", lambda line: line.arguments))
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
        found = _story(act, id)
        last = max((one.end for one in act.audit.archives()), default=0)
    nothing = f"No record of a conversation, a task or a decision {id!r}."
    print_list(found, COLUMNS, nothing=nothing)
    if last:
        say(f"The records before {last} are archived, and were not looked at; see `actctl audit archives`.")


def _story(act: Act, id: str) -> list[AuditRecord]:
    for name in ("conversation", "task", "decision_id"):
        wanted: dict[str, Any] = {name: id}
        found = {line.index: line for line in act.audit.list(**wanted, order="asc", limit=200)}
        if found:
            break
    # What people said is known by the decision that asked them.
    asked = {line.record["decisionId"] for line in found.values() if "approvalId" in line.record}
    for decision_id in asked:
        found |= {line.index: line for line in act.audit.list(decision_id=decision_id)}
    return [found[index] for index in sorted(found)]


@audit.command()
@click.option("--file", type=click.Path(path_type=Path), help="Write there instead of stdout, whole or not at all.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="FILE", help="Go on with an export to FILE.")
def export(file: Path | None, resume: Path | None) -> None:
    """The whole log as JSON lines.

    Every record exactly as it was hashed; a signed checkpoint closes them. `actctl audit verify` proves it offline.
    A program should ask for --file, or check the exit code. Records that are in archives are not exported again.

    What an export that broke off had is kept in FILE.partial. With --resume it goes on from there, or from the end of
    FILE when that is whole; every hash of what is there is computed again first.

    \b
    Example:
      actctl audit export --resume log.jsonl
    """
    from act.cli import export as exports

    if file is not None and resume is not None:
        raise click.UsageError("Give --file or --resume, not both.")
    with connected() as act:
        if resume is not None:
            there, came = exports.resume(act, resume)
            say(f"Exported {came} records to {resume}, beside {there} that were there.")
            return
        count = exports.to_stream(act, sys.stdout.buffer) if file is None else exports.to_file(act, file)
    say(f"Exported {count} records{f' to {file}' if file else ''}.")


@audit.command()
@click.option(
    "--older-than", type=Duration(), metavar="AGE", help="For example 90d.  [default: the tenant's retention]"
)
def archive(older_than: int | None) -> None:
    """Move the oldest records into archives.

    Archives are files beside the server's database. Each proves itself (`actctl audit verify FILE...`), and is read
    back before anything is removed. At least the last day stays. `actctl audit archives` says what is where.

    \b
    Example:
      actctl audit archive --older-than 365d
    """
    made: list[AuditArchive] = []
    with connected() as act:
        more = True
        while more:
            sealed = act.audit.archive(older_than)
            made += [sealed.archive] if sealed.archive is not None else []
            more = sealed.has_more
    print_list(made, _ARCHIVES, nothing="Nothing is old enough.")


@audit.command()
def archives() -> None:
    """Which of the oldest records are in which file."""
    with connected() as act:
        print_list(act.audit.archives(), _ARCHIVES, nothing="No archives.")


@audit.command()
@click.argument("index", type=click.IntRange(0), required=False)
@click.option("--agent", help="Of this agent (id or name).")
@click.option("--requester", help="That this agent asked for (id or name).")
@click.option("--on-behalf-of", metavar="USER", help="On behalf of this user.")
@click.option("--before", metavar="TIME", help="Before this moment, RFC 3339.")
@click.option("--reason", required=True, help="For the record.")
@yes_option
def erase(index: int | None, reason: str, yes: bool, **whose: str | None) -> None:
    """Erase what was kept of arguments.

    Of one decision, or of all that match. Approvals that are settled lose them, too. The log itself stays as it is, and
    valid; it tells who erased what, and why. Exports, archives and backups that were made before still have it.

    \b
    Examples:
      actctl audit erase 1729 --reason "case 7"
      actctl audit erase --on-behalf-of user:anna --reason "request of 2026-11-22"
    """
    if (index is None) == all(value is None for value in whose.values()):
        raise click.UsageError("Give an INDEX, or say whose: --agent, --requester, --on-behalf-of, --before.")
    confirm("Erase the arguments for good?", yes)
    with connected() as act:
        if index is not None:
            answers = [act.audit.erase(index, reason)]
        else:
            named = with_ids(act, {"agent": whose.pop("agent"), "requester": whose.pop("requester")})
            ids = {f"{name}_id": id for name, id in named.items()}
            answers = list(act.audit.erase_matching(reason, **ids, **whose))
    found = {
        "erased": sum(answer.erased for answer in answers),
        "approvals": sum(answer.approvals for answer in answers),
        "records": [answer.audit.index for answer in answers if answer.audit is not None],
        "overwritten": answers[-1].overwritten,
    }
    print_one(found, [(name, partial(_item, name)) for name in found])
    if not answers[-1].overwritten:
        say("The write-ahead log may still hold some of it; it is written over later, at a restart at the latest.")


def _item(name: str, found: dict[str, Any]) -> Any:
    return found[name]


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
def key() -> None:
    """The verifier key of the log, alone on stdout.

    Whoever has it elsewhere needs to trust nobody to verify an export.

    \b
    Example:
      actctl audit key > act.vkey && actctl audit verify log.jsonl --key "$(cat act.vkey)"
    """
    with connected() as act:
        head = act.audit.checkpoint()
    if wants_json():
        print_json({"verifierKey": head.verifier_key})
    else:
        click.echo(head.verifier_key)


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
@click.argument("files", metavar="[FILE]...", type=click.File("rb"), nargs=-1)
@click.option("--checkpoint", "notes", type=click.File("rb"), multiple=True, metavar="NOTE", help="A kept checkpoint.")
@click.option("--key", metavar="VERIFIERKEY", help="The log's verifier key, as it was kept elsewhere.")
@click.option("--database", help="Look at the logs in a database file instead, for example sqlite:///act.db.")
@click.option("--tenant", help="With --database: the log of this tenant alone.")
@click.pass_context
def verify(
    context: click.Context,
    files: tuple[IO[bytes], ...],
    notes: tuple[IO[bytes], ...],
    key: str | None,
    database: str | None,
    tenant: str | None,
) -> None:
    """Prove that a log is what it was.

    Every hash is computed again and every checkpoint checked; the exit code is 1 when one does not fit.

    With FILE (an export or an archive, - is stdin) no server is asked and none is trusted; without, the server's log is
    exported first. Archives and an export that go on from each other are one log. --checkpoint may be repeated.

    With --database the logs of all tenants are looked at as they are in the file; nothing in it is changed, and the
    server need not be stopped.

    \b
    Example:
      actctl audit verify log.jsonl --checkpoint kept.note --key "$VERIFIER_KEY"
      actctl audit verify act.db.archives/default-tenant/*.gz log.jsonl --key "$VERIFIER_KEY"
    """
    from act.cli.verify import NO_KEY, all_verified, spooled

    kept = {note.name: note.read().decode(errors="replace") for note in notes}
    if (database is None and tenant is not None) or (database is not None and files):
        raise click.UsageError("--tenant needs --database, and --database is in the place of FILE.")
    if database is not None:
        from act.cli.backup import verify_database

        verify_database(context, database, tenant, kept, key)
    with ExitStack() as stack:
        chunks: dict[str, Iterable[bytes]] = {file.name: file for file in files}
        if len(chunks) < len(files):
            raise click.UsageError("A file is given twice.")
        if len(files) == 1:
            chunks = {"the export": files[0]}
        if not files:
            act = stack.enter_context(connected())
            chunks = {"the export": (line + b"\n" for line in act.audit.export_lines())}
        exports = {name: stack.enter_context(spooled(one)) for name, one in chunks.items()}
        result = all_verified(exports, kept, key)
    if wants_json():
        print_json(result.as_json())
    else:
        print_one(
            result,
            [
                ("verified", lambda it: it.ok),
                ("records", lambda it: it.size - it.begin),
                ("root hash", lambda it: it.root),
                ("first bad index", lambda it: it.bad_index),
                ("kept checkpoints", lambda it: it.checkpoints),
                ("arguments erased", lambda it: it.erased),
                ("log", lambda it: it.origin),
            ],
        )
    say(result.message)
    if key is None:
        say(NO_KEY)
    context.exit(0 if result.ok else 1)
