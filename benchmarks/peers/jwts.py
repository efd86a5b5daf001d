"""PyJWT on the tokens that ACT has issued: the signature and the registered claims."""

from __future__ import annotations

from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from measure import Ask, peer


def prepare(given: dict[str, Any]) -> dict[str, Ask]:
    def asking(algorithm: str) -> Ask:
        token, key = given["tokens"][algorithm], load_pem_public_key(given["keys"][algorithm].encode())
        names = {"issuer": given["issuer"], "audience": given["audience"]}
        return lambda _: bool(jwt.decode(token, key, algorithms=[algorithm], **names))  # type: ignore[arg-type]

    return {f"PyJWT, {algorithm}: decode": asking(algorithm) for algorithm in given["tokens"]}


if __name__ == "__main__":
    peer(prepare)
