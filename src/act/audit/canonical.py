"""JSON in its one canonical form: the JSON Canonicalization Scheme (RFC 8785).

What is written most, texts, integers and booleans under ASCII names, has one form only, and a compiled encoder writes
it. Everything else, floats and names in other scripts, goes through the library that knows the whole scheme.
"""

from __future__ import annotations

from typing import Any

import orjson
import rfc8785

from act.strict_json import MAX_INTEGER

_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS


def canonical(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises:
        ValueError: it is none, or has no canonical form (NaN, an integer of 2^53 or beyond, half a surrogate pair).
    """
    if not _plain(value):
        return rfc8785.dumps(value)
    try:
        return orjson.dumps(value, option=_SORTED)
    except TypeError as error:  # half a surrogate pair; or nested too deeply for the encoder
        raise ValueError(str(error)) from None


_NAMES = {str}
_ALWAYS = frozenset((str, bool, type(None)))
_PERHAPS = frozenset((int, dict, list))


def _plain(value: Any) -> bool:
    """Whether every encoder that sorts names writes the same. In doubt False."""
    kind = type(value)
    if kind is dict:
        if value and (set(map(type, value)) != _NAMES or not "".join(value).isascii()):
            return False
        value = value.values()
    elif kind is not list:
        return kind in _ALWAYS or (kind is int and -MAX_INTEGER <= value <= MAX_INTEGER)
    # Of most objects the kinds of their members say all, and are found without a step for each.
    kinds = set(map(type, value)) - _ALWAYS
    return not kinds or (kinds <= _PERHAPS and all(_plain(item) for item in value if type(item) in _PERHAPS))
