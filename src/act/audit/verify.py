"""Does a log prove itself? Pure: records in, a finding out; needs no server and trusts none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from act.audit.merkle import Frontier, leaf_hash
from act.audit.notes import Checkpoint
from act.audit.record import encode


@dataclass(frozen=True, slots=True)
class Line:
    """One exported leaf."""

    index: int
    leaf_hash: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok`, or the first index at which the log is not what it says it is (None when it is the log as a whole)."""

    ok: bool
    size: int
    root: bytes
    message: str
    bad_index: int | None = None


def verify(lines: Iterable[Line], checkpoints: Iterable[Checkpoint] = ()) -> Finding:
    """Recompute every leaf and the tree over them.

    Without a checkpoint this finds edited, swapped, inserted and missing records, but neither a tail cut off nor a
    log rewritten as a whole: against those, give every checkpoint seen before. The signature of a checkpoint is the
    caller's to verify (`notes.verify`).
    """
    wanted: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        wanted.setdefault(checkpoint.size, []).append(checkpoint)
    frontier = Frontier()
    if finding := _against(wanted.pop(0, ()), frontier):
        return finding
    for position, line in enumerate(lines):
        if fault := _fault(line, position):
            return Finding(False, frontier.size, frontier.root(), fault, position)
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
    return Finding(True, frontier.size, frontier.root(), f"{frontier.size} records verified.")


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
    return None


def _against(checkpoints: Iterable[Checkpoint], frontier: Frontier) -> Finding | None:
    for checkpoint in checkpoints:
        if checkpoint.root != frontier.root():
            message = f"The first {frontier.size} records are not those that the checkpoint of "
            return Finding(False, frontier.size, frontier.root(), f"{message}'{checkpoint.origin}' signed.")
    return None
