"""Which names stand before a secret: those that are always there, and a tenant's own. Pure."""

from __future__ import annotations

from typing import Final

from act.policies.globs import compile_pattern
from act.redact_patterns import plain_name

SECRET_NAMES: Final = (
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*passcode*",
    "pass",
    "pwd",
    "*pwd",
    "*secret*",
    "*token",
    "*apikey*",
    "*accesskey*",
    "*privatekey*",
    "*signingkey*",
    "*encryptionkey*",
    "auth",
    "*authorization",
    "*cookie*",
    "*credential*",
    "*sessionid",
    "*jwt",
    "*connectionstring*",
    "ssn",
    "*socialsecurity*",
    "*cardnumber*",
    "*cardno",
    "*creditcard*",
    "*debitcard*",
    "cvv*",
    "cvc*",
    "pin",
    "*pincode",
    "otp",
    "*otpcode",
    "iban",
)
"""Patterns for names as `plain_name` writes them."""


class SecretNames:
    """The names that a tenant redacts; `patterns` come on top of those that are always there."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        every = (*SECRET_NAMES, *map(plain_name, patterns))
        # Most patterns ask what a name is, ends with, or contains; that has a quicker answer.
        self._exact = frozenset(name for name in every if "*" not in name)
        self._ends = tuple(name[1:] for name in every if name[0] == "*" and "*" not in name[1:])
        self._inside = [name[1:-1] for name in every if _is_inside(name)]
        self._others = [compile_pattern(name) for name in every if "*" in name[1:] and not _is_inside(name)]

    def has(self, name: str) -> bool:
        plain = plain_name(name)
        if plain in self._exact or plain.endswith(self._ends) or any(map(plain.__contains__, self._inside)):
            return True
        return any(matches(plain) for matches in self._others)


def _is_inside(pattern: str) -> bool:
    return len(pattern) > 2 and pattern[0] == pattern[-1] == "*" and "*" not in pattern[1:-1]
