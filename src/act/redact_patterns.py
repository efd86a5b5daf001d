"""Which patterns may name what the log does not keep of arguments, and how member names are compared with them. Pure.

A tenant's `redactPatterns` are patterns of names (2-semantics, "Patterns"), or JSON pointers of which each segment is
one. There are no regular expressions: no pattern can take long, whatever it is held against.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from act.policies.globs import pattern_fault

MAX_PATTERNS: Final = 64
MAX_PATTERN: Final = 128

_BETWEEN = str.maketrans("", "", "-_. ")
_BAD_ESCAPE = re.compile(r"~(?![01])")


def plain_name(name: str) -> str:
    """A member name as it is compared: in whatever case, and with whatever between its words, it is one name."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
    return name.casefold().translate(_BETWEEN)


def redact_pattern_fault(pattern: str) -> str | None:
    """Why `pattern` is not one that redacts, as a sentence; None when it is one.

    It is a pattern for names of members at any depth, or, when it begins with `/`, a JSON pointer (RFC 6901) of which
    each segment is a pattern.
    """
    if len(pattern) > MAX_PATTERN:
        return f"A pattern has at most {MAX_PATTERN} characters."
    if pattern.startswith("/"):
        if _BAD_ESCAPE.search(pattern):
            return "In a JSON pointer '~' is written '~0', and '/' within a name '~1'."
        return next((fault for part in pattern[1:].split("/") if part and (fault := pattern_fault(part))), None)
    if fault := pattern_fault(pattern):
        return fault
    if not plain_name(pattern):
        return "Nothing is left of it: names are compared without '-', '_', '.' and spaces."
    return None
