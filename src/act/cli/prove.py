"""`actctl audit prove`: is a record in the log that a checkpoint signed?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import InclusionProof


def proven(act: Act, index: int, note: str | None, key: str | None) -> InclusionProof:
    """A proof, checked, that a record is in the log of a checkpoint.

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
        leaf = leaf_hash(encode(act.audit.get(index).record))
        root = root_from_inclusion(leaf, index, signed.size, [bytes.fromhex(each) for each in proof.hashes])
    except (NoteInvalid, ValueError) as error:
        raise click.ClickException(f"Not proven: {error}") from None
    if root != signed.root:
        raise click.ClickException(f"Record {index}, as it is shown now, is not in the log that the checkpoint signed.")
    return proof
