"""JSON as ACT accepts it: one reading only.

Whatever two parsers could read differently is refused on input (design rule 2-semantics, "Matching"):
duplicate keys, NaN and infinities, integers of 2^53 and beyond, nesting over 32 levels, unpaired surrogates.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 32
MAX_FAULTS = 100
MAX_POINTER = 1000
MAX_INTEGER = 2**53 - 1  # 2^53 itself is what 2^53 + 1 becomes in a reader that uses doubles


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document: an RFC 6901 JSON pointer and a sentence that says what to do."""

    pointer: str
    message: str


class MalformedJson(ValueError):
    """The bytes are not JSON (RFC 8259) at all."""


class AmbiguousJson(ValueError):
    """The bytes are JSON, but of a kind that two readers may read differently."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


class _Repeated(dict[str, Any]):
    """An object in which a key occurred twice; exists only between parsing and `faults_of`."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated, seen = _Repeated(found), set[str]()
    for key, _ in pairs:
        if key in seen:
            repeated.key = key
            break
        seen.add(key)
    return repeated


def _constant(name: str) -> Any:
    raise MalformedJson(f"{name} is not a JSON number.")


class _Doubt(Exception):
    """Something that has to be looked at more closely."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Doubt
    return found


def _short_integer(text: str) -> int:
    if len(text) > _SHORT:
        raise _Doubt
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Doubt
    return value


_SHORT = 15  # digits and sign; surely below 2^53
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_sound_decoder: Any = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_short_integer, parse_float=_finite, parse_constant=_constant
)
_scan_sound = _sound_decoder.scan_once


def loads(data: bytes) -> Any:
    """Parse one JSON text.

    Raises:
        MalformedJson: not UTF-8, not JSON, or nested so deeply that the parser gives up.
        AmbiguousJson: carries every fault with its pointer.
    """
    # Most texts have nothing in them that could be a fault, which their bytes tell sooner than what they say.
    if data.isascii() and b"\\u" not in data and data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        try:
            value, end = _scan_sound(data.decode("ascii"), 0)
        except (_Doubt, StopIteration, RecursionError, ValueError):
            return _loads_closely(data)
        if end == len(data):
            return value
    return _loads_closely(data)


def _loads_closely(data: bytes) -> Any:
    try:
        value = _decoder.decode(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedJson("The text is not JSON: it is not UTF-8.") from None
    except RecursionError:
        raise MalformedJson(f"The text cannot be read: it is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise MalformedJson(f"The text is not JSON: {str(error).rstrip('.')}.") from None
    if not _sound(value) and (faults := list(itertools.islice(faults_of(value), MAX_FAULTS))):
        raise AmbiguousJson(faults)
    return value


def _sound(value: Any, depth: int = 1) -> bool:
    """Whether `faults_of` surely finds nothing, told quickly; False is no fault yet."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return _sound_leaf(kind, value)
    if depth > MAX_DEPTH:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str or not key.isascii():
                return False
        value = value.values()
    for item in value:
        # What most values are is looked at here: a call for each of them would cost more than the look.
        kind = type(item)
        if kind is str:
            if not item.isascii():
                return False
        elif kind is dict or kind is list:
            if not _sound(item, depth + 1):
                return False
        elif not _sound_leaf(kind, item):
            return False
    return True


def _sound_leaf(kind: type, value: Any) -> bool:
    if kind is str:
        return bool(value.isascii())
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    return kind is bool or value is None or (kind is float and math.isfinite(value))


def faults_of(value: Any, pointer: str = "", depth: int = 1) -> Iterator[Fault]:
    """Every fault of a parsed JSON value (also one that was built in Python)."""
    kind = type(value)
    if kind is str:
        if not value.isascii() and not _encodable(value):
            yield Fault(pointer, "The string has an unpaired surrogate; send valid Unicode.")
    elif kind is bool or value is None:
        return
    elif kind is int:
        if abs(value) > MAX_INTEGER:
            yield Fault(pointer, "The integer is not below 2^53; send it as a string.")
    elif kind is float:
        if not math.isfinite(value):
            yield Fault(pointer, "The number is not finite.")
    elif isinstance(value, dict | list | tuple):
        if depth > MAX_DEPTH:
            yield Fault(pointer, f"Nesting is deeper than {MAX_DEPTH} levels.")
        elif isinstance(value, dict):
            yield from _faults_of_object(value, pointer, depth)
        else:
            for index, item in enumerate(value):
                yield from faults_of(item, below(pointer, str(index)), depth + 1)
    else:
        yield Fault(pointer, f"A {kind.__name__} is not a JSON value.")


def _faults_of_object(value: dict[Any, Any], pointer: str, depth: int) -> Iterator[Fault]:
    if isinstance(value, _Repeated):
        yield Fault(below(pointer, value.key), "The key occurs twice in one object.")
    for key, item in value.items():
        if not isinstance(key, str):
            yield Fault(pointer, f"The key {key!r} is not a string.")
            continue
        if not key.isascii() and not _encodable(key):
            yield Fault(pointer, "A key has an unpaired surrogate; send valid Unicode.")
            continue
        yield from faults_of(item, below(pointer, key), depth + 1)


def escape(key: str) -> str:
    """One reference token of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def below(pointer: str, name: str, most: int = MAX_POINTER) -> str:
    """The pointer of a member, cut behind `most` characters.

    A name as long as a body, above as many values as fit beside it, must not be copied for each of them.
    """
    if len(pointer) > most:
        return pointer
    longer = f"{pointer}/{escape(name[:most])}"
    return longer if len(longer) <= most else f"{longer[:most]}..."


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
