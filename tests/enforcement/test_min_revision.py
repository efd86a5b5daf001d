"""`minRevision`: whoever knows of a change can insist that a decision is not older than it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from act import Act, ReasonCode
from tests.attacks.log import caused, size
from tests.support import ADMIN_KEY, Api, Server


@pytest.fixture
def issued(api: Api) -> Any:
    agent = api.agent()
    api.policy(["run"], appliesTo={"agentIds": [agent]})
    return api.post("/v1/tokens", {"agentId": agent})


def asking(token: str, **more: Any) -> dict[str, Any]:
    return {"requestId": uuid4().hex, "capabilityToken": token, "action": "run", "resourceId": "x", **more}


def test_the_revision_of_a_revocation_works_at_once(api: Api, issued: Any) -> None:
    token = issued["token"]
    assert api.enforce(token, "run", "x", minRevision=issued["revision"])["reasonCode"] == "allowed"
    revision = api.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)["revision"]
    decision = api.enforce(token, "run", "x", minRevision=revision)
    assert decision["reasonCode"] == "token_revoked"
    assert decision["revision"] >= revision


def test_a_revision_to_come_is_no_decision_and_says_denied(api: Api, issued: Any) -> None:
    now = api.enforce(issued["token"], "run", "x")["revision"]
    assert api.enforce(issued["token"], "run", "x", minRevision=now)["reasonCode"] == "allowed"
    before = size(api)
    for least in (now + 1, 2**53 - 1):
        answer = api.send("POST", "/v1/enforce", asking(issued["token"], minRevision=least))
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert (answer.json()["code"], answer.json()["decision"]) == ("stale_state", "denied")
    assert caused(api, before) == []
    api.agent()  # which is the change that was waited for
    assert api.enforce(issued["token"], "run", "x", minRevision=now + 1)["reasonCode"] == "allowed"


def test_it_is_asked_before_an_earlier_answer_is_given(api: Api, issued: Any) -> None:
    request = asking(issued["token"])
    allowed = api.post("/v1/enforce", request, status=200)
    assert api.post("/v1/enforce", request, status=200)["replayed"] is True
    problem = api.post("/v1/enforce", request | {"minRevision": allowed["revision"] + 100}, status=503)
    assert (problem["code"], problem["decision"]) == ("stale_state", "denied")


@pytest.mark.parametrize("value", [-1, 1.5, 1.0, "1", True, [1], 2**53], ids=repr)
def test_what_is_no_revision(api: Api, issued: Any, value: Any) -> None:
    problem = api.post("/v1/enforce", asking(issued["token"], minRevision=value), status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/minRevision"]
    assert problem["decision"] == "denied"


def test_the_sdk_insists_too(api: Api, server: Server, issued: Any) -> None:
    with Act(server.url, ADMIN_KEY, retries=0) as act:
        assert act.enforce(issued["token"], "run", "x", min_revision=0)
        revision = act.tokens.revoke(issued["tokenId"]).revision
        refused = act.enforce(issued["token"], "run", "x", min_revision=revision)
        assert refused.reason_code is ReasonCode.TOKEN_REVOKED
        older = act.enforce(issued["token"], "run", "x", min_revision=revision + 1000)
        assert older.reason_code is ReasonCode.UNREACHABLE
        assert "stale_state" in older.reason
