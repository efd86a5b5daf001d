"""What a witness says to a log: whether what it shows now begins with everything that it has shown before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from act.audit.notes import Checkpoint
from act.audit.proofs import consistent

Proof = Callable[[int, int], Sequence[bytes]]
"""Asks the log for a consistency proof: `(first size, second size) -> hashes`."""


class Fork(Exception):
    """The log does not begin with what it was: it was rewritten, or different people are shown different logs."""


def follows(seen: Checkpoint | None, shown: Checkpoint, proof: Proof) -> bool:
    """Whether there is something new to sign: `shown` is larger than what was `seen`, and begins with it.

    Raises:
        Fork: it is not what was seen, and more.
    """
    if seen is None:
        return True
    if shown.origin != seen.origin:
        raise Fork(f"This is the log '{shown.origin}', and not '{seen.origin}'.")
    if shown.size < seen.size:
        raise Fork(f"The log has {shown.size} records and had {seen.size}: its tail is gone, or an old copy is served.")
    if shown.size == seen.size:
        if shown.root != seen.root:
            raise Fork(f"The log has {seen.size} records as before, and they are others.")
        return False
    if seen.size and not consistent(seen.size, shown.size, seen.root, shown.root, proof(seen.size, shown.size)):
        raise Fork(f"The first {seen.size} of its {shown.size} records are not those that it had.")
    return True
