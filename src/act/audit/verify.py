"""Does a log prove itself? Pure: records in, a finding out; needs no server and trusts none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from act.audit.arguments import is_kept, proves
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

    Of the records that kept arguments, `erased` have them no more.
    """

    ok: bool
    size: int
    root: bytes
    message: str
    bad_index: int | None = None
    erased: int = 0


def verify(lines: Iterable[Line], checkpoints: Iterable[Checkpoint] = (), before: Frontier | None = None) -> Finding:
    """Recompute every leaf and the tree over them.

    With `before`, the lines are what comes after those records. That they were so is shown by a checkpoint of a later
    size that fits, as every record is.

    Without a checkpoint this finds edited, swapped, inserted and missing records, but neither a tail cut off nor a
    log rewritten as a whole: against those, give every checkpoint seen before. The signature of a checkpoint is the
    caller's to verify (`notes.verify`).
    """
    wanted: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        wanted.setdefault(checkpoint.size, []).append(checkpoint)
    frontier, erased = before or Frontier(), 0
    begin = frontier.size
    if wanted and min(wanted) < begin:
        message = f"A checkpoint saw {min(wanted)} records, and those before {begin} are not here: give their archives."
        return Finding(False, begin, frontier.root(), message)
    if finding := _against(wanted.pop(begin, ()), frontier):
        return finding
    for position, line in enumerate(lines, begin):
        if fault := _fault(line, position):
            return Finding(False, frontier.size, frontier.root(), fault, position)
        erased += is_kept(line.record) and line.arguments is None
        frontier = frontier.append(bytes.fromhex(line.leaf_hash))
        if finding := _against(wanted.pop(frontier.size, ()), frontier):
            return finding
    if wanted:
        size = min(wanted)
        return Finding(
            False,
            frontier.size,
            frontier.root(),
            f"The log ends after {frontier.size} records, but a checkpoint saw {size}: its tail is missing.",
            frontier.size,
        )
    message = f"{frontier.size - begin} records verified."
    if erased:
        message += f" Of {erased} the arguments were erased."
    return Finding(True, frontier.size, frontier.root(), message, None, erased)


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


def _against(checkpoints: Iterable[Checkpoint], frontier: Frontier) -> Finding | None:
    for checkpoint in checkpoints:
        if checkpoint.root != frontier.root():
            message = f"The first {frontier.size} records are not those that the checkpoint of "
            return Finding(False, frontier.size, frontier.root(), f"{message}'{checkpoint.origin}' signed.")
    return None
