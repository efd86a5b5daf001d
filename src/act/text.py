"""Texts that are compared: refused when two different ones could look or be read the same."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final
from urllib.parse import quote

# What RFC 3986 lets stand in a path segment as it is (pchar), beside letters, digits and "-._~".
_IN_SEGMENT = "!$&'()*+,;=:@"
_ENDS_SEGMENT = "/?#%[]\\"

# What looks like one of our API keys, or like what signs our webhooks; and what looks like a token (three base64url
# parts, the first a JSON object), or like the begin of one. Both are found in time that grows with the length of the
# text alone, whatever is in it: a part is looked at from its begin, and given up at once (possessive and atomic
# groups), not from each "eyJ" in it.
_KEY = re.compile(r"act_[0-9A-Za-z]++_[\w-]{20,}|whsec_[\w+/-]{24,}+=*+")
_TOKEN = re.compile(
    r"(?<![\w-])(?P<before>(?>[\w-]*?(?=eyJ)))eyJ(?:[\w-]++\.[\w-]++\.[\w-]+|[\w-]{16,}+\.[\w-]{16,})",
)

# Secrets that are known by their text, because whoever chose them was free in their form: each in every spelling that
# it may stand in. Lists are read by copies and only grown and shrunk at one place: several threads may have nodes.
_SPELLINGS: Final = list[str]()
_ENCODED: Final = list[bytes]()


def know(secret: str) -> bool:
    """From now on `secret` is found wherever it stands, until `forget`, as often. False: it always is, by its look."""
    spellings = _spellings(secret)
    _SPELLINGS.extend(spellings)
    _ENCODED.extend([spelling.encode("utf-8", "surrogatepass") for spelling in spellings])
    return bool(spellings)


def forget(secret: str) -> None:
    """One `know` less of it."""
    for spelling in _spellings(secret):
        _SPELLINGS.remove(spelling)
        _ENCODED.remove(spelling.encode("utf-8", "surrogatepass"))


def _spellings(secret: str) -> list[str]:
    """As it is, and as it is in JSON, in JSON within JSON, and in a URL."""
    if not secret or _KEY.fullmatch(secret):
        return []
    plain = json.dumps(secret, ensure_ascii=False)[1:-1]
    twice = json.dumps(plain, ensure_ascii=False)[1:-1]
    return list(dict.fromkeys((secret, plain, twice, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""))))


def _one_in(text: str) -> bool:
    return any(map(text.__contains__, tuple(_SPELLINGS)))


def has_known(encoded: bytes) -> bool:
    """Whether a known secret stands in a text as UTF-8: that of JSON, perhaps."""
    return bool(_ENCODED) and any(map(encoded.__contains__, tuple(_ENCODED)))


def has_secret(text: str) -> bool:
    """Whether something in the text looks like one of our tokens or keys, or a secret of a webhook, or is known."""
    if _SPELLINGS and _one_in(text):
        return True
    keyed = "_" in text and ("act_" in text or "whsec_" in text)
    return (keyed and _KEY.search(text) is not None) or ("eyJ" in text and _TOKEN.search(text) is not None)


def without_secrets(text: str, mark: str = "[secret]") -> str:
    """The text, in which nothing looks like a secret of ours, and no known one is: `mark` stands in its place."""
    if _SPELLINGS and _one_in(text):
        for secret in sorted(_SPELLINGS, key=len, reverse=True):  # one may be a part of another
            text = text.replace(secret, mark)
    if "eyJ" in text:
        text = _TOKEN.sub(rf"\g<before>{mark}", text)
    return _KEY.sub(mark, text) if "_" in text and ("act_" in text or "whsec_" in text) else text


def segment(text: str) -> str:
    """A text as one segment of a resource id, in the one spelling that ACT reads.

    No value can reach beyond its place in a template: what would end the segment, or mean another one, is refused.

    Raises:
        ValueError: the text cannot stand in a resource; says why.
    """
    if found := next((character for character in text if character in _ENDS_SEGMENT), None):
        raise ValueError(f"it has {found!r}, which cannot stand in a resource; pass such a value as an argument alone")
    if text in (".", ".."):
        raise ValueError("it would mean another path")
    return quote(text, safe=_IN_SEGMENT)


def text_fault(text: str) -> str | None:
    """Why a non-empty text is not in canonical form, as a sentence; None when it is."""
    if not text.isprintable():
        return "It contains a control, invisible or non-character code point."
    if text[0] == " " or text[-1] == " ":
        return "It begins or ends with a space."
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        return "It is not in Unicode normal form NFC."
    return None
