"""`RateLimit`, `RateLimit-Policy` and `Retry-After` of an answer (draft-ietf-httpapi-ratelimit-headers; RFC 9110)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def rate_headers(limits: Sequence[Mapping[str, Any]], retry_after: int | None) -> dict[str, str]:
    """What the answer says of rates in its body, said again where HTTP clients look for it.

    Policies are named by their ids: `"pol_x";q=100;w=60` is 100 in 60 s, `"pol_x";r=57;t=12` that 57 are left and
    there are more in 12 s.
    """
    rates = [left for left in limits if left["constraint"] == "rateLimit"]
    found: dict[str, str] = {}
    if rates:
        found["RateLimit-Policy"] = ", ".join([_policy(left) for left in rates])
        found["RateLimit"] = ", ".join([_left(left) for left in rates])
    if retry_after is not None:
        found["Retry-After"] = str(retry_after)
    return found


def _policy(left: Mapping[str, Any]) -> str:
    return f'"{left["policyId"]}";q={left["limit"]};w={left["window"]}'


def _left(left: Mapping[str, Any]) -> str:
    return f'"{left["policyId"]}";r={left["remaining"]};t={left["reset"] or 0}'
