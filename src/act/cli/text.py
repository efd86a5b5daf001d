"""Texts from outside, made safe to show to a person."""

from __future__ import annotations


def escaped(text: str) -> str:
    r"""`text` with every character that a terminal would obey or hide written as `\uXXXX`; line feeds stay.

    An approver must see what would run: a control sequence, a reversed or an invisible character in an argument must
    not be able to change what stands on the screen. In JSON text such characters occur in strings only, so JSON stays
    the same JSON.
    """
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else _escape(c) for c in text)


def one_line(text: str) -> str:
    """As `escaped`, line feeds too."""
    return escaped(text).replace("\n", "\\n")


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
