"""`actctl audit prove`: is a record in the log that a checkpoint signed?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from act.audit.notes import Checkpoint
    from act.audit.verify import Line
    from act.client.act import Act
    from act.models import Checkpoint as Head


@dataclass(frozen=True, slots=True)
class Proven:
    """What was proven, and nothing that was only said: the record asked for, hashed here, is in a log of `size`.

    `arguments` is whether arguments stand beside it; then they are those that it has the hash of.
    """

    index: int
    size: int
    leaf_hash: str
    root_hash: str
    origin: str
    arguments: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "size": self.size,
            "leafHash": self.leaf_hash,
            "rootHash": self.root_hash,
            "origin": self.origin,
            "arguments": self.arguments,
        }


def proven(
    act: Act, index: int, note: str | None, key: str | None, file: Iterable[bytes] | None = None
) -> tuple[Proven, Mapping[str, Any]]:
    """A proof, checked, that a record is in the log of a checkpoint; and the record.

    Args:
        file: an export or an archive that has the record; without one the server is asked for it.

    Raises:
        click.ClickException: it is not, or it is not proven.
    """
    from act.audit.merkle import leaf_hash
    from act.audit.notes import NoteInvalid, verify
    from act.audit.proofs import root_from_inclusion
    from act.audit.record import encode

    head = act.audit.checkpoint()
    try:
        signed = verify(note if note is not None else head.note, key if key is not None else head.verifier_key)
        if index >= signed.size:
            raise click.ClickException(f"The checkpoint is of {signed.size} records, so there is no record {index}.")
        proof = act.audit.inclusion(index, signed.size)
        line = _shown(act, index) if file is None else _in_file(file, index)
        leaf = leaf_hash(encode(line.record))
        root = root_from_inclusion(leaf, index, signed.size, [bytes.fromhex(each) for each in proof.hashes])
    except (NoteInvalid, ValueError) as error:
        raise click.ClickException(f"Not proven: {error}") from None
    where = "shown now" if file is None else "in the file"
    if root != signed.root or line.record.get("index") != index:
        raise click.ClickException(f"Record {index}, as it is {where}, is not in the log that the checkpoint signed.")
    there = line.arguments is not None or line.salt is not None
    if there and not _fit(line):
        raise click.ClickException(f"Record {index} is in the log, but its arguments, as {where}, are not what it had.")
    return Proven(index, signed.size, leaf.hex(), root.hex(), signed.origin, there), line.record


def _fit(line: Line) -> bool:
    from act.audit.arguments import proves

    try:
        return proves(line.record, line.arguments, bytes.fromhex(line.salt or ""))
    except ValueError:
        return False


def _shown(act: Act, index: int) -> Line:
    """The record as the server exports it now: only an export has the salt that proves the arguments."""
    from act.cli.log_files import BadExport, began, parsed, record_of
    from act.client.errors import ActError

    try:
        lines = act.audit.export_lines(index)
        first = next(lines, b"")
        return record_of(parsed(first if began(first) is None else next(lines, b""), index), index)
    except BadExport as error:
        raise click.ClickException(f"Not proven: {error}") from None
    except ActError as error:
        if error.code == "archived":
            raise click.ClickException(f"{error} Give a copy of it with --file.") from None
        raise


def _in_file(file: Iterable[bytes], index: int) -> Line:
    from act.cli.log_files import BadExport, records_of, spooled

    with spooled(file) as plain:
        try:
            for line in records_of(plain):
                if line.index == index:
                    return line
        except BadExport as error:
            raise click.ClickException(f"Not proven: {error}") from None
    raise click.ClickException(f"The file has no record {index}.")


def signed_by(head: Head) -> Checkpoint:
    """What the note of a checkpoint says, which is what counts.

    Raises:
        click.ClickException: the note is not signed with the key that the server names, or says something else.
    """
    from act.audit.notes import NoteInvalid, verify

    try:
        signed = verify(head.note, head.verifier_key)
    except NoteInvalid as error:
        raise click.ClickException(f"The checkpoint of the server does not hold: {error}") from None
    if (signed.size, signed.root.hex()) != (head.size, head.root_hash):
        said = f"its note is of {signed.size} records with the root {signed.root.hex()}"
        raise click.ClickException(f"The server contradicts itself: it says {head.size} and {head.root_hash}, {said}.")
    if not signed.origin.endswith(f"/audit/{head.tenant_id}"):
        raise click.ClickException(f"The note is of the log '{signed.origin}', not of the tenant '{head.tenant_id}'.")
    return signed
