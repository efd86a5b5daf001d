"""Texts from outside, made safe to show to a person."""

from __future__ import annotations

import unicodedata
from typing import Final

_MOST_MARKS: Final = 3
"""On one letter. No script needs more, and more of them reach into the lines above and below."""
_OVERLAY: Final = 1
"""The combining class of what strikes through the character before it."""
# Python takes these for printable, and a terminal shows nothing, or a blank, for them: those of the code points that
# Unicode calls default-ignorable (DerivedCoreProperties.txt) which are letters or marks, and the empty braille pattern.
_RANGES: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_UNSEEN: Final = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0)
).union(*_RANGES)


def escaped(text: str) -> str:
    r"""`text` with every character that a terminal would obey or hide written as `\uXXXX`; line feeds stay.

    An approver must see what would run: a control sequence, a reversed or an invisible character in an argument, or
    marks that strike through others or heap up, must not be able to change what stands on the screen. In JSON text
    such characters occur in strings only, so JSON stays the same JSON.
    """
    if text.isascii() and text.isprintable():
        return text
    parts = []
    letter, marks = False, 0
    for c in text:
        mark = not c.isascii() and unicodedata.category(c)[0] == "M"
        marks = marks + 1 if mark else 0
        if _seen(c) and (not mark or (letter and marks <= _MOST_MARKS)):
            parts.append(c)
        else:
            parts.append(_escape(c))
        letter = letter if mark else c.isalpha()
    return "".join(parts)


def one_line(text: str) -> str:
    """As `escaped`, line feeds too."""
    return escaped(text).replace("\n", "\\n")


def _seen(character: str) -> bool:
    if character == "\n" or character.isascii():
        return character == "\n" or character.isprintable()
    if not character.isprintable() or ord(character) in _UNSEEN or unicodedata.category(character) == "Me":
        return False
    return unicodedata.combining(character) != _OVERLAY


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
