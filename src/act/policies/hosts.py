"""Host names that can be read in one way only.

What two programs could read as different hosts is not resolved here but refused (`Unreadable`): IP addresses in any
spelling, trailing dots, local names, and characters that some readers map to others.
"""

from __future__ import annotations

import re

import idna

MAX_HOST = 253


class Unreadable(ValueError):
    """A text that could lead to more than one host, or to none that has a domain; the message says why."""


_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")  # IDNA 2003 and 2008 make different names of them


def canonical_host(written: str) -> str:
    """The host in lower case and in ASCII (`xn--` for other scripts).

    Raises:
        Unreadable: not a domain name of two labels or more, or one that can be read in two ways.
    """
    if not written:
        raise Unreadable("it names no host")
    if written[0] == "[":
        raise Unreadable("an IP address is in no domain")
    if len(written) > MAX_HOST:
        raise Unreadable(f"its host has more than {MAX_HOST} characters")
    host = written.translate(_LOWER)
    if not host.isascii():
        host = _ascii_form(host)
    if host.endswith("."):
        raise Unreadable("its host ends with a dot")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise Unreadable("an IP address is in no domain")
    if not all(_LABEL.fullmatch(label) and (label[:4] != "xn--" or _is_a_label(label)) for label in labels):
        raise Unreadable("its host is not a domain name in plain form")
    if len(labels) == 1 or labels[-1] == "localhost" or len(host) > MAX_HOST:
        raise Unreadable("its host is a local name, not a domain name")
    return host


def _ascii_form(host: str) -> str:
    try:
        if _DEVIATIONS.isdisjoint(host) and idna.uts46_remap(host, std3_rules=True, transitional=False) == host:
            return idna.encode(host, strict=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # also idna.IDNAError
        pass
    raise Unreadable("its host has characters that can be read in two ways")


def _is_a_label(label: str) -> bool:
    try:
        return idna.alabel(idna.ulabel(label)) == label.encode("ascii")
    except UnicodeError:
        return False
