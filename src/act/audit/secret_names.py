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
    "*dbpass",
    "*userpass",
    "*adminpass",
    "*rootpass",
    "*loginpass",
    "*smtppass",
    "*mailpass",
    "*ftppass",
    "*sqlpass",
    "*postgrespass",
    "*wifipass",
    "*ldappass",
    "*redispass",
    "*proxypass",
    "*keypass",
    "*storepass",
    "*sshpass",
    "pwd",
    "*pwd",
    "pw",
    "*dbpw",
    "*userpw",
    "*adminpw",
    "*rootpw",
    "*passwort*",
    "*kennwort*",
    "*contraseña*",
    "*motdepasse*",
    "*secret*",
    "*token",
    "*tokenvalue",
    "*tokennew",
    "*tokenold",
    "*apikey*",
    "*accesskey*",
    "*privatekey*",
    "*signingkey*",
    "*encryptionkey*",
    "*accountkey",
    "*appkey",
    "*authkey",
    "*subscriptionkey",
    "*functionskey",
    "*servicerolekey",
    "*licensekey",
    "*masterkey",
    "*clientkey",
    "*sessionkey",
    "*sharedkey",
    "*sshkey",
    "auth",
    "*authorization",
    "bearer",
    "*cookie*",
    "*credential*",
    "*sessionid",
    "*sessid",
    "connectsid",
    "*jwt",
    "*jwts",
    "*connectionstring*",
    "sig",
    "*amzsignature",
    "*googsignature",
    "ssn",
    "*socialsecurity*",
    "*cardnumber*",
    "*cardno",
    "*creditcard*",
    "*debitcard*",
    "cvv*",
    "cvc*",
    "*securitycode",
    "pin",
    "*pincode",
    "*pincodes",
    "otp",
    "totp",
    "*otpcode",
    "*otpcodes",
    "*mfacode",
    "*verificationcode",
    "*recoverycode*",
    "*backupcode*",
    "*seedphrase*",
    "*recoveryphrase*",
    "iban",
    "ibans",
)
"""Patterns for names as `plain_name` writes them. Digits at the end of a name do not count: `password2`."""
_COUNTED: Final = ("pins",)
_COUNTED_ENDS: Final = ("tokens",)
"""Under these stand secrets, or how many there are: `auth_tokens`, `max_tokens`."""
_DIGITS: Final = "0123456789"


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
        """Whether what stands under the name is a secret."""
        plain = plain_name(name)
        if plain in self._exact or plain.endswith(self._ends) or plain.rstrip(_DIGITS).endswith(self._ends):
            return True
        return any(map(plain.__contains__, self._inside)) or any(matches(plain) for matches in self._others)

    def counts(self, name: str) -> bool:
        """Whether what stands under the name is a secret, unless it is a number."""
        plain = plain_name(name)
        return plain in _COUNTED or plain.endswith(_COUNTED_ENDS)


def _is_inside(pattern: str) -> bool:
    return len(pattern) > 2 and pattern[0] == pattern[-1] == "*" and "*" not in pattern[1:-1]
