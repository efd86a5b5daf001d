"""Where a value ends that stands behind its name in a text: in its line, in brackets, in lines below it. Pure.

Each function takes time that grows with the length of what it passes over, and what is passed over is not looked at
again by the search that asked.
"""

from __future__ import annotations

import re
from typing import Any, Final

from act.redact_patterns import plain_name

MARK: Final = "[redacted]"
"""Stands in the place of a secret."""

QUOTED: Final = r"""(?:"(?:[^"\\\n]++|\\.)*+"?|'(?:[^'\\\n]++|\\.|'')*+'?|`[^`\n]*+`?)"""
"""A text in quotes, in whatever language; what is never closed goes on to the end of the line."""
PREFIX: Final = "[bBfFrRuUnNeElL$@]{1,2}"
"""Before the quotes of Python, SQL, shells and others: `b'...'`, `N'...'`, `$'...'`."""
_VALUE: Final = rf"""
      (?:{PREFIX})?+(?:\"{{3}}(?s:.*?)(?:\"{{3}}|\Z)|'{{3}}(?s:.*?)(?:'{{3}}|\Z))
    | \\++"[^"\n]*+"?
    | {PREFIX}{QUOTED}
    | [\u201c\u201e][^\u201c\u201d\n]*+[\u201c\u201d]? | \u00ab[^\u00bb\n]*+\u00bb?
    | (?:new[ \t]{{1,4}}+)?[A-Za-z_$][\w.$:]{{0,63}}+
      \([ \t]{{0,4}}+{QUOTED}(?:[ \t]{{0,4}}+,[ \t]{{0,4}}+{QUOTED}){{0,4}}+\)?
    | {QUOTED}(?:[ \t]{{0,4}}+\+[ \t]{{0,4}}+{QUOTED}){{0,8}}+
    | \((?:[^()\n"'`]{{1,64}}+|{QUOTED}){{1,8}}+\)
    # A separator belongs to it unless another name with a value comes behind it, as in a query, or an entity.
    | [^\s&;,"'<>]++(?:(?:[;,]|&(?!\#?\w{{1,8}}+;))(?!(?:amp;)?[\w.%\[\]-]{{1,64}}+[\\"']{{0,4}}+[=:])[^\s&;,"'<>]++)*+
    """
_ASSIGNED = re.compile(_VALUE, re.VERBOSE)
_COUNTED = re.compile(
    rf"""(?:{PREFIX})?+["'`][^"'`\n]{{0,256}}+["'`]?|\\{{1,9}}+"[^"\n]{{0,256}}+"?|[^\s&;,"'<>]{{1,256}}+"""
)
"""Bounded, because what is no secret is passed over, and looked at again."""
_TEXTS = re.compile(r"""\[\s{0,64}+[\\]{0,9}+["'`]""")
"""Begins a list of texts."""
_TYPE: Final = r"""
    [&*]{0,2}+[A-Za-z_$][\w.$:]{0,63}+(?:[<\[][^\n=;"'(){}]{0,64}[>\]]){0,2}\??
    (?:[ \t]{0,4}+\|[ \t]{0,4}+\w[\w.]{0,63}+){0,3}+[ \t]{0,4}+=(?![=>~])[ \t]{0,8}+
    """
_TYPED = re.compile(rf"{_TYPE}(?:{_VALUE})", re.VERBOSE)
"""`str = "..."` behind `token: `, as in Python, TypeScript or Rust."""
_TO_THE_END = re.compile(
    rf"""(?:{PREFIX}(?=["']))?+["']?[^"'\n]++(?:(?:(?<==)|(?<==\\))["'][^"'\n]*+["'][^"'\n]*+)*+"""
)
"""A cookie, or credentials with the name of their scheme, go on to the end of the line, with quoted parts in them."""
_SPOKEN: Final = ("passphrase", "password", "passwd", "passwort", "kennwort", "secret", "pwd")
"""Names of what may have spaces in it."""
_WORDS = re.compile(r"""(?![\[{"'|>&*!`](?<!\[(?=redacted\])))[^\s]++(?:[ \t]++(?![\w.-]{1,64}+:\s)[^\s]++)*+""")
"""What stands behind a name at the begin of a line, without quotes (YAML): the rest of the line, up to another name."""
_NOTHING = re.compile(
    r"(?:None|null|NULL|nil|undefined)(?![^\s,;)\]}])"
    r"|(?:str|string|String|bytes|SecretStr)(?=[ \t]{0,4}+(?:[,;)\]}>\r\n]|->|\Z))"
)
"""That there is no value, or of what type it is to be."""
_LONGEST_INDENT: Final = 256
_LONGEST_ELEMENT: Final = 16 * 1024
"""Characters between the begin of an element and its end: no longer text is kept at all (`arguments.MAX_KEPT`)."""
_SECRET_SIZE: Final = 8
_PART_ENDS = re.compile(r"\r?\n--")
_QUOTED_OR_BRACKET = re.compile(r'\\++"[^"]*+"?|"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_LINE_ENDS = re.compile(r"(?:[|>][-+0-9]{0,2}+)?[ \t]*+(?:\#[^\n]*+)?\r?\n(?:[ \t]*\r?\n){0,2}")
"""Nothing follows in this line but the sign of a block (YAML); then at most two lines that are empty."""
_STATEMENT = re.compile(
    r"[ \t]*+(?:async|case|class|def|elif|except|for|if|match|switch|while|with)\b(?!\s*+[=:])", re.ASCII
)
"""Begins a line of a program whose colon is that of a block."""
_LINE = re.compile(r"([ \t]*+)([^\n]*+)\n?")
_ALONE = re.compile(
    r"""[ \t]*+(?![\w.-]++[\\"'\])]{0,4}[ \t]*+[=:][^\s=])([^\s"'<>]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+(?=[\r\n]|\Z)"""
)
"""One word in a line of its own, which is no other name with a value."""


def holds_something(text: str) -> bool:
    """Whether there is anything in it but marks and signs."""
    return any(map(str.isalnum, text.replace(MARK, "")))


def is_count(value: Any) -> bool:
    """Whether it is a number, or has nothing but numbers in it."""
    if isinstance(value, str):
        return not any(map(str.isalpha, value))
    if isinstance(value, list):
        return all(map(is_count, value))
    return all(map(is_count, value.values())) if isinstance(value, dict) else True


def end_of_count(text: str, name: re.Match[str]) -> int:
    """As `end_of_value`, behind a name under which numbers, types and calls stand, too: only a secret is a value."""
    at = name.end()
    if _TEXTS.match(text, at):
        return _end_of_brackets(text, at)
    value = _COUNTED.match(text, at)
    if name[0][0] == "<" or value is None or not holds_something(value[0]):
        return at
    letters, digits = any(map(str.isalpha, value[0])), any(map(str.isdigit, value[0]))
    quoted = value[0][-1] in "\"'`"
    if not letters or not (quoted or (digits and len(value[0]) >= _SECRET_SIZE)):
        return at
    whole = _ASSIGNED.match(text, at)
    return whole.end() if whole else value.end()


def end_of_part(text: str, name: re.Match[str]) -> int:
    """Where a part of a form ends (multipart/form-data)."""
    at = name.end()
    end = found.start() if (found := _PART_ENDS.search(text, at)) else len(text)
    return end if holds_something(text[at:end]) else at


def end_of_value(text: str, name: re.Match[str]) -> int:
    """Where the value ends that begins where `name` ends; there when there is none.

    Args:
        name: what comes before the value, up to `=` or `:`, or the begin of an element; its first group is the name.
    """
    at = name.end()
    if name[0][0] == "<":
        return _end_of_element(text, name)
    if _NOTHING.match(text, at):
        return at
    if text[at : at + 1] in ("[", "{") and not text.startswith(MARK, at):
        return _end_of_brackets(text, at)
    value = _expression(text, name).match(text, at)
    if value and holds_something(value[0]):
        return value.end()
    return _end_below(text, name)


def _expression(text: str, name: re.Match[str]) -> re.Pattern[str]:
    """What the value behind this name looks like."""
    plain, at = plain_name(name[1]), name.end()
    if plain.endswith(("cookie", "authorization")):
        return _TO_THE_END
    sign = name[0].rstrip()[-1:]
    if sign != ":":
        return _ASSIGNED
    if _TYPED.match(text, at):
        return _TYPED
    spoken = plain.endswith(_SPOKEN) and name[0] != name[0].rstrip() and _begins_line(text, name.start())
    return _WORDS if spoken and _WORDS.match(text, at) else _ASSIGNED


def _end_of_element(text: str, begin: re.Match[str]) -> int:
    """Where the content ends of an XML element; of one that is never closed, its first word."""
    at, name = begin.end(), begin[0][1:-1].split()[0]
    end = text.find(f"</{name}>", at, at + _LONGEST_ELEMENT)
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


def _begins_line(text: str, at: int) -> bool:
    """Whether nothing stands before it in its line but white space, dashes of a list (YAML), and a quote."""
    before = text[max(0, at - _LONGEST_INDENT) : at]
    return not before.rpartition("\n")[2].strip(" \t-\"'\\")


def _indent(text: str, line: int) -> str:
    found = _LINE.match(text, line)
    return found[1] if found else ""
