"""`actctl audit`: proving the log, by checkpoints that are kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from act.cli.command import Command, wants_json
from act.cli.connection import connected
from act.cli.files import SHARED, new_file
from act.cli.inputs import Number, Whole
from act.cli.output import Column, print_json, print_one, say

if TYPE_CHECKING:
    from act.cli.prove import Proven
    from act.cli.verify import Result
    from act.client.act import Act
    from act.models import Checkpoint

_CHECKPOINT: list[Column[Checkpoint]] = [
    ("tenant", lambda head: head.tenant_id),
    ("size", lambda head: head.size),
    ("root hash", lambda head: head.root_hash),
    ("verifier key", lambda head: head.verifier_key),
]
_PROVEN: list[Column[Proven]] = [
    ("index", lambda it: it.index),
    ("records", lambda it: it.size),
    ("leaf hash", lambda it: it.leaf_hash),
    ("root hash", lambda it: it.root_hash),
    ("arguments", lambda it: "proven" if it.arguments else None),
    ("log", lambda it: it.origin),
]
_VERIFIED: list[Column[Result]] = [
    ("verified", lambda it: it.ok),
    ("records", lambda it: it.size - it.begin),
    ("root hash", lambda it: it.root),
    ("first bad index", lambda it: it.bad_index),
    ("kept checkpoints", lambda it: it.checkpoints),
    ("arguments erased", lambda it: it.erased),
    ("gone unnamed", lambda it: it.unnamed),
    ("log", lambda it: it.origin),
]


def _text(note: IO[bytes]) -> str:
    """A note that was given as a file.

    Raises:
        click.ClickException: it is none.
    """
    try:
        return note.read().decode()
    except UnicodeDecodeError:
        raise click.ClickException(f"{note.name} is no signed note.") from None


def _not_empty(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The callback of --key: of a variable that is not set nothing is left, and nobody meant that."""
    if value is not None and not value.strip():
        raise click.BadParameter("It is empty; is the variable set?", param=parameter)
    return value


def _no_url(value: object) -> None:
    if str(value).lower().startswith(("http:", "https:")):
        raise click.BadParameter(f"{value} is no file. A server is named with --url {value}")


class _LogFile(click.File):
    """A file of a log. Who gives a URL there means a server."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _no_url(value)
        return super().convert(value, param, ctx)


class _Folder(click.Path):
    """A folder that may have to be made."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _no_url(value)
        return super().convert(value, param, ctx)


def key_option(command: Callable[..., Any]) -> Callable[..., Any]:
    words = "The log's verifier key, as it was kept elsewhere."
    return click.option("--key", metavar="VERIFIERKEY", callback=_not_empty, help=words)(command)


@click.command(cls=Command)
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the signed note there.")
def checkpoint(save: Path | None) -> None:
    """The signed head of the log.

    Kept elsewhere, it makes a shortened or rewritten log visible.

    \b
    Example:
      actctl audit checkpoint --save act-$(date +%F).note
    """
    from act.cli.prove import signed_by

    with connected() as act:
        head = act.audit.checkpoint()
        signed_by(head)
    if save is not None:
        with new_file(save, SHARED) as out:
            out.write(head.note.encode())
        say(f"The note is in {save}. Keep it and the verifier key where the server cannot change them.")
    print_one(head, _CHECKPOINT, None if save else {"note": head.note})


@click.command(cls=Command)
def key() -> None:
    """The verifier key of the log, alone on stdout.

    Whoever has it elsewhere needs to trust nobody to verify an export.

    \b
    Example:
      actctl audit key > act.vkey && actctl audit verify log.jsonl --key "$(cat act.vkey)"
    """
    from act.cli.prove import signed_by

    with connected() as act:
        head = act.audit.checkpoint()
        signed_by(head)
    if wants_json():
        print_json({"verifierKey": head.verifier_key})
    else:
        click.echo(head.verifier_key)


@click.command(cls=Command)
@click.argument("folder", type=_Folder(file_okay=False, path_type=Path))
@click.option("--name", default="act-witness", show_default=True, help="What the witness is called in its signatures.")
@key_option
@click.option("--every", type=Number(0.1, 86400), metavar="SECONDS", help="Go on looking, until Ctrl-C.")
def witness(folder: Path, name: str, key: str | None, every: float | None) -> None:
    """Keep and cosign checkpoints, on another machine.

    FOLDER holds every checkpoint that was seen, and the keys. One that does not begin with all that was seen before
    is not signed, and the exit code is 1: the log was rewritten, or cut off. So it is for one that shows a checkpoint
    and does not prove it, five looks long.

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


@click.command(cls=Command)
@click.argument("index", type=Whole(0))
@click.option("--checkpoint", "note", type=click.File("rb"), metavar="NOTE", help="A kept checkpoint; else today's.")
@key_option
@click.option("--file", "file", type=click.File("rb"), metavar="FILE", help="An export or an archive that has it.")
def prove(index: int, note: IO[bytes] | None, key: str | None, file: IO[bytes] | None) -> None:
    """Prove that one record is in the log that a checkpoint signed.

    The record is hashed here, and led to the signed root by a proof that the server has to give; the exit code is 1
    when it does not. One that is in an archive by now is read from that FILE; its proof is the server's as before.
    Arguments that stand beside it must be those that it has the hash of.

    \b
    Example:
      actctl audit prove 1729 --checkpoint kept.note --key "$VERIFIER_KEY"
      actctl audit prove 17 --file act.db.archives/default-tenant/000000000000-000000000512.jsonl.gz
    """
    from act.audit.arguments import is_kept
    from act.cli.prove import proven
    from act.cli.verify import NO_KEY

    with connected() as act:
        found, record = proven(act, index, None if note is None else _text(note), key, file)
    if wants_json():
        print_json(found.as_json())
    else:
        print_one(found, _PROVEN)
    say(f"Record {index} is in the log of {found.size} records that the checkpoint signed.")
    if found.arguments:
        say("The arguments beside it are those that it has the hash of.")
    elif is_kept(record):
        say("The arguments that were kept of it are gone; `actctl audit verify` says whether they were erased.")
    if key is None:
        say(NO_KEY.replace("the export itself", "the server").replace("wrote the export", "runs it"))


def _lines(act: Act, begin: int | None) -> Iterator[bytes]:
    return (line + b"\n" for line in act.audit.export_lines(begin))


@click.command(cls=Command)
@click.argument("files", metavar="[FILE]...", type=_LogFile("rb"), nargs=-1)
@click.option("--checkpoint", "notes", type=click.File("rb"), multiple=True, metavar="NOTE", help="A kept checkpoint.")
@key_option
@click.option("--database", metavar="FILE", help="Look at the logs in a database file instead, for example act.db.")
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
    server need not be stopped. A --key must be that of one of them.

    Arguments that were kept and are gone are a fault when no record says that they were erased. Archives may be
    rewritten without them: of those, packed as they are, it is only said. Files may overlap.

    \b
    Example:
      actctl audit verify log.jsonl --checkpoint kept.note --key "$VERIFIER_KEY"
      actctl audit verify act.db.archives/default-tenant/*.gz log.jsonl --key "$VERIFIER_KEY"
    """
    from act.cli.log_files import is_packed, spooled
    from act.cli.verify import EXPORT, NO_KEY, all_verified

    kept = {note.name: _text(note) for note in notes}
    if (database is None and tenant is not None) or (database is not None and files):
        raise click.UsageError("--tenant needs --database, and --database is in the place of FILE.")
    if database is not None:
        from act.cli.backup import verify_database

        verify_database(context, database, tenant, kept, key)
    with ExitStack() as stack:
        chunks: dict[str, Iterable[bytes]] = {file.name: file for file in files}
        archives = {file.name for file in files if is_packed(file)}
        if len(chunks) < len(files):
            raise click.UsageError("A file is given twice.")
        if len(files) == 1 and not archives:
            chunks = {EXPORT: files[0]}
        act = None if files else stack.enter_context(connected())
        if act is not None:
            chunks = {EXPORT: _lines(act, None)}
        exports = {name: stack.enter_context(spooled(one)) for name, one in chunks.items()}
        result = all_verified(exports, kept, key, archives)
        if act is not None and result.unnamed:
            # What was erased while it was exported, the records since then say.
            exports |= {"what came since": stack.enter_context(spooled(_lines(act, result.size)))}
            result = all_verified(exports, kept, key)
    if wants_json():
        print_json(result.as_json())
    else:
        print_one(result, _VERIFIED)
    say(result.message)
    if key is None:
        say(NO_KEY)
    context.exit(0 if result.ok else 1)
