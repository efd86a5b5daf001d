"""pymacaroons: a caveat with the right, and one more for each agent it was handed down to; one shared secret."""

from __future__ import annotations

from typing import Any

from measure import Ask, peer
from pymacaroons import Macaroon, Verifier

SECRET = "a secret of thirty-two characters"
CAVEAT = "read api://service-1/"


def prepare(given: dict[str, Any]) -> dict[str, Ask]:
    def asking(depth: int) -> tuple[Ask, Ask]:
        made = Macaroon(location="benchmark", identifier="token", key=SECRET)
        for number in range(depth + 1):
            made.add_first_party_caveat(f"{CAVEAT} {number}")
        string = made.serialize()

        def verify(it: Any) -> bool:
            verifier = Verifier()
            verifier.satisfy_general(lambda caveat: caveat.startswith(CAVEAT))
            return bool(verifier.verify(it, SECRET))

        return lambda _: verify(Macaroon.deserialize(string)), lambda _: verify(made)

    made = [asking(depth) for depth in range(given["depths"])]
    first = {f"macaroons: read and verify, depth {depth}": asks[0] for depth, asks in enumerate(made)}
    return first | {f"macaroons: verify alone, depth {depth}": asks[1] for depth, asks in enumerate(made)}


if __name__ == "__main__":
    peer(prepare)
