"""What the log has of the arguments of a call: hashes in the record, and beside it, in no hash, what is kept of them.

The record says what is kept (`argumentsKept`) and has `argumentsHash`, SHA-256 over a salt and the canonical arguments.
When something else than the arguments is kept, `keptHash` is the same over that, under another salt. So what is kept is
proven by the record, erasing it together with the salt leaves every proof as it was, and the salt that is exported with
what is kept helps nobody to guess what was redacted. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from act.audit.canonical import canonical
from act.audit.redaction import Keeping, without_own
from act.text import has_known

SALT_SIZE: Final = 16
MAX_KEPT: Final = 16 * 1024
"""Bytes of canonical JSON; of longer arguments nothing is kept but their hash and their length."""


_OWN: Final = (b"eyJ", b"act_", b"whsec_")
"""Without one of these in it, a text has none of our tokens, keys or secrets (`act.text`)."""


class Body(NamedTuple):
    """What stands beside a record. `text` is JSON, None when nothing is kept; `told` are members of the record."""

    salt: bytes
    text: str | None
    told: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Body({self.told!r})"


def body_of(arguments: Mapping[str, Any], salt: bytes, keeping: Keeping) -> Body:
    """What the log has of these arguments; `salt` are 16 random bytes that are used once.

    Raises:
        ValueError: the arguments have no canonical form.
    """
    whole = canonical(arguments)
    hashed = salted_hash(salt, whole)
    if keeping.mode == "none":
        return Body(salt, None, {"argumentsHash": hashed, "argumentsKept": "none"})
    if len(whole) > MAX_KEPT:
        return Body(salt, None, {"argumentsHash": hashed, "argumentsKept": "none", "argumentsBytes": len(whole)})
    told = {"argumentsHash": hashed, "argumentsKept": keeping.mode}
    known = has_known(whole)
    plain = keeping.mode == "full" and not known and not any(begin in whole for begin in _OWN)
    kept = arguments if plain else keeping.kept(without_own(arguments) if known else arguments)
    if kept is arguments or (text := canonical(kept)) == whole:
        return Body(salt, _readable(arguments), told)
    return Body(salt, _readable(kept), told | {"keptHash": salted_hash(kept_salt(salt), text)})


def _readable(value: Any) -> str:
    """JSON that is read as what it was: a canonical float of 2^53 or more would be read as an integer that is none."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def rest_of(value: Mapping[str, Any], keeping: Keeping) -> dict[str, Any] | None:
    """What stays of arguments, or of a context, where they stand outside of the log; None when nothing does."""
    if keeping.mode == "none" or len(whole := canonical(value)) > MAX_KEPT:
        return None
    return dict(keeping.kept(without_own(value) if has_known(whole) else value) or {})


def salted_hash(salt: bytes, text: bytes) -> str:
    """Hex `SHA-256(salt || canonical JSON)`."""
    return hashlib.sha256(salt + text).hexdigest()


def kept_salt(salt: bytes) -> bytes:
    """The salt of `keptHash`, from which that of `argumentsHash` cannot be told."""
    return hashlib.sha256(b"kept" + salt).digest()[:SALT_SIZE]


def shown_salt(salt: bytes, kept_hash: str | None) -> bytes:
    """The salt of the hash that proves what is kept."""
    return salt if kept_hash is None else kept_salt(salt)


def proves(record: Mapping[str, Any], kept: Any, salt: bytes) -> bool:
    """Whether a record is of what was kept beside it."""
    if not is_kept(record) or len(salt) != SALT_SIZE or not isinstance(kept, dict):
        return False
    try:
        text = canonical(kept)
    except ValueError:
        return False
    return bool(salted_hash(salt, text) == record.get("keptHash", record.get("argumentsHash")))


def is_kept(record: Mapping[str, Any]) -> bool:
    """Whether something was kept beside a record, and is there unless it was erased."""
    return record.get("argumentsKept") in ("redacted", "full")
