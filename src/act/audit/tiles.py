"""The log as C2SP tiles (tlog-tiles.md): what anyone can fetch and keep to check the log without asking for proofs.

A tile holds 256 hashes of one level; level 0 are leaf hashes, level n the hashes of complete subtrees of 256^n leaves.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 256
HEIGHT = 8
MAX_LEVEL = 5
ENTRIES = -1
"""The level of bundles of entries: the records themselves."""

_PATH = re.compile(r"(?:([0-9]{1,2})|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """`width` hashes (or entries) of `level`, from the one with the number `number` * 256 on."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def begin(self) -> int:
        return self.number * WIDTH

    def path(self) -> str:
        """As it is named below `tile/`."""
        parts = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            parts.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"{level}/{'/'.join(parts)}" + ("" if self.width == WIDTH else f".p/{self.width}")

    def within(self, size: int) -> bool:
        """Whether a tree of `size` leaves has all of it."""
        return self.begin + self.width <= size >> (HEIGHT * max(self.level, 0))


def parse(path: str) -> Tile | None:
    """The tile that a path below `tile/` names; None when it names none, or not in the one way."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    level, number, partial = found[1], found[2], found[3]
    width = WIDTH if partial is None else int(partial)
    tile = Tile(ENTRIES if level is None else int(level), int(number.replace("x", "").replace("/", "")), width)
    if tile.level > MAX_LEVEL or not 0 < width <= WIDTH or tile.number >= 2**55 or tile.path() != path:
        return None
    return tile


def bundle(entries: Sequence[bytes]) -> bytes:
    """Entries as one file: each with its length before it, two bytes, big-endian.

    Raises:
        ValueError: an entry is longer than 65,535 bytes.
    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > 0xFFFF:
            raise ValueError("An entry of a bundle has at most 65,535 bytes.")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)
