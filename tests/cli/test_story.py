"""`actctl audit story`: one workflow from its first question to its last outcome, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import Api

from .conftest import Ctl


def told(ctl: Ctl, id: str) -> list[tuple[str, str | None]]:
    lines = ctl.json("audit", "story", id)
    assert [line["index"] for line in lines] == sorted(line["index"] for line in lines)
    return [(line["record"]["kind"], line["record"].get("decision") or line["record"].get("status")) for line in lines]


@pytest.fixture(scope="module")
def decision(ctl: Ctl) -> Any:
    with Api(ctl.url) as admin, Api(ctl.url, admin.key("enforce")["key"]) as caller:
        agent = admin.agent()
        admin.policy(["send"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
        token = admin.token(agent, task={"id": "order-4711"})
        more = {"context": {"conversationId": "talk-1"}}
        pending = caller.enforce(token, "send", "x", **more)
        caller.enforce(token, "fly", "x", **more)
        caller.enforce(token, "fly", "x", context={"conversationId": "another"})
        admin.post(f"/v1/approvals/{pending['approval']['id']}/approve", {}, status=200)
        allowed = caller.enforce(token, "send", "x", **more)
        caller.post(f"/v1/decisions/{allowed['decisionId']}/outcome", {"status": "succeeded"}, status=200)
        return allowed


STORY = [
    ("decision", "pending_approval"),
    ("decision", "denied"),
    ("approval.approved", "approved"),
    ("decision", "allowed"),
    ("decision.outcome", "succeeded"),
]


def test_a_conversation(ctl: Ctl, decision: Any) -> None:
    assert told(ctl, "talk-1") == STORY


def test_a_task(ctl: Ctl, decision: Any) -> None:
    assert told(ctl, "order-4711") == [("token.issued", None), *STORY[:2], ("decision", "denied"), *STORY[2:]]


def test_a_decision(ctl: Ctl, decision: Any) -> None:
    assert told(ctl, decision["decisionId"]) == STORY[3:]


def test_nothing(ctl: Ctl, decision: Any) -> None:
    run = ctl("audit", "story", "nothing", "-o", "json")
    assert (run.code, run.json()) == (1, [])
    assert "No record" in ctl("audit", "story", "nothing").err


def test_filters_of_the_list(ctl: Ctl, decision: Any) -> None:
    assert len(ctl.json("audit", "list", "--conversation", "another")) == 1
    assert len(ctl.json("audit", "list", "--task", "order-4711", "--decision", "denied")) == 2
