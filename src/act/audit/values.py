"""Where a value ends that stands behind its name in a text: in its line, in brackets, in lines below it. Pure.

Each function takes time that grows with the length of what it passes over, and what is passed over is not looked at
again by the search that asked.
"""

from __future__ import annotations

import re
from typing import Final

from act.redact_patterns import plain_name

MARK: Final = "[redacted]"
"""Stands in the place of a secret."""

_ASSIGNED = re.compile(r""""(?:[^"\\\n]++|\\.)*+"?|\\++"[^"\n]*+"?|'[^'\n]*+'?|[^\s&;,"'<>]++""")
_TO_THE_END = re.compile(r"""["']?[^"'\n]++(?:(?:(?<==)|(?<==\\))["'][^"'\n]*+["'][^"'\n]*+)*+""")
"""A cookie, or credentials with the name of their scheme, go on to the end of the line, with quoted parts in them."""
_QUOTED_OR_BRACKET = re.compile(r'\\++"[^"]*+"?|"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_LINE_ENDS = re.compile(r"(?:[|>][-+0-9]{0,2}+)?[ \t]*+(?:\#[^\n]*+)?\r?\n(?:[ \t]*\r?\n){0,2}")
"""Nothing follows in this line but the sign of a block (YAML); then at most two lines that are empty."""
_STATEMENT = re.compile(
    r"[ \t]*+(?:async|case|class|def|elif|except|for|if|match|switch|while|with)\b(?!\s*+[=:])", re.ASCII
)
"""Begins a line of a program whose colon is that of a block."""
_LINE = re.compile(r"""[ \t]*+(?:-[ \t]++)*+[\\"']{0,4}""")
_LINE = re.compile(r"([ \t]*+)([^\n]*+)\n?")
_ALONE = re.compile(
    r"""[ \t]*+(?![\w.-]++[\\"'\])]{0,4}[ \t]*+[=:][^\s=])([^\s"'<>]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+(?=[\r\n]|\Z)"""
)
"""One word in a line of its own, which is no other name with a value."""


def holds_something(text: str) -> bool:
    """Whether there is anything in it but marks and signs."""
    return any(map(str.isalnum, text.replace(MARK, "")))


def end_of_value(text: str, name: re.Match[str]) -> int:
    """Where the value ends that begins where `name` ends; there when there is none.

    Args:
        name: what comes before the value, up to `=` or `:`, or the begin of an element; its first group is the name.
    """
    at = name.end()
    if name[0][0] == "<":
        return _end_of_element(text, name)
    if text[at : at + 1] in ("[", "{") and not text.startswith(MARK, at):
        return _end_of_brackets(text, at)
    long = plain_name(name[1]).endswith(("cookie", "authorization"))
    value = (_TO_THE_END if long else _ASSIGNED).match(text, at)
    if value and holds_something(value[0]):
        return value.end()
    return _end_below(text, name)


def _end_of_element(text: str, begin: re.Match[str]) -> int:
    """Where the content ends of an XML element; of one that is never closed, its first word."""
    at, name = begin.end(), begin[0][1:-1].split()[0]
    end = text.find(f"</{name}>", at)
    if end < 0:
        value = _ASSIGNED.match(text, at)
        end = value.end() if value else at
    return end if holds_something(text[at:end]) else at


def _end_of_brackets(text: str, at: int) -> int:
    """Behind the bracket that closes the one here; the end of the text when none does, or one holds nothing."""
    depth = 0
    for found in _QUOTED_OR_BRACKET.finditer(text, at):
        if found[0] in ("[", "{"):
            depth += 1
        elif found[0] in ("]", "}"):
            depth -= 1
            if depth == 0:
                return found.end() if holds_something(text[at : found.end()]) else at
    return len(text)


def _end_below(text: str, name: re.Match[str]) -> int:
    """The end of a value that stands in the lines below its name: those that are indented more, a list, or one word."""
    at, line = name.end(), text.rfind("\n", 0, name.start()) + 1
    if (ends := _LINE_ENDS.match(text, at)) is None or _STATEMENT.match(text, line):
        return at
    below = ends.end()
    end = _end_of_block(text, below, len(_indent(text, line)))
    if not holds_something(text[at:end]):
        alone = _ALONE.match(text, below)
        end = alone.end() if alone else at
    return end if holds_something(text[below:end]) else at


def _end_of_block(text: str, at: int, indent: int) -> int:
    """The end of the lines, from `at` on, that are indented by more than `indent`, or items of a list (YAML)."""
    end = at
    while at < len(text) and (line := _LINE.match(text, at)):
        content = line[2].strip()
        if content and len(line[1]) <= indent and not line[2].startswith("- "):
            break
        at = line.end()
        if content:
            end = line.end(2)
    return end


def _indent(text: str, line: int) -> str:
    found = _LINE.match(text, line)
    return found[1] if found else ""
