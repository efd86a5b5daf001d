"""Does a log prove itself? Pure: records in, a finding out; needs no server and trusts none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from act.audit.arguments import proves
from act.audit.gone import Gone, missing
from act.audit.merkle import Frontier, leaf_hash
from act.audit.notes import Checkpoint
from act.audit.record import encode


@dataclass(frozen=True, slots=True)
class Line:
    """One exported leaf, and what stands beside it: what is kept of the arguments, and the salt of its hash, in hex."""

    index: int
    leaf_hash: str
    record: Mapping[str, Any]
    arguments: Any = None
    salt: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok`, or the first index at which the log is not what it says it is (None when it is the log as a whole).

    Of the records that kept arguments, `erased` have them no more, as later records say. Those of which none says so
    are `unnamed`; then the log is not `ok`, though its hashes are.
    """

    ok: bool
    size: int
    root: bytes
    message: str
    bad_index: int | None = None
    erased: int = 0
    unnamed: int = 0


def verify(
    lines: Iterable[Line],
    checkpoints: Iterable[Checkpoint] = (),
    before: Frontier | None = None,
    gone: Gone | None = None,
) -> Finding:
    """Recompute every leaf and the tree over them.

    With `before`, the lines are what comes after those records. That they were so is shown by a checkpoint of a later
    size that fits, as every record is.

    With `gone`, the arguments that are not there are told to it, and the caller judges them, who has more of the log.

    Without a checkpoint this finds edited, swapped, inserted and missing records, but neither a tail cut off nor a
    log rewritten as a whole: against those, give every checkpoint seen before. The signature of a checkpoint is the
    caller's to verify (`notes.verify`).
    """
    wanted: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        wanted.setdefault(checkpoint.size, []).append(checkpoint)
    frontier, seen = before or Frontier(), Gone() if gone is None else gone
    begin = frontier.size
    if wanted and min(wanted) < begin:
        message = f"A checkpoint saw {min(wanted)} records, and those before {begin} are not here: give their archives."
        return Finding(False, begin, frontier.root(), message)
    if finding := _against(wanted.pop(begin, ()), frontier, 0):
        return finding
    fits = 0  # so many records are those that a checkpoint signed
    for position, line in enumerate(lines, begin):
        if fault := _fault(line, position):
            return Finding(False, frontier.size, frontier.root(), fault, position)
        seen.see(line.record, position, there=line.arguments is not None)
        frontier = frontier.append(bytes.fromhex(line.leaf_hash))
        if signed := wanted.pop(frontier.size, ()):
            if finding := _against(signed, frontier, fits):
                return finding
            fits = frontier.size
    size, root = frontier.size, frontier.root()
    if wanted:
        message = f"The log ends after {size} records, but a checkpoint saw {min(wanted)}: its tail is missing."
        return Finding(False, size, root, message, size)
    if gone is None and (unnamed := seen.unnamed):
        return Finding(False, size, root, missing(unnamed), unnamed[0], seen.erased, len(unnamed))
    message = f"{size - begin} records verified."
    if gone is None and seen.erased:
        message += f" Of {seen.erased} the arguments were erased."
    return Finding(True, size, root, message, None, seen.erased)


def _fault(line: Line, position: int) -> str | None:
    if line.index != position:
        return f"Record {position} is missing; index {line.index} stands in its place."
    if line.record.get("index") != line.index:
        return f"Record {position} says that its index is {line.record.get('index')}."
    try:
        hashed = leaf_hash(encode(line.record)).hex()
    except ValueError:
        return f"Record {position} was changed: it holds what no record can hold."
    if hashed != line.leaf_hash:
        return f"Record {position} was changed: it does not have the hash that was logged."
    if line.arguments is None and line.salt is None:
        return None
    if not proves(line.record, line.arguments, _bytes(line.salt)):
        return f"The arguments of record {position} were changed: they do not have the hash that was logged."
    return None


def _bytes(salt: str | None) -> bytes:
    try:
        return bytes.fromhex(salt or "")
    except ValueError:
        return b""


def _against(checkpoints: Iterable[Checkpoint], frontier: Frontier, fits: int) -> Finding | None:
    size = frontier.size
    where = f" What is not is among those from {fits} to {size - 1}." if size else ""
    for checkpoint in checkpoints:
        if checkpoint.root != frontier.root():
            message = (
                f"The first {size} records are not those that the checkpoint of '{checkpoint.origin}' signed.{where}"
            )
            return Finding(False, size, frontier.root(), message)
    return None
