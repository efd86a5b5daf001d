"""`actctl audit`, put together."""

from __future__ import annotations

import click

from act.cli.audit_files import archive, archives, export
from act.cli.audit_proofs import checkpoint, key, prove, verify, witness
from act.cli.audit_records import erase, list_records, show, story, tail
from act.cli.command import Group

COMMANDS: tuple[click.Command, ...] = (
    list_records,
    show,
    story,
    export,
    archive,
    archives,
    erase,
    checkpoint,
    key,
    tail,
    witness,
    prove,
    verify,
)


@click.group(cls=Group, commands=list(COMMANDS))
def audit() -> None:
    """What happened, and the proof of it."""
