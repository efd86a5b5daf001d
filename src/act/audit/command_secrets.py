"""Secrets in statements and commands: in SQL, behind an option of a program, in a sentence that tells one. Pure.

What stands before them is no name with `=` or `:`, as `secret_texts` knows it, but a few words that are usual there.
"""

from __future__ import annotations

import re
from typing import Final

from act.audit.values import MARK, QUOTED

HINTS: Final = r"""
      -(?<=\s-)-?[A-Za-z]
    | w(?<=ssw)(?:or)?d | W(?<=SSW)(?:OR)?D | w(?<=[Pp]w)d | W(?<=PW)D
    | k(?<=[Tt]ok)en\b | K(?<=TOK)EN\b | k(?<=[Ii][ ]k)ey\b | k(?<=[?&]k)ey=
    | f(?<=dentif)ied\b | F(?<=DENTIF)IED\b | g(?<=prag)ma\b | G(?<=PRAG)MA\b
    """
"""In every text that one of the rules finds something in. Each begins with a letter that is not frequent."""

_SQL = re.compile(
    rf"""
    (\b(?:
        IDENTIFIED\s+(?:WITH\s+\S{{1,64}}+\s+)?+(?:BY|AS)(?:\s+PASSWORD)?+
      | PASSWORD(?:\s+FOR\s+[^=\n]{{1,64}}+(?==))?+
      | PRAGMA\s+(?:hex)?(?:re)?key
    )(?=[\s=(])\s*+(?:=|TO\b)?+\s*+(?:PASSWORD)?+\s*+\(?\s*+)
    (?!.\[redacted\]){QUOTED}
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TOLD = re.compile(
    r"""
    (\b(?:password|passwd|pwd|token|api[ ]key)(?:[ ](?:is|was)[ ]|\t{1,4}+)["']?+)
    (?!\[redacted\])[^\s"']*[0-9][^\s"',;]*(?<![.!?])
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""With a digit in it, because `the password is required`."""
_QUERY = re.compile(r"([?&]key=)(?!\[redacted\])(?=[\w.~-]*[0-9])[\w.~-]{16,}+")

_OPTIONS: Final = {
    r"curl": r"(?:-[A-Za-z]*[uU]|--user|--proxy-user)[ =]?(?=[^\s:]++:)",
    r"mysql\w{0,16}|mariadb[\w-]{0,16}|sshpass|7za?": r"-p[ ]?",
    r"(?:docker|podman|helm|oras|skopeo|buildah|az)[ ](?:[\w-]{1,32}[ ]){0,4}login": r"-p[ ]?",
    r"mongo\w{0,16}|ldap\w{1,16}": r"-[pw][ ]?",
    r"redis-cli": r"-a[ ]",
    r"(?:un)?zip": r"-P[ ]?",
}
"""Programs, and the option behind which each takes a password, or a user with one."""
_PROGRAM = re.compile("|".join(rf"(\b(?:{program})(?=[ ]))" for program in _OPTIONS))
_BEHIND: Final = [
    re.compile(rf"(?<=[ ])(?:{option})(?!\[redacted\]|[ -])({QUOTED}|[^\s;|&\"'`]++)") for option in _OPTIONS.values()
]
_ENDS = re.compile(r"[\n;|]")
_LONGEST: Final = 512
"""Characters of a command."""


def without_commanded(text: str) -> str:
    """The text without the secrets of statements and commands."""
    for rule in (_SQL, _TOLD, _QUERY):
        text = rule.sub(rf"\1{MARK}", text)
    return _without_options(text)


def _without_options(text: str) -> str:
    kept: list[str] = []
    begin = at = 0
    while program := _PROGRAM.search(text, at):
        option, at = _BEHIND[(program.lastindex or 1) - 1], program.end()
        end = ends.start() if (ends := _ENDS.search(text, at, at + _LONGEST)) else at + _LONGEST
        while found := option.search(text, at, end):
            kept += [text[begin : found.start(1)], MARK]
            begin = at = found.end(1)
        at = max(at, end)  # what is called in between is a word of this command
    return "".join((*kept, text[begin:]))
