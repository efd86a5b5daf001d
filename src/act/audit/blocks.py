"""Which blocks of the log can have what is looked for: a block-range index (as PostgreSQL's BRIN).

A block is 1,024 neighbouring records. Of each is kept which values its records have, as marks of four bytes, and from
when to when it is. Two values may have one mark: then a block is looked through in vain, and nothing is missed. So the
writer keeps no index of these fields, and a search for a rare value does not read the whole log. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

BLOCK: Final = 1024
FIELDS: Final = ("kind", "decision", "reason_code", "action", "agent_id", "requester_id", "resource_id", "request_id")
"""Columns of `audit_records`, those with few values first: they are asked first."""
MAX_PREFIXES: Final = 8


def mark(value: str) -> bytes:
    """Four bytes that stand for a value."""
    return zlib.crc32(value.encode("utf-8", "surrogatepass")).to_bytes(4, "big")


def marks(values: Iterable[str]) -> bytes:
    """The marks of values, each once."""
    return b"".join(sorted({mark(value) for value in values}))


def marks_of_block(columns: Mapping[str, Iterable[Any]]) -> dict[str, bytes]:
    """The marks of each field of `FIELDS` that has values; a resource is known by its prefixes, too."""
    found: dict[str, bytes] = {}
    for name, column in columns.items():
        values = {value for value in set(column) if isinstance(value, str)}  # most columns repeat a few
        if name == "resource_id":
            values |= {prefix for value in values for prefix in _prefixes(value)}
        if values:
            found[name] = marks(values)
    return found


def mark_of_pattern(pattern: str) -> bytes | None:
    """The mark of the resource, or of the longest prefix, that every match of the pattern has, if any."""
    literal, star, _ = pattern.partition("*")
    if not star:
        return mark(literal)
    *_, longest = ("", *_prefixes(literal))
    return mark(longest) if longest else None


def _prefixes(resource: str) -> Iterator[str]:
    """What comes before each of the first slashes, with the slash."""
    at = -1
    for _ in range(MAX_PREFIXES):
        at = resource.find("/", at + 1)
        if at < 0:
            return
        yield resource[: at + 1]
