"""`actctl audit`: taking the log away, as exports and archives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from act.cli.command import Command
from act.cli.connection import connected, told_so_far
from act.cli.durations import Duration
from act.cli.output import Column, print_list, say

if TYPE_CHECKING:
    from act.models import AuditArchive

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
_TOO_FEW: Final = (
    "Nothing was archived: of what is old enough and rests, there are not yet 256 records, of which archives are made."
)


@click.command(cls=Command)
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


@click.command(cls=Command)
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
    with connected() as act, told_so_far(lambda: f"{len(made)} archives were made"):
        more = True
        while more:
            sealed = act.audit.archive(older_than)
            made += [sealed.archive] if sealed.archive is not None else []
            more = sealed.has_more
    print_list(made, _ARCHIVES, nothing=_TOO_FEW)


@click.command(cls=Command)
def archives() -> None:
    """Which of the oldest records are in which file."""
    with connected() as act:
        print_list(act.audit.archives(), _ARCHIVES, nothing="No archives.")
