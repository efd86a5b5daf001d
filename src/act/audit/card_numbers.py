"""Numbers that are secrets by their look: of payment cards, and of social security (USA). Pure."""

from __future__ import annotations

import re
from typing import Final

from act.audit.values import MARK

MANY_DIGITS: Final = re.compile(r"[0-9](?:[ .\u00a0-]?[0-9]){8}")
"""Where this finds nothing there is no such number."""
_SSN = re.compile(r"[0-9](?<![\w-][0-9])[0-9]{2}-[0-9]{2}-[0-9]{4}(?![\w-])")
_DIGITS = re.compile(r"[0-9](?<![0-9]{2})[0-9]++(?:[ -][0-9]{2,}+)*+")
_DOTTED = re.compile(r"[0-9](?<![0-9.][0-9])[0-9]{3}([.\u00a0])[0-9]{4,6}+\1[0-9]{4,5}+(?:\1[0-9]{4})?+(?![0-9])")
"""With such a sign between them groups have to be those of a card: other numbers have dots, too."""
_GROUP = re.compile(r"[0-9]+")
_DOUBLED = str.maketrans("0123456789", "0246813579")


def without_numbers(text: str) -> str:
    """The text without them."""
    return _SSN.sub(MARK, _DIGITS.sub(_without_card, _DOTTED.sub(_unless_card, text)))


def is_card_number(number: float) -> bool:
    text = str(abs(int(number)))
    return number == int(number) and 13 <= len(text) <= 19 and _is_card(text)


def _unless_card(found: re.Match[str]) -> str:
    digits = found[0].replace(found[1], "")
    return MARK if 13 <= len(digits) <= 19 and _is_card(digits) else found[0]


def _without_card(found: re.Match[str]) -> str:
    """A run of digits without card numbers; those stand alone, or in groups beside each other."""
    run, begin, kept = found[0], 0, list[str]()
    groups = list(_GROUP.finditer(run))
    at = 0
    while at < len(groups):
        if (end := _card_from(groups, at)) is None:
            at += 1
            continue
        kept += [run[begin : groups[at].start()], MARK]
        begin, at = groups[end].end(), end + 1
    return "".join((*kept, run[begin:]))


def _card_from(groups: list[re.Match[str]], first: int) -> int | None:
    """The last group of the longest card number that begins with this group."""
    digits, found = "", None
    if groups[first][0][0] not in "23456":
        return None
    for at in range(first, len(groups)):
        digits += groups[at][0]
        if len(digits) > 19:
            break
        if len(digits) >= 13 and _is_card(digits):
            found = at
    return found


def _is_card(digits: str) -> bool:
    """Whether 13 to 19 digits can be the number of a payment card (ISO/IEC 7812: the issuer, and Luhn's check)."""
    return digits[0] in "23456" and sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0
