"""What looks like a secret within a text: by its own look, or behind a name. Pure.

Each expression for a look begins with a literal and gives no character back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from act.audit.card_numbers import MANY_DIGITS, without_numbers
from act.audit.secret_names import SecretNames
from act.audit.values import MARK, end_of_value
from act.text import without_secrets

_CACHED_NAME: Final = 64

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


class SecretTexts:
    """Texts without their secrets, and names, which are texts too."""

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        self._known: Callable[[str], tuple[bool, str]] = lru_cache(4096)(self._name)

    def name(self, name: str) -> tuple[bool, str]:
        """Whether what stands under the name is a secret, and the name as it is shown."""
        # Long names are looked at each time, so that nobody fills the memory with them.
        return self._known(name) if len(name) <= _CACHED_NAME else self._name(name)

    def _name(self, name: str) -> tuple[bool, str]:
        return self._names.has(name), self.redacted(name)

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
        text = _LOOKS.sub(MARK, text)
        if "://" in text:
            text = _USER_INFO.sub(f"://{MARK}@", text)
        if "=" in text or ":" in text:
            text = self._unassigned(_ASSIGNS, text)
        if MANY_DIGITS.search(text):
            text = without_numbers(text)
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


def _character(found: re.Match[str]) -> str:
    """What an escape stands for, of ASCII alone."""
    if found[5]:
        return _ENTITIES[found[5]]
    if found[4]:
        code = int(found[4])
        return chr(code) if 32 <= code < 127 else found[0]
    return chr(int(found[1] or found[2] or found[3], 16))
