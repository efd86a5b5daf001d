"""JSON in its one canonical form: the JSON Canonicalization Scheme (RFC 8785).

What is written most, texts, integers and booleans under ASCII names, has one form only, and a compiled encoder writes
it. Everything else, floats and names in other scripts, goes through the library that knows the whole scheme.
"""

from __future__ import annotations

from itertools import compress
from typing import Any

import orjson
import rfc8785

from act import json_bytes

_SORTED = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
)


def canonical(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        ValueError: it is none, or has no canonical form (NaN, an integer of 2^53 or beyond, half a surrogate pair).
    """
    if not _plain(value):
        return rfc8785.dumps(value)
    try:
        return json_bytes.encode(value, _SORTED)
    except TypeError as error:  # such an integer or half a pair; or nested too deeply for the encoder
        raise ValueError(str(error)) from None


_NAMES = {str}
_LEAVES = frozenset((str, int, bool, type(None)))
_CONTAINERS = frozenset((dict, list))
_KINDS = _LEAVES | _CONTAINERS
_contains = _CONTAINERS.__contains__
_MOST = 200_000
"""More than a request can hold; what has more of them may be a circle."""


def _plain(value: Any) -> bool:
    """Whether every encoder that sorts names writes the same, or refuses it. In doubt False."""
    if type(value) not in _CONTAINERS:
        return type(value) in _LEAVES
    found = [value]
    for item in found:  # grows on the way
        members = item
        if type(item) is dict:
            if item and (set(map(type, item)) != _NAMES or not "".join(item).isascii()):
                return False
            members = item.values()
        # What the kinds of the members tell together needs no step for each of them.
        kinds = set(map(type, members))
        if kinds <= _LEAVES:
            continue
        if not kinds <= _KINDS or len(found) > _MOST:
            return False
        found += compress(members, map(_contains, map(type, members)))
    return True
