"""The check before every action, as the reference scenario writes it: one POST, one comparison."""

from __future__ import annotations

import os
import uuid

import requests


def validate_with_act(token: str, action: str, resource: str) -> bool:
    """Whether the action may run. Reads ACT_BASE_URL and ACT_API_KEY."""
    response = requests.post(
        f"{os.environ['ACT_BASE_URL']}/v1/enforce",
        headers={"X-Api-Key": os.environ["ACT_API_KEY"]},
        json={
            "requestId": str(uuid.uuid4()),
            "capabilityToken": token,
            "action": action,
            "resourceId": resource,
            "tenantId": "default-tenant",
            "context": {},
        },
        timeout=10,
    )
    return bool(response.json()["decision"] == "allowed")
