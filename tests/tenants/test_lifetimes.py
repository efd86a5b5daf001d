"""How long tokens live: a setting of the tenant that its admin changes, and that tokens which are out must keep to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.attacks.log import caused, size
from tests.support import Api
from tests.tenants.conftest import TENANT, able, able_agent, code


def seconds_of(api: Api, **more: Any) -> int:
    """How long a new token lives."""
    issued = api.post("/v1/tokens", {"agentId": api.agent(), **more})
    token = api.get(f"/v1/tokens/{issued['tokenId']}")
    lives = datetime.fromisoformat(token["expiresAt"]) - datetime.fromisoformat(token["issuedAt"])
    return int(lives.total_seconds())


def test_what_is_shown(api: Api) -> None:
    shown = api.get(TENANT)
    assert shown == {
        "id": "default-tenant",
        "name": "default-tenant",
        "maxTokenTtl": 86400,
        "defaultTokenTtl": 3600,
        "defaultLabels": ["untrusted"],
        "auditArguments": "redacted",
        "redactPatterns": [],
        "auditRetention": None,
        "frozen": False,
        "frozenAt": None,
        "frozenReason": None,
        "createdAt": shown["createdAt"],
        "revision": None,
    }


def test_what_is_not_named_stays(api: Api) -> None:
    assert seconds_of(api) == 3600
    first = api.patch(TENANT, {"defaultTokenTtl": 60})
    second = api.patch(TENANT, {"maxTokenTtl": 120})
    assert (first["maxTokenTtl"], first["defaultTokenTtl"]) == (86400, 60)
    assert (second["maxTokenTtl"], second["defaultTokenTtl"]) == (120, 60)
    assert second["revision"] == first["revision"] + 1
    assert api.get(TENANT) == second | {"revision": None}
    assert (seconds_of(api), seconds_of(api, expiresIn=120)) == (60, 120)
    problem = api.post("/v1/tokens", {"agentId": api.agent(), "expiresIn": 121}, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/expiresIn"]


def test_a_lower_maximum_refuses_tokens_that_are_out(api: Api) -> None:
    agent = able_agent(api)
    token, short = api.token(agent), api.token(agent, expiresIn=900)
    assert code(api, token) == code(api, short) == "allowed"
    revision = api.patch(TENANT, {"maxTokenTtl": 900, "defaultTokenTtl": 900})["revision"]
    assert code(api, token, minRevision=revision) == "token_ttl_exceeded"
    assert code(api, short) == "allowed"
    assert code(api, short, requesterToken=token) == "requester_not_permitted"
    api.patch(TENANT, {"maxTokenTtl": 3600})
    assert code(api, token) == "allowed"


def test_an_earlier_answer_to_such_a_token_does_not_stand(api: Api) -> None:
    token = able(api)
    assert code(api, token, requestId="lives-too-long") == "allowed"
    api.patch(TENANT, {"maxTokenTtl": 60, "defaultTokenTtl": 60})
    assert code(api, token, requestId="lives-too-long") == "token_ttl_exceeded"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"maxTokenTtl": 60}, ["/maxTokenTtl"]),  # under the default of 3600
        ({"defaultTokenTtl": 86401}, ["/defaultTokenTtl"]),
        ({"maxTokenTtl": 60, "defaultTokenTtl": 61}, ["/defaultTokenTtl"]),
        ({"maxTokenTtl": 0, "defaultTokenTtl": -1}, ["/maxTokenTtl", "/defaultTokenTtl"]),
        ({"maxTokenTtl": 366 * 86400 + 1}, ["/maxTokenTtl"]),
        ({"maxTokenTtl": 3600.0}, ["/maxTokenTtl"]),
        ({"maxTokenTtl": "3600"}, ["/maxTokenTtl"]),
        ({"maxTokenTtl": True}, ["/maxTokenTtl"]),
        ({"maxTokenTtl": None}, [""]),
        ({"defaultTokenTtl": None}, [""]),
        ({"frozen": True}, ["/frozen"]),
        ({"name": "another"}, ["/name"]),
    ],
    ids=repr,
)
def test_what_cannot_be_meant_changes_nothing(api: Api, body: Any, pointers: list[str]) -> None:
    before, since = api.get(TENANT), size(api)
    problem = api.patch(TENANT, body, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == pointers
    assert api.get(TENANT) == before
    assert caused(api, since) == []


def test_a_change_is_recorded_with_its_author(api: Api) -> None:
    since = size(api)
    changed = api.patch(TENANT, {"maxTokenTtl": 7200})
    [record] = caused(api, since)
    assert record["kind"] == "tenant.updated"
    assert (record["maxTokenTtl"], record["defaultTokenTtl"]) == (7200, 3600)
    assert record["revision"] == changed["revision"]
    assert record["keyId"].startswith("key_")


def test_another_tenant_has_its_own(api: Api, stranger: Api) -> None:
    assert stranger.patch(TENANT, {"maxTokenTtl": 60}, status=404)["code"] == "not_found"
    assert stranger.get(TENANT, status=404)["code"] == "not_found"
    api.patch(TENANT, {"maxTokenTtl": 60, "defaultTokenTtl": 60})
    assert seconds_of(stranger) == 3600
