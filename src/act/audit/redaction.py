"""What the log keeps of the arguments of a call: nothing, all but secrets, or all but our own tokens and keys. Pure.

Secrets are known by the name of the member that they stand under (`secret_names`), and by their look (`secret_texts`).
Finding them takes time that grows with the length of the arguments alone: names are compared by patterns without
backtracking, and no expression for a look gives a character back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from act.audit.card_numbers import is_card_number
from act.audit.secret_names import SecretNames
from act.audit.secret_texts import Kind, SecretTexts
from act.audit.values import MARK, is_count
from act.policies.globs import Matcher, compile_pattern
from act.text import without_secrets

Mode = Literal["none", "redacted", "full"]

_SHORTEST: Final = 4
"""A text with fewer characters, `pw=x`, cannot hold a secret."""
_NAMED_BY: Final = ("name", "key", "header", "field", "Name", "Key", "NAME", "KEY", "variable", "k")
_VALUE: Final = frozenset(("value", "Value", "VALUE", "values", "Values", "v"))
_FILLED: Final = frozenset(("element", "selector", "locator"))
_FILLED_WITH: Final = _VALUE | {"text"}
"""What a browser is told to type, and the field of a page that says where."""

_AHEAD: Final = 4096
"""Characters behind the end of an excerpt that are looked at, so that no secret stands in it by half."""

_Pointer = tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a tenant has its log keep of arguments. `patterns` come on top of those that are always there."""

    mode: Mode = "redacted"
    patterns: tuple[str, ...] = ()
    _rules: Rules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rules", _rules_of(self.patterns))

    def kept(self, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What is kept; `arguments` themselves when that is all, and None when nothing is."""
        if self.mode == "none":
            return None
        return without_own(arguments) if self.mode == "full" else self._rules.redacted(arguments)


class Rules:
    """What a tenant redacts: by name, by look, and by place."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        texts = SecretTexts(SecretNames(tuple(pattern for pattern in patterns if not pattern.startswith("/"))))
        self._text, self._look = texts.redacted, texts.name
        self._pointers = tuple(_pointer(pattern) for pattern in patterns if pattern.startswith("/"))

    def redacted(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments without secrets; the same object when there are none."""
        return self._object(arguments, self._pointers)

    def text(self, text: str) -> str:
        """A text without secrets."""
        return self._text(text)

    def _value(self, value: Any, pointers: tuple[_Pointer, ...]) -> Any:
        kind = type(value)
        if kind is str:
            return value if len(value) < _SHORTEST else self._text(value)
        if kind is dict:
            return self._object(value, pointers)
        if kind is list:
            return self._list(value, pointers)
        if (kind is int or kind is float) and not -(10**12) < value < 10**12:
            return MARK if is_card_number(value) else value
        return value

    def _object(self, value: Mapping[str, Any], pointers: tuple[_Pointer, ...]) -> Mapping[str, Any]:
        changed: dict[str, tuple[str, Any]] = {}
        named = None if _FILLED_WITH.isdisjoint(value) else self._named(value)
        for name, item in value.items():
            secret, shown = self._look(name)
            if (secret and _hides(secret, item)) or (named and name in named and item is not None):
                new = MARK
            elif pointers:
                new = self._pointed(name, item, pointers)
            else:
                new = self._value(item, ())
            if new is not item or shown != name:
                changed[name] = (shown, new)
        return _rewritten(value, changed) if changed else value

    def _list(self, value: list[Any], pointers: tuple[_Pointer, ...]) -> list[Any]:
        if pointers:
            items = [self._pointed(str(at), item, pointers) for at, item in enumerate(value)]
        else:
            items = [self._value(item, ()) for item in value]
        for at, item in enumerate(value):
            if type(item) is list and len(item) == 2 and self._is_pair(item) and type(items[at]) is list:
                items[at] = [items[at][0], MARK]
            elif type(item) is str and item[:1] == "-" and self._is_option(value[at : at + 2]):
                items[at + 1] = MARK
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value

    def _named(self, value: Mapping[str, Any]) -> frozenset[str]:
        """The members that hold a secret because of one beside them, as in `{"name": "DB_PASSWORD", "value": ...}`."""
        if not _FILLED.isdisjoint(value) and self._names_a_secret(value, _FILLED):
            return _FILLED_WITH
        named = not _VALUE.isdisjoint(value) and self._names_a_secret(value, _NAMED_BY)
        return _VALUE if named else frozenset()

    def _names_a_secret(self, value: Mapping[str, Any], by: Iterable[str]) -> bool:
        return any(type(name := value.get(each)) is str and self._look(name)[0] is Kind.SECRET for each in by)

    def _is_pair(self, items: list[Any]) -> bool:
        """Whether it is `["Authorization", ...]`."""
        return type(items[0]) is str and _hides(self._look(items[0])[0], items[1])

    def _is_option(self, items: list[Any]) -> bool:
        """Whether it is `["--password", ...]` or `["-password", ...]`, two neighbours of a command line."""
        if len(items) < 2 or len(items[0]) < _SHORTEST or not _hides(self._look(items[0].lstrip("-"))[0], items[1]):
            return False
        if type(items[1]) is not str or items[1][:1] != "-":
            return True
        # Another option, as long as it looks like one.
        return items[0][:2] == "--" and items[1][:2] != "--" and len(items[1]) >= _SHORTEST

    def _pointed(self, name: str, item: Any, pointers: tuple[_Pointer, ...]) -> Any:
        left = tuple(pointer[1:] for pointer in pointers if pointer[0](name))
        if item is not None and () in left:
            return MARK
        return self._value(item, left)


def _hides(kind: Kind, item: Any) -> bool:
    """Whether under a name of this kind this is a secret."""
    return kind is not Kind.OTHER and item is not None and not (kind is Kind.COUNT and is_count(item))


def excerpt(text: str, most: int) -> str:
    """The begin of a text that somebody sent, without secrets, for a line or a span: at most `most` characters.

    However long the text is, no more than `most` and some thousand characters are looked at.
    """
    return _rules_of(()).text(without_secrets(text[: most + 2 * _AHEAD])[: most + _AHEAD])[:most]


@lru_cache(64)
def _rules_of(patterns: tuple[str, ...]) -> Rules:
    return Rules(patterns)


def _pointer(pattern: str) -> _Pointer:
    parts = pattern[1:].split("/")
    return tuple(compile_pattern(part.replace("~1", "/").replace("~0", "~")) for part in parts)


def _rewritten(value: Mapping[str, Any], changed: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """The object with other members; names that have become the same are told apart by a number."""
    found: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for name, item in value.items():
        shown, new = changed.get(name, (name, item))
        free = shown
        while free in found or (free != name and free in value):
            numbers[shown] = numbers.get(shown, 1) + 1
            free = f"{shown} {numbers[shown]}"
        found[free] = new
    return found


def without_own(value: Any) -> Any:
    """The value without our own tokens and keys; the same object when there are none."""
    if isinstance(value, str):
        new = without_secrets(value, MARK)
        return value if new == value else new
    if isinstance(value, list):
        items = [without_own(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, dict):
        return value
    parts = {name: (without_own(name), without_own(item)) for name, item in value.items()}
    changed = {name: part for name, part in parts.items() if part[0] is not name or part[1] is not value[name]}
    return _rewritten(value, changed) if changed else value
