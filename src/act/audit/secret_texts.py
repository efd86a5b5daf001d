"""What looks like a secret within a text: by its own look, or behind a name. Pure.

Each expression for a look begins with a literal and gives no character back.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import Final

from act.audit import command_secrets
from act.audit.card_numbers import MANY_DIGITS, without_numbers
from act.audit.secret_names import SecretNames
from act.audit.values import MARK, PREFIX, QUOTED, end_of_count, end_of_part, end_of_value
from act.secret_looks import LOOK, looks
from act.text import without_secrets

_CACHED_NAME: Final = 64
_LOOKS: Final = looks()

End = Callable[[str, re.Match[str]], int]

_SIGNS: Final = r"""
      %(?:25)*+(?:22|3[ADEade]|[46][1-9A-Fa-f]|[57][0-9Aa])
    | &(?:quot|gt|equals|colon|\#0*+(?:34|58|61|62|6[5-9]|[789][0-9]|1[01][0-9]|12[012]));
    | &\#[Xx]0*+(?:22|3[ADEade]|[46][1-9A-Fa-f]|[57][0-9Aa]);
    | \\u00(?:22|3[ADEade]|[46][1-9A-Fa-f]|[57][0-9Aa])
    """
"""What separates a name from its value, or a letter, written for URLs, for HTML, or for JSON within JSON."""
_ESCAPED_SIGN = re.compile(_SIGNS, re.VERBOSE)
_ESCAPED = re.compile(
    r"%([2-7][0-9A-Fa-f])|\\u00([2-7][0-9A-Fa-f])|&\#[Xx]0*+([2-7][0-9A-Fa-f]);|&\#0*+([0-9]{2,3});|&(quot|apos|lt|gt|amp|equals|colon);"
)
_ENTITIES: Final = {"quot": '"', "apos": "'", "lt": "<", "gt": ">", "amp": "&", "equals": "=", "colon": ":"}
_DEEPEST: Final = 3
"""Times that a text may have been escaped."""
# What else may hold a secret; again with literals first, and with none that is a frequent letter.
_SCHEME: Final = r"B[Aa][Ss][Ii][Cc](?:\s|%20) | b[Aa][Ss][Ii][Cc](?:\s|%20)"
_COMMANDS = re.compile(command_secrets.HINTS, re.VERBOSE)
_HINTS = re.compile(
    rf"--\w | <\w | \([ \t]{{0,4}}[\"'] | {_SCHEME} | {_SIGNS} | {command_secrets.HINTS} | {LOOK}", re.VERBOSE
)
_RARE = re.compile(rf"value | Value | name= | --\w | <\w | \([ \t]{{0,4}}[\"'] | {_SIGNS}", re.VERBOSE)
_BASIC = re.compile(rf"({_SCHEME})((?:\s|%20){{0,3}}+)([\w+/-]{{8,}}+(?:=|%3[Dd]){{0,2}}+)", re.VERBOSE | re.ASCII)
_USER_INFO = re.compile(r"://(?!(?:\[redacted\]|git)@[^\s/?#@]*(?![^\s/?#]))[^\s/?#]*@")
# `name=value`, `name: value`, `"name": "value"` and `--name value` within a text: up to the value.
# Behind the name may stand what ends it in code (`x["name"] = `), in Markdown (`**name:** `) or in JSON within JSON,
# and columns of spaces.
_GAP: Final = r"[ \t\u00a0\u2000-\u200b\u202f\u3000]*+"
_SECOND: Final = "[Kk]ey|KEY|[Cc]ode|CODE|[Pp]hrase|PHRASE|[Ss]tring|STRING|[Nn]umber|NUMBER|[Ii]d|ID"
"""The second word of a name that a person writes in two: `API key`."""
_ASSIGNS = re.compile(
    rf"""
    ([^\W\d](?<!\w\w)[\w.-]{{1,127}}+(?:[ ](?=[CcIiKkNnPpSs])(?:{_SECOND})s?\b)?+)[\\"'\])*`]{{0,9}}+{_GAP}
    (?:[|?+]{{1,2}}+(?==))?+[=:]{{1,3}}+>?(?:\*{{1,3}}+(?=\s)|</\w{{1,16}}+>)?+{_GAP}
    """,
    re.VERBOSE,
)
_FLAG = re.compile(r"--([^\W\d][\w-]{1,63}+)[ \t]++(?!-)")
# A name that is a value itself, and the value that stands beside it, perhaps with something in between.
_PAIR = re.compile(
    r"""(?:name|Name|key|Key|header|field)[\\"']{0,4}+\s{0,8}+[=:]\s{0,8}+[\\"']{0,4}+([^\W\d][\w.-]{1,127}+)[\\"']{0,4}+"""
    r"""[,;&\s]{1,64}+(?:[\\"'\w][^{}<>\n]{0,200}?[,;&\s]{1,64}+)??[\\"']{0,4}+[Vv]alue[\\"']{0,4}+\s{0,8}+[=:]\s{0,8}+"""
)
# The value may stand before the name, too.
_BACKWARDS = re.compile(
    r"""([Vv]alue[\\"']{0,4}+\s{0,8}+[=:]\s{0,8}+)("[^"\n]{1,256}+"|'[^'\n]{1,256}+'|[^\s"'<>,;]{1,256}+)([,;\s]{1,64}+"""
    r"""[\\"']{0,4}+(?:name|Name|key|Key|header|field)[\\"']{0,4}+\s{0,8}+[=:]\s{0,8}+[\\"']{0,4}+([^\W\d][\w.-]{1,127}+))"""
)
# A part of a form (RFC 7578): what is behind the empty line.
_PART = re.compile(
    r"""name=["']?([^\W\d][\w.-]{1,127}+)["']?(?:;[^\r\n]{0,256}+)?+\r?\n(?:[\w-]{1,64}+:[^\r\n]{0,256}+\r?\n){0,4}+\r?\n"""
)
# A name as the first of two arguments: `getenv("DB_PASSWORD", "...")`.
_FIRST = re.compile(
    rf"""\([ \t]{{0,4}}+["']([^\W\d](?<!\w\w)[\w.-]{{1,127}}+)["'][ \t]{{0,4}}+,[ \t]{{0,4}}+(?=(?:{PREFIX})?["'`])"""
)
# Whoever calls it, the second argument of `HTTPBasicAuth("me", "...")` is one.
_AUTH = re.compile(
    rf"""([Aa]uth\([ \t]{{0,4}}+(?:{PREFIX})?{QUOTED}[ \t]{{0,4}}+,[ \t]{{0,4}}+)((?:{PREFIX})?{QUOTED})"""
)
_ELEMENT = re.compile(r"<(?:\w[\w.-]{0,63}+:)?([^\W\d][\w.-]{1,127}+)(?:\s[^<>]{0,512}+)?+(?<!/)>")


class Kind(IntEnum):
    """What stands under a name."""

    OTHER = 0
    SECRET = 1
    COUNT = 2
    """A secret, unless it is a number."""


class SecretTexts:
    """Texts without their secrets, and names, which are texts too."""

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        self._known: Callable[[str], tuple[Kind, str]] = lru_cache(4096)(self._name)

    def name(self, name: str) -> tuple[Kind, str]:
        """What stands under the name, and the name as it is shown."""
        # Long names are looked at each time, so that nobody fills the memory with them.
        return self._known(name) if len(name) <= _CACHED_NAME else self._name(name)

    def _name(self, name: str) -> tuple[Kind, str]:
        secret, counted = self._names.has(name), self._names.counts(name)
        return Kind.SECRET if secret else Kind.COUNT if counted else Kind.OTHER, self.redacted(name)

    def redacted(self, text: str) -> str:
        """The text without what looks like a secret: none of the rules finds anything in it any more."""
        if not (
            "=" in text
            or ":" in text
            or "eyJ" in text
            or "act_" in text
            or _HINTS.search(text)
            or MANY_DIGITS.search(text)
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
        text = _BASIC.sub(_without_credentials, _LOOKS.sub(MARK, text))
        if "://" in text:
            text = _USER_INFO.sub(f"://{MARK}@", text)
        if "=" in text or ":" in text:
            text = self._unassigned(_ASSIGNS, text)
        if _COMMANDS.search(text):
            text = command_secrets.without_commanded(text)
        if MANY_DIGITS.search(text):
            text = without_numbers(text)
        return self._rarer(text, deep) if _RARE.search(text) else text

    def _rarer(self, text: str, deep: int) -> str:
        if "--" in text:
            text = self._unassigned(_FLAG, text)
        if "<" in text:
            text = self._unassigned(_ELEMENT, text)
        if "alue" in text:
            text = _BACKWARDS.sub(self._without_value, self._unassigned(_PAIR, text))
        if "name=" in text:
            text = self._unassigned(_PART, text, end_of_part)
        if "(" in text:
            text = _AUTH.sub(rf"\1{MARK}", self._unassigned(_FIRST, text))
        if deep < _DEEPEST and _ESCAPED_SIGN.search(text):
            plain = _ESCAPED.sub(_character, text)
            # Where it has a secret it is shown as it reads; else as it is.
            return text if (found := self._once(plain, deep + 1)) == plain else found
        return text

    def _unassigned(self, assigns: re.Pattern[str], text: str, end_of: End = end_of_value) -> str:
        for found in assigns.finditer(text):
            if self._known(found[1])[0]:
                return self._without_values(assigns, text, end_of)
        return text

    def _without_values(self, assigns: re.Pattern[str], text: str, end_of: End) -> str:
        kept: list[str] = []
        begin = at = 0
        while found := assigns.search(text, at):
            at = found.end()
            kind = self._known(found[1])[0]
            if kind and (end := (end_of_count if kind is Kind.COUNT else end_of)(text, found)) > at:
                kept += [text[begin:at], MARK]
                begin = at = end
        return "".join((*kept, text[begin:]))

    def _without_value(self, found: re.Match[str]) -> str:
        """A value before its name."""
        secret = self._known(found[4])[0] is Kind.SECRET and found[2] != MARK
        return f"{found[1]}{MARK}{found[3]}" if secret else found[0]


def _without_credentials(found: re.Match[str]) -> str:
    """A name and a password (RFC 7617), if it is that, and no ordinary word."""
    text = found[3].rstrip("=").replace("-", "+").replace("_", "/").partition("%")[0]
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return found[0]
    return f"{found[1]}{found[2]}{MARK}" if b":" in plain and plain.isascii() else found[0]


def _character(found: re.Match[str]) -> str:
    """What an escape stands for, of ASCII alone."""
    if found[5]:
        return _ENTITIES[found[5]]
    if found[4]:
        code = int(found[4])
        return chr(code) if 32 <= code < 127 else found[0]
    return chr(int(found[1] or found[2] or found[3], 16))
