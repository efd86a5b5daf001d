"""The text of a condition before the binding sees it, and the binding's reports as sentences.

The binding's parser spends up to 0.2 seconds on 4 KB of garbage; brackets and letters stop what takes over 0.04 here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_CHARACTERS = 4096
MAX_NESTING = 16
"""How deep brackets may nest."""

_TOKEN = re.compile(
    r"""
    //[^\n]*
    | (?<![A-Za-z0-9_])[bB]?[rR][bB]? (?: '''.*?''' | \"\"\".*?\"\"\" | '[^'\n]*' | "[^"\n]*" )
    | '''(?:\\.|[^\\])*?''' | \"\"\"(?:\\.|[^\\])*?\"\"\" | '(?:\\.|[^'\\\n])*' | "(?:\\.|[^"\\\n])*"
    | (?P<opens>[(\[{]) | (?P<closes>[)\]}])
    | [A-Za-z0-9_]+ | [\s.,<>=!&|?:+\-*/%`]
    | (?P<quote>['"]) | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {")": "(", "]": "[", "}": "{"}
_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '(.*?)'")
_OVERLOAD = re.compile(r"found no matching overload for '(.*?)' applied to '(.*)'")
_SPOKEN = {"_?_:_": "? :", "_[_]": "[]", "@in": "in"}
_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


def text_fault(text: str) -> str | None:
    """Why a text cannot be a condition, whatever it says; None when the parser may see it."""
    if not text.strip():
        return "A condition cannot be empty; leave it out if the policy has none."
    if len(text) > MAX_CHARACTERS:
        return f"A condition has at most {MAX_CHARACTERS} characters."
    for at, character in enumerate(text):
        if not character.isprintable() and character not in "\n\r\t":
            return (
                placed(text, at) + "There is a control, invisible or non-character code point; write it as an escape."
            )
    open_brackets = []
    for token in _TOKEN.finditer(text):
        where, written = placed(text, token.start()), token.group()
        if token["opens"]:
            open_brackets.append(written)
            if len(open_brackets) > MAX_NESTING:
                return f"{where}Brackets are nested more than {MAX_NESTING} deep; split the condition."
        elif token["closes"]:
            if not open_brackets or open_brackets.pop() != _PAIRS[written]:
                return f"{where}'{written}' closes no bracket."
        elif token["quote"]:
            return f"{where}The text that begins here is not closed."
        elif token["other"]:
            return f"{where}'{written}' has no meaning outside of a text in quotes."
    return f"'{open_brackets[-1]}' is not closed." if open_brackets else None


def placed(text: str, at: int) -> str:
    """`Line 1, column 8: `, or nothing when the place is not known."""
    if at < 0:
        return ""
    return f"Line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}: "


def report_of(raised: str, text: str, variables: Iterable[str]) -> str:
    """The first fault of the binding's report about `text`, as a sentence; `variables` are the declared ones."""
    if "recursion" in raised:
        return "The condition is nested too deep; write it with fewer levels, or as two policies."
    found = _ERROR.search(raised)
    if found is None:
        return (
            f"This is no condition: {_STATUS.sub('', raised.splitlines()[0])}." if raised else "This is no condition."
        )
    line, column, said = int(found[1]), int(found[2]), found[3].split(" expecting ")[0].rstrip(". ")
    if undeclared := _UNDECLARED.match(said):
        lines = text.split("\n")
        called = line > 0 and lines[line - 1][column - 1 : column] == "("
        said = f"There is no function {undeclared[1]}()" if called else _unknown(undeclared[1], sorted(variables))
    elif overload := _OVERLOAD.match(said):
        said = f"'{_SPOKEN.get(overload[1], overload[1].strip('_'))}' does not take {overload[2]}"
    return f"Line {line}, column {column}: {said}." if line > 0 else f"{said}."


def _unknown(name: str, variables: list[str]) -> str:
    root, _, field = name.partition(".")
    fields = [known.partition(".")[2] for known in variables if known.startswith(root + ".")]
    if fields and field:
        return f"{root} has no field {field}; it has {', '.join(fields)}"
    if fields:
        return f"{root} is only read field by field; write {root}.{fields[0]}"
    roots = dict.fromkeys(known.partition(".")[0] for known in variables)
    return f"There is no variable {name}; there are {', '.join(roots)}"
