"""What the log keeps of the arguments of a call: nothing, all but secrets, or all but our own tokens and keys. Pure.

Secrets are known by the name of the member that they stand under, and by their look. Finding them takes time that
grows with the length of the arguments alone: names are compared by patterns without backtracking, and each expression
for a look begins with a literal and gives no character back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from act.audit.values import MARK, end_of_value
from act.policies.globs import Matcher, compile_pattern
from act.redact_patterns import plain_name
from act.text import without_secrets

Mode = Literal["none", "redacted", "full"]

SECRET_NAMES: Final = (
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*passcode*",
    "pass",
    "pwd",
    "*pwd",
    "*secret*",
    "*token",
    "*apikey*",
    "*accesskey*",
    "*privatekey*",
    "*signingkey*",
    "*encryptionkey*",
    "auth",
    "*authorization",
    "*cookie*",
    "*credential*",
    "*sessionid",
    "*jwt",
    "*connectionstring*",
    "ssn",
    "*socialsecurity*",
    "*cardnumber*",
    "*cardno",
    "*creditcard*",
    "*debitcard*",
    "cvv*",
    "cvc*",
    "pin",
    "*pincode",
    "otp",
    "*otpcode",
    "iban",
)
"""Patterns for names as `plain_name` writes them."""

_SHORTEST: Final = 4
"""A text with fewer characters, `pw=x`, cannot hold a secret."""
_CACHED_NAME: Final = 64
_NAMED_BY: Final = ("name", "key", "header", "field", "Name", "Key")
_VALUE: Final = ("value", "Value")

# Every alternative begins with a literal: so the search skips to places where one of these letters stands.
_LOOK: Final = r"""
      A(?<![A-Za-z0-9]A)(?:KIA|SIA|GPA|IDA|ROA|NPA|IPA|BIA|CCA)[A-Z0-9]{16,}+  # AWS
    | AIza[\w-]{30,}+                                          # Google
    | ya29\.[\w-]{20,}+
    | gh[pousr]_[A-Za-z0-9]{20,}+                              # GitHub
    | github_pat_\w{20,}+
    | glpat-[\w-]{16,}+                                        # GitLab
    | xox[a-z]-[\w-]{10,}+                                     # Slack
    | xapp-[\w-]{10,}+
    | hooks\.slack\.com/[\w/]{10,}+
    | s(?<!\ws)k_(?:live|test)_[A-Za-z0-9]{10,}+               # Stripe
    | r(?<!\wr)k_(?:live|test)_[A-Za-z0-9]{10,}+
    | whsec_[\w+/=-]{16,}+
    | s(?<!\ws)k-[\w-]{20,}+                                   # OpenAI, Anthropic
    | hf_[A-Za-z0-9]{30,}+
    | npm_[A-Za-z0-9]{30,}+
    | pypi-[\w-]{40,}+
    | SG\.[\w-]{16,}+\.[\w-]{16,}+                             # SendGrid
    | Bearer(?:\s|%20){1,4}+[\w.~+/=-]{6,}+                            # RFC 6750
    | bearer(?:\s|%20){1,4}+[\w.~+/=-]{6,}+
    | BEARER(?:\s|%20){1,4}+[\w.~+/=-]{6,}+
    | -----BEGIN[A-Z0-9 ]{0,40}?PRIVATE\ KEY(?:\ BLOCK)?-----(?s:.*?)(?:-----END[^-]{0,60}-----|\Z)
    """
_LOOKS = re.compile(_LOOK, re.VERBOSE)
_SIGNS: Final = r"""
      %(?:25)*+(?:22|3[ADEade])
    | &(?:quot|gt|\#0*+(?:34|58|61|62)|\#[Xx]0*+(?:22|3[ADEade]));
    | \\u00(?:22|3[ADEade])
    """
"""What separates a name from its value, written for URLs, for HTML, or for JSON within JSON."""
_ESCAPED_SIGN = re.compile(_SIGNS, re.VERBOSE)
_ESCAPED = re.compile(
    r"%([2-7][0-9A-Fa-f])|\\u00([2-7][0-9A-Fa-f])|&\#[Xx]0*+([2-7][0-9A-Fa-f]);|&\#0*+([0-9]{2,3});|&(quot|apos|lt|gt|amp);"
)
_ENTITIES: Final = {"quot": '"', "apos": "'", "lt": "<", "gt": ">", "amp": "&"}
_DEEPEST: Final = 3
"""Times that a text may have been escaped."""
# What else may hold a secret; again with literals first, and with none that is a frequent letter.
_HINTS = re.compile(rf"--\w | <\w | {_SIGNS} | {_LOOK}", re.VERBOSE)
_RARE = re.compile(rf"value | Value | --\w | <\w | {_SIGNS}", re.VERBOSE)
_USER_INFO = re.compile(r"://(?!\[redacted\]@[^\s/?#@]*(?![^\s/?#]))[^\s/?#]*@")
_MANY_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){8}")
_SSN = re.compile(r"[0-9](?<![\w-][0-9])[0-9]{2}-[0-9]{2}-[0-9]{4}(?![\w-])")
_DIGITS = re.compile(r"[0-9](?<![0-9]{2})[0-9]++(?:[ -][0-9]{2,}+)*+")
_GROUP = re.compile(r"[0-9]+")
_DOUBLED = str.maketrans("0123456789", "0246813579")
# `name=value`, `name: value`, `"name": "value"` and `--name value` within a text: up to the value.
# Behind the name may stand what ends it in code (`x["name"] = `) or in JSON within JSON, and columns of spaces.
_ASSIGNS = re.compile(r"""([^\W\d](?<!\w\w)[\w.-]{1,127}+)[\\"'\])]{0,9}+[ \t]*+[=:]{1,3}+>?[ \t]*+""")
_FLAG = re.compile(r"--([^\W\d][\w-]{1,63}+)[ \t]++(?!-)")
# A name that is a value itself, and the value that stands beside it.
_PAIR = re.compile(
    r"""(?:name|Name|key|Key|header|field)[\\"']{0,4}+\s{0,8}+[=:]\s{0,8}+[\\"']{0,4}+([^\W\d][\w.-]{1,127}+)[\\"']{0,4}+"""
    r"""[,;\s]{1,64}+[\\"']{0,4}+[Vv]alue[\\"']{0,4}+\s{0,8}+[=:]\s{0,8}+"""
)
_ELEMENT = re.compile(r"<(?:\w[\w.-]{0,63}+:)?([^\W\d][\w.-]{1,127}+)(?:\s[^<>]{0,512}+)?+(?<!/)>")


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
        return _without_own(arguments) if self.mode == "full" else self._rules.redacted(arguments)


class Rules:
    """The names and looks that a tenant redacts."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        names = [plain_name(pattern) for pattern in patterns if not pattern.startswith("/")]
        every = (*SECRET_NAMES, *names)
        # Most patterns ask what a name is, ends with, or contains; that has a quicker answer.
        self._exact = frozenset(name for name in every if "*" not in name)
        self._ends = tuple(name[1:] for name in every if name[0] == "*" and "*" not in name[1:])
        self._inside = [name[1:-1] for name in every if _is_inside(name)]
        self._others = [compile_pattern(name) for name in every if "*" in name[1:] and not _is_inside(name)]
        self._pointers = tuple(_pointer(pattern) for pattern in patterns if pattern.startswith("/"))
        self._known: Callable[[str], tuple[bool, str]] = lru_cache(4096)(self._name)

    def redacted(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments without secrets; the same object when there are none."""
        return self._object(arguments, self._pointers)

    def _name(self, name: str) -> tuple[bool, str]:
        """Whether what stands under the name is a secret, and the name as it is shown."""
        return self._is_secret(name), self._text(name)

    def _is_secret(self, name: str) -> bool:
        plain = plain_name(name)
        if plain in self._exact or plain.endswith(self._ends) or any(map(plain.__contains__, self._inside)):
            return True
        return any(matches(plain) for matches in self._others)

    def _value(self, value: Any, pointers: tuple[_Pointer, ...]) -> Any:
        kind = type(value)
        if kind is str:
            return value if len(value) < _SHORTEST else self._text(value)
        if kind is dict:
            return self._object(value, pointers)
        if kind is list:
            return self._list(value, pointers)
        if (kind is int or kind is float) and not -(10**12) < value < 10**12:
            return MARK if _is_card_number(value) else value
        return value

    def _look(self, name: str) -> tuple[bool, str]:
        # Long names are looked at each time, so that nobody fills the memory with them.
        return self._known(name) if len(name) <= _CACHED_NAME else self._name(name)

    def _object(self, value: Mapping[str, Any], pointers: tuple[_Pointer, ...]) -> Mapping[str, Any]:
        changed: dict[str, tuple[str, Any]] = {}
        named = ("value" in value or "Value" in value) and self._names_a_secret(value)
        for name, item in value.items():
            secret, shown = self._look(name)
            if (secret or (named and name in _VALUE)) and item is not None:
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
            elif type(item) is str and item[:2] == "--" and self._is_option(value[at : at + 2]):
                items[at + 1] = MARK
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value

    def _names_a_secret(self, value: Mapping[str, Any]) -> bool:
        """Whether it is a header or a variable, as `{"name": "DB_PASSWORD", "value": ...}`, whose value is a secret."""
        return any(type(name := value.get(by)) is str and self._look(name)[0] for by in _NAMED_BY)

    def _is_pair(self, items: list[Any]) -> bool:
        """Whether it is `["Authorization", ...]`."""
        return type(items[0]) is str and items[1] is not None and self._look(items[0])[0]

    def _is_option(self, items: list[Any]) -> bool:
        """Whether it is `["--password", ...]`, two neighbours of a command line."""
        if len(items) < 2 or (type(items[1]) is str and items[1][:1] == "-"):
            return False
        return self._look(items[0][2:])[0]

    def _pointed(self, name: str, item: Any, pointers: tuple[_Pointer, ...]) -> Any:
        left = tuple(pointer[1:] for pointer in pointers if pointer[0](name))
        if item is not None and () in left:
            return MARK
        return self._value(item, left)

    def _text(self, text: str) -> str:
        """The text without what looks like a secret: none of the rules finds anything in it any more."""
        if not (
            "=" in text
            or ":" in text
            or "eyJ" in text
            or "act_" in text
            or _HINTS.search(text)
            or _MANY_DIGITS.search(text)
        ):
            return text
        for _ in range(4):
            again = self._once(text)
            if again == text:
                return text
            text = again
        return MARK

    def _once(self, text: str, deep: int = 0) -> str:
        if "eyJ" in text or "act_" in text:
            text = without_secrets(text, MARK)
        text = _LOOKS.sub(MARK, text)
        if "://" in text:
            text = _USER_INFO.sub(f"://{MARK}@", text)
        if "=" in text or ":" in text:
            text = self._unassigned(_ASSIGNS, text)
        if _MANY_DIGITS.search(text):
            text = _SSN.sub(MARK, _DIGITS.sub(_without_card, text))
        return self._rarer(text, deep) if _RARE.search(text) else text

    def _rarer(self, text: str, deep: int) -> str:
        if "--" in text:
            text = self._unassigned(_FLAG, text)
        if "<" in text:
            text = self._unassigned(_ELEMENT, text)
        if "alue" in text:
            text = self._unassigned(_PAIR, text)
        if deep < _DEEPEST and _ESCAPED_SIGN.search(text):
            plain = _ESCAPED.sub(_character, text)
            # Where it has a secret it is shown as it reads; else as it is.
            return text if (found := self._once(plain, deep + 1)) == plain else found
        return text

    def _unassigned(self, assigns: re.Pattern[str], text: str) -> str:
        for found in assigns.finditer(text):
            if self._known(found[1])[0]:
                return self._without_values(assigns, text)
        return text

    def _without_values(self, assigns: re.Pattern[str], text: str) -> str:
        kept: list[str] = []
        begin = at = 0
        while found := assigns.search(text, at):
            at = found.end()
            if self._known(found[1])[0] and (end := end_of_value(text, found)) > at:
                kept += [text[begin:at], MARK]
                begin = at = end
        return "".join((*kept, text[begin:]))


def _is_inside(pattern: str) -> bool:
    return len(pattern) > 2 and pattern[0] == pattern[-1] == "*" and "*" not in pattern[1:-1]


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


def _without_own(value: Any) -> Any:
    """The value without our own tokens and keys; the same object when there are none."""
    if isinstance(value, str):
        new = without_secrets(value, MARK)
        return value if new == value else new
    if isinstance(value, list):
        items = [_without_own(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, dict):
        return value
    parts = {name: (_without_own(name), _without_own(item)) for name, item in value.items()}
    changed = {name: part for name, part in parts.items() if part[0] is not name or part[1] is not value[name]}
    return _rewritten(value, changed) if changed else value


def _character(found: re.Match[str]) -> str:
    """What an escape stands for, of ASCII alone."""
    if found[5]:
        return _ENTITIES[found[5]]
    if found[4]:
        code = int(found[4])
        return chr(code) if 32 <= code < 127 else found[0]
    return chr(int(found[1] or found[2] or found[3], 16))


def _is_card_number(number: float) -> bool:
    text = str(abs(int(number)))
    return number == int(number) and 13 <= len(text) <= 19 and _is_card(text)


def _without_card(found: re.Match[str]) -> str:
    """A run of digits without card numbers; those stand alone, or in groups beside each other."""
    run, begin, kept = found[0], 0, list[str]()
    groups = list(_GROUP.finditer(run))
    at = 0
    while at < len(groups):
        if (end := _card_from(groups, at)) is None:
            at += 1
            continue
        kept += [run[begin : groups[at].start()], MARK]
        begin, at = groups[end].end(), end + 1
    return "".join((*kept, run[begin:]))


def _card_from(groups: list[re.Match[str]], first: int) -> int | None:
    """The last group of the longest card number that begins with this group."""
    digits, found = "", None
    if groups[first][0][0] not in "23456":
        return None
    for at in range(first, len(groups)):
        digits += groups[at][0]
        if len(digits) > 19:
            break
        if len(digits) >= 13 and _is_card(digits):
            found = at
    return found


def _is_card(digits: str) -> bool:
    """Whether 13 to 19 digits can be the number of a payment card (ISO/IEC 7812: the issuer, and Luhn's check)."""
    return digits[0] in "23456" and sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0
