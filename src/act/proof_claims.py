"""What a proof of possession says: one definition for the SDK that writes it and the server that compares it.

A proof is a compact JWS by the key that a token is bound to (`cnf`, RFC 7800), over one request with that token. All
texts go in as they stand in the request; the arguments by the hash of their canonical JSON (RFC 8785), so that two
spellings of the same arguments are the same arguments.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import rfc8785

TYPE: Final = "act-pop+jwt"


def claims_of(
    *,
    token: str,
    action: str,
    resource_id: str,
    arguments: Mapping[str, Any],
    request_id: str,
    tenant_id: str,
) -> dict[str, str]:
    """Every claim of the proof but its date, `iat`.

    Raises:
        ValueError: `arguments` is not JSON, or the token is not text that can be encoded.
    """
    return {
        "ath": base64url(hashlib.sha256(token.encode()).digest()),
        "action": action,
        "resourceId": resource_id,
        "argumentsHash": arguments_hash(arguments),
        "requestId": request_id,
        "tenantId": tenant_id,
    }


def arguments_hash(arguments: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of `arguments`, as unpadded base64url.

    Raises:
        ValueError: it is not JSON, or not JSON that every reader reads alike.
    """
    try:
        return base64url(hashlib.sha256(rfc8785.dumps(dict(arguments))).digest())
    except RecursionError:
        raise ValueError("The arguments are nested too deeply.") from None


def base64url(data: bytes) -> str:
    """Unpadded base64url (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
