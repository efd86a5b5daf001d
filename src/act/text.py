"""Texts that are compared: refused when two different ones could look or be read the same."""

from __future__ import annotations

import unicodedata


def text_fault(text: str) -> str | None:
    """Why a non-empty text is not in canonical form, as a sentence; None when it is."""
    if not text.isprintable():
        return "It contains a control, invisible or non-character code point."
    if text[0] == " " or text[-1] == " ":
        return "It begins or ends with a space."
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        return "It is not in Unicode normal form NFC."
    return None
