"""Which actions and resources may be compared at all (2-semantics, "Patterns").

What could be read in two ways is never guessed at: `resource_fault` and `action_fault` say why, the caller normalizes.
"""

from __future__ import annotations

import re
from typing import Final

from act.text import text_fault

MAX_RESOURCE = 2048
MAX_ACTION = 256

# Escapes that some reader downstream would undo: unreserved characters, separators, controls, backslash, and a
# percent sign before two hex digits (a second decoding would make any of the others out of it).
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[fF]|5[cC]|25[0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"%([2-7][0-9A-Fa-f])")
_UNRESERVED_OR_SEPARATOR = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]")
_DOT_SEGMENT = re.compile(r"(?:^|[/?#:])\.{1,2}(?:[/?#;]|$)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

# What most resources look like: ASCII, nothing escaped, no segment that is empty or begins with a dot. It only ever
# says yes; whatever it does not know is looked at rule by rule.
_PLAIN = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+\-]*+://)?+"
    r"[A-Za-z0-9_\-~!$&'()*+,;=@\[\]][A-Za-z0-9_\-~!$&'()*+,;=@\[\].]*+"
    r"(?:[/:?#](?!\.)[A-Za-z0-9_\-~!$&'()*+,;=@\[\].]++)*+[/:?#]?"
).fullmatch

_is_ascii: Final = str.isascii
_is_printable: Final = str.isprintable

# Actions that were looked at and have no fault: there are few, and they come again and again.
_ACTIONS: Final[set[str]] = set()
_MOST_ACTIONS: Final = 1000

_ESCAPE_BEFORE_STAR = re.compile(r"%([0-9A-Fa-f]?)\*")
_HEX = "0123456789ABCDEF"


def resource_fault(resource: str) -> str | None:
    """Why `resource` could be read in two ways, as a sentence; None when it is in canonical form."""
    if (_is_simple(resource) or _PLAIN(resource)) and len(resource) <= MAX_RESOURCE:
        return None
    return exact_resource_fault(resource)


def _is_simple(resource: str) -> bool:
    """A yes as certain as `_PLAIN`'s, and sooner: ASCII without a dot, and no `//` but that after the scheme."""
    if "." in resource or "%" in resource or "\\" in resource or " " in resource:
        return False
    if not (_is_ascii(resource) and _is_printable(resource)):
        return False
    at = resource.find("//")
    if at < 0:
        return resource != ""
    if at < 2 or resource[at - 1] != ":" or resource.find("//", at + 2) >= 0:
        return False
    scheme = resource[: at - 1]
    return scheme.isalnum() and scheme[0] > "9"


def exact_resource_fault(resource: str) -> str | None:
    """`resource_fault`, rule by rule: the same answers without the short cut."""
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
    if "." in resource and (fault := _dot_segment_fault(resource)):
        return fault
    return _empty_segment_fault(resource)


def action_fault(action: str) -> str | None:
    """Why `action` is not an action, as a sentence; None when it is one."""
    if action in _ACTIONS:
        return None
    if action.isascii() and action.isidentifier() and len(action) <= MAX_ACTION:
        if len(_ACTIONS) < _MOST_ACTIONS:
            _ACTIONS.add(action)
        return None
    return exact_action_fault(action)


def exact_action_fault(action: str) -> str | None:
    """`action_fault`, rule by rule: the same answers without the short cut."""
    if not action:
        return "The action is empty."
    if len(action) > MAX_ACTION:
        return f"The action has more than {MAX_ACTION} characters."
    return text_fault(action)


def never_an_action(pattern: str) -> str | None:
    """The fault of every action that `pattern` (which has none of its own) matches, as a sentence; None when there is
    an action that it matches.
    """
    if len(pattern) - pattern.count("*") > MAX_ACTION:
        return f"The action has more than {MAX_ACTION} characters."
    return None


def never_canonical(pattern: str) -> str | None:
    """The fault of every resource that `pattern` matches, as a sentence; None when it matches a canonical one.

    Only what no filling of a star can mend counts, so a star is treated as a character that takes part in nothing.
    An answer is always right; None may be given to a pattern (without fault of its own) that is hopeless in a way
    not looked for here.
    """
    if "*" not in pattern:
        return resource_fault(pattern)
    if "\\" in pattern:
        return "The resource contains a backslash; use '/'."
    # An escape cut off by a star is finished by the text in the star's place: it is at fault if every ending is.
    for digit in {found[1] for found in _ESCAPE_BEFORE_STAR.finditer(pattern)}:
        if digit and all(_escape_fault(f"%{digit}{ending}") for ending in _HEX):
            return f"The resource has a percent-escape that begins with '%{digit}'; none such is read in one way only."
    if fault := _escape_fault(_ESCAPE_BEFORE_STAR.sub("*", pattern)):
        return fault
    if fault := _dot_segment_fault(pattern):
        return fault
    # After a star any '//' may follow a '?' or a scheme; before the first star nothing can come between.
    return _empty_segment_fault(pattern[: pattern.index("*")])


def _escape_fault(resource: str) -> str | None:
    if found := _ESCAPE.search(resource):
        return f"The resource has the percent-escape {found.group()!r}, which can be read in two ways."
    for found in _ESCAPED.finditer(resource):
        if _UNRESERVED_OR_SEPARATOR.match(chr(int(found[1], 16))):
            return f"The resource has the percent-escape {found.group()!r}; write the character itself."
    return None


def _dot_segment_fault(resource: str) -> str | None:
    if _DOT_SEGMENT.search(resource):
        return "The resource has a '.' or '..' segment; send the path it leads to."
    return None


def _empty_segment_fault(resource: str) -> str | None:
    scheme = _SCHEME.match(resource)
    # `file:///etc`: an empty authority is one reading only, so the rest may begin with one slash.
    start = scheme.end() if scheme else 0
    path_end = min((at for at in (resource.find("?"), resource.find("#")) if at >= 0), default=len(resource))
    if resource.find("//", start, path_end) >= 0:
        return "The resource has an empty path segment ('//'); send the path without it."
    return None
