"""`actctl audit prove`: is a record in the log that a checkpoint signed?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import InclusionProof


def proven(
    act: Act, index: int, note: str | None, key: str | None, file: Iterable[bytes] | None = None
) -> InclusionProof:
    """A proof, checked, that a record is in the log of a checkpoint.

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
        leaf = leaf_hash(encode(_shown(act, index) if file is None else _in_file(file, index)))
        root = root_from_inclusion(leaf, index, signed.size, [bytes.fromhex(each) for each in proof.hashes])
    except (NoteInvalid, ValueError) as error:
        raise click.ClickException(f"Not proven: {error}") from None
    if root != signed.root:
        where = "shown now" if file is None else "in the file"
        raise click.ClickException(f"Record {index}, as it is {where}, is not in the log that the checkpoint signed.")
    return proof


def _shown(act: Act, index: int) -> Mapping[str, Any]:
    from act.client.errors import ActError

    try:
        return act.audit.get(index).record
    except ActError as error:
        if error.code == "archived":
            raise click.ClickException(f"{error} Give a copy of it with --file.") from None
        raise


def _in_file(file: Iterable[bytes], index: int) -> Mapping[str, Any]:
    from act.cli.log_files import BadExport, records_of, spooled

    with spooled(file) as plain:
        try:
            for line in records_of(plain):
                if line.index == index:
                    return line.record
        except BadExport as error:
            raise click.ClickException(f"Not proven: {error}") from None
    raise click.ClickException(f"The file has no record {index}.")
