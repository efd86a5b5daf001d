"""The pattern language, and which actions and resources may be compared at all (2-semantics, "Patterns").

`*` matches any run of characters, also `/` and the empty run; everything else is literal and case-sensitive.
What could be read in two ways is never guessed at: `resource_fault` and `action_fault` say why, the caller normalizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from act.text import text_fault

MAX_PATTERN = 1024
MAX_STARS = 8
MAX_RESOURCE = 2048
MAX_ACTION = 256

Matcher = Callable[[str], bool]


def pattern_fault(pattern: str) -> str | None:
    """Why `pattern` is not a pattern, as a sentence; None when it is one."""
    if not pattern:
        return "A pattern cannot be empty; write * to match everything."
    if len(pattern) > MAX_PATTERN:
        return f"A pattern has at most {MAX_PATTERN} characters."
    if pattern.count("*") > MAX_STARS:
        return f"A pattern has at most {MAX_STARS} stars."
    return text_fault(pattern)


def compile_pattern(pattern: str) -> Matcher:
    """A matcher for a pattern that has no fault. Linear in the text for each literal piece; no backtracking."""
    if "*" not in pattern:
        return pattern.__eq__
    prefix, *middles, suffix = pattern.split("*")
    pieces = tuple(piece for piece in middles if piece)
    if not pieces:
        if not suffix:
            return _Prefix(prefix) if prefix else _everything
        shortest = len(prefix) + len(suffix)
        return lambda text: len(text) >= shortest and text.startswith(prefix) and text.endswith(suffix)
    return lambda text: _match(text, prefix, pieces, suffix)


def _match(text: str, prefix: str, pieces: tuple[str, ...], suffix: str) -> bool:
    end = len(text) - len(suffix)
    if end < len(prefix) or not text.startswith(prefix) or not text.endswith(suffix):
        return False
    position = len(prefix)
    for piece in pieces:  # the leftmost place is always the best one, because only stars lie between
        found = text.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def _everything(_: str) -> bool:
    return True


class _Prefix:
    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __call__(self, text: str) -> bool:
        return text.startswith(self._prefix)


# Escapes that some reader downstream would undo: unreserved characters, separators, controls, backslash, and a
# percent sign before two hex digits (a second decoding would make any of the others out of it).
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[fF]|5[cC]|25[0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"%([2-7][0-9A-Fa-f])")
_UNRESERVED_OR_SEPARATOR = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]")
_DOT_SEGMENT = re.compile(r"(?:^|[/?#:])\.{1,2}(?:[/?#;]|$)")
_EMPTY_SEGMENT = re.compile(r"//")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def resource_fault(resource: str) -> str | None:
    """Why `resource` could be read in two ways, as a sentence; None when it is in canonical form."""
    if not resource:
        return "The resource is empty."
    if len(resource) > MAX_RESOURCE:
        return f"The resource has more than {MAX_RESOURCE} characters."
    if fault := text_fault(resource):
        return fault
    if "\\" in resource:
        return "The resource contains a backslash; use '/'."
    if "%" in resource and (fault := _escape_fault(resource)):
        return fault
    if "." in resource and _DOT_SEGMENT.search(resource):
        return "The resource has a '.' or '..' segment; send the path it leads to."
    return _empty_segment_fault(resource)


def action_fault(action: str) -> str | None:
    """Why `action` is not an action, as a sentence; None when it is one."""
    if not action:
        return "The action is empty."
    if len(action) > MAX_ACTION:
        return f"The action has more than {MAX_ACTION} characters."
    return text_fault(action)


def _escape_fault(resource: str) -> str | None:
    if found := _ESCAPE.search(resource):
        return f"The resource has the percent-escape {found.group()!r}, which can be read in two ways."
    for found in _ESCAPED.finditer(resource):
        if _UNRESERVED_OR_SEPARATOR.match(chr(int(found[1], 16))):
            return f"The resource has the percent-escape {found.group()!r}; write the character itself."
    return None


def _empty_segment_fault(resource: str) -> str | None:
    scheme = _SCHEME.match(resource)
    # `file:///etc`: an empty authority is one reading only, so the rest may begin with one slash.
    start = scheme.end() if scheme else 0
    path_end = min((at for at in (resource.find("?"), resource.find("#")) if at >= 0), default=len(resource))
    if _EMPTY_SEGMENT.search(resource, start, path_end):
        return "The resource has an empty path segment ('//'); send the path without it."
    return None
