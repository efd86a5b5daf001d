"""Secrets in statements and commands: in SQL, behind an option of a program, in a sentence that tells one. Pure.

What stands before them is no name with `=` or `:`, as `secret_texts` knows it, but a few words that are usual there.
"""

from __future__ import annotations

import re
from typing import Final

from act.audit.values import MARK, PREFIX, QUOTED

HINTS: Final = r"""
      -(?<=\s-)-?[A-Za-z]
    | w(?<=[sn]w)(?:or)?[dt] | W(?<=[SN]W)(?:OR)?[DT] | w(?<=[Pp]w)d | W(?<=PW)D
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
    (?!.\[redacted\]|""|'')(?:(?:{PREFIX})?+{QUOTED}|\$\$[^$]++\$\$)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_USER = re.compile(
    r"(\b(?:CREATE|ALTER)\s+USER\s+[^\s;]{1,64}+\s+IDENTIFIED\s+BY\s+)(?!VALUES\b|PASSWORD\b|RANDOM\b|\[redacted\])[^\s\"'`;]++",
    re.IGNORECASE,
)
"""Oracle takes a password without quotes, as any name."""
_NAME: Final = "(?:password|passwort|kennwort|passwd|pwd|token|api[ ]key)"
_TOLD = re.compile(
    rf"""
    ((?:\b{_NAME}(?:[ ](?:is|was|ist|war|lautet):?[ ] | (?:\t|[ ][ \t])[ \t]{{0,16}}+)
      | \|[ \t]{{0,16}}+[*`]{{0,3}}+{_NAME}[*`]{{0,3}}+[ \t]{{0,16}}+\|[ \t]{{0,16}}+)["'`]?+)
    (?!\[redacted\]|\w{{1,32}}+\([0-9, ]{{1,8}}+\)|int[248]\b)
    (?=[^\s"'`|]{{4}})[^\s"'`|]*[0-9][^\s"'`|,;]*(?<![.!?])
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""In a sentence, in columns, or in a row of a table (Markdown). With a digit in it, because `the password is required`;
not too short for a secret, because `the password is 8 long`; and no type, because `password  VARCHAR(64)`."""
_LOGIN = re.compile(
    r"((?:\bmachine\s{1,16}+\S{1,256}+|\bdefault)\s{1,16}+login\s{1,16}+\S{1,128}+\s{1,16}+password\s{1,16}+)(?!\[redacted\])\S++"
)
"""As in a file `.netrc`."""
_QUERY = re.compile(r"([?&]key=)(?!\[redacted\])(?=[\w.~-]*[0-9])[\w.~-]{16,}+")

_OPTIONS: Final = {
    r"curl": r"(?:-[A-Za-z]*[uU]|--user|--proxy-user)[ =]?(?=[^\s:]++:)",
    r"https?|xh": r"(?:-a|--auth)[ =]?(?=[^\s:]++:)",
    r"smbclient|rpcclient|winexe": r"-U[ ]?(?=[^\s%]++%)",
    r"mysql\w{0,16}|mariadb[\w-]{0,16}|sshpass|7za?": r"-p[ ]?",
    r"(?:un)?rar": r"-h?p",
    r"(?:docker|podman|helm|oras|skopeo|buildah|az)[ ](?:[\w-]{1,32}[ ]){0,4}login": r"-p[ ]?",
    r"mongo\w{0,16}|ldap\w{1,16}": r"-[pw][ ]?",
    r"redis-cli": r"-a[ ]",
    r"(?:un)?zip": r"-P[ ]?",
}
"""Programs, and the option behind which each takes a password, or a user with one."""
_PROGRAM = re.compile("|".join(rf"(\b(?:{program})(?:\.exe)?(?=\s))" for program in _OPTIONS))
_WORD: Final = rf"""(?:{QUOTED}(?::(?:{QUOTED}|[^\s;|&"'`]++))?+|[^\s;|&"'`]++(?:(?<=:){QUOTED})?+)"""
"""Of a command; `me:"a b"` is one."""
_BEHIND: Final = [re.compile(rf"(?<=\s)(?:{option})(?!\[redacted\]|[\s-])({_WORD})") for option in _OPTIONS.values()]
_COMMAND = re.compile(rf"(?:\\\r?\n|{QUOTED}|[^\n;|])++")
"""Up to its end, which is neither within quotes nor at the end of a line that goes on."""
_LONGEST: Final = 4096
"""Characters of a command."""


def without_commanded(text: str) -> str:
    """The text without the secrets of statements and commands."""
    for rule in (_SQL, _USER, _TOLD, _LOGIN, _QUERY):
        text = rule.sub(rf"\1{MARK}", text)
    return _without_options(text)


def _without_options(text: str) -> str:
    kept: list[str] = []
    begin = at = 0
    while program := _PROGRAM.search(text, at):
        option, at = _BEHIND[(program.lastindex or 1) - 1], program.end()
        end = command.end() if (command := _COMMAND.match(text, at, at + _LONGEST)) else at
        while found := option.search(text, at, end):
            kept += [text[begin : found.start(1)], MARK]
            begin = at = found.end(1)
        at = max(at, end)  # what is called in between is a word of this command
    return "".join((*kept, text[begin:]))
