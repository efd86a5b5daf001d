"""Putting a proof of possession into a management call: rotating a token, and handing a part of it down."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from act.client.call import encoded
from act.client.claims import claimed
from act.client.errors import ActError, Forbidden
from act.client.proof import ProofKey


def proved(
    body: Mapping[str, Any], key: ProofKey | None, token: str, holder: str, action: str, resource: str
) -> dict[str, Any]:
    """The body of a call that is made by right of `token`, which is its member `holder`.

    With a `key`, a proof for `action` on `resource` is added, with the rest of the body as its arguments.

    Raises:
        ValueError: the body is not JSON of one reading only.
    """
    asked = {name: value for name, value in body.items() if value is not None}
    if key is None:
        return {**asked, holder: token}
    encoded(asked)  # names every fault by its pointer, as the signing would not
    request_id, tenant_id = uuid4().hex, claimed(token).tenant_id or ""
    proof = key.sign(token, action, resource, asked, request_id, tenant_id, time.time())
    return {**asked, holder: token, "requestId": request_id, "proof": proof}


def used_up(error: ActError) -> bool:
    """Whether a call failed for its proof alone: an earlier try of it reached the server, which did not carry it out,
    or did and its answer was lost. It may be made again, once, with a new proof.
    """
    return isinstance(error, Forbidden) and error.code == "proof_replayed"
