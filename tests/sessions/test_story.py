"""Two agents with tokens for one task: what one has read, the other cannot send without a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support import Api, Server


class Team:
    """A reader and a writer of one role, each with a token for `task`."""

    def __init__(self, api: Api, enforcer: Api) -> None:
        self.api = api
        self.enforcer = enforcer
        self.role = uuid4().hex
        self.reader, self.writer = api.agent(None, self.role), api.agent(None, self.role)
        self.may(["read", "create", "approve", "send"])
        careful = {"when": "'untrusted' in session.labels", "constraints": {"requiresApproval": True}}
        self.may(["send"], **careful)
        self.may(["approve"], effect="deny", when="resource in session.created")

    def may(self, actions: list[str], **more: Any) -> None:
        self.api.policy(actions, appliesTo={"roles": [self.role]}, **more)

    def token(self, agent_id: str, task: str | None) -> str:
        return self.api.token(agent_id, **({} if task is None else {"task": {"id": task}}))

    def ask(self, token: str, action: str, resource: str, **more: Any) -> Any:
        return self.enforcer.enforce(token, action, resource, **more)

    def done(self, token: str, action: str, resource: str, **notes: Any) -> Any:
        """Do something and report it."""
        decision = self.ask(token, action, resource)
        assert decision["reasonCode"] == "allowed"
        path = f"/v1/decisions/{decision['decisionId']}/outcome"
        return self.enforcer.post(path, {"status": "succeeded"} | notes, status=200)


@pytest.fixture
def team(server: Server, api: Api) -> Iterator[Team]:
    with server.api(api.key("enforce")["key"]) as enforcer:
        yield Team(api, enforcer)


def test_after_untrusted_was_read_the_whole_task_needs_a_person_to_send(team: Team) -> None:
    task = uuid4().hex
    reader, writer = team.token(team.reader, task), team.token(team.writer, task)
    assert team.ask(writer, "send", "mail://x")["reasonCode"] == "allowed"
    team.done(reader, "read", "web://forum", labels=["untrusted"])
    asked = team.ask(writer, "send", "mail://x")
    assert asked["reasonCode"] == "approval_required"
    assert team.ask(reader, "send", "mail://x")["reasonCode"] == "approval_required"
    # A new token for the same task brings no innocence back; one for another task has none of it.
    assert team.ask(team.token(team.writer, task), "send", "mail://x")["reasonCode"] == "approval_required"
    assert team.ask(team.token(team.writer, uuid4().hex), "send", "mail://x")["reasonCode"] == "allowed"
    assert team.ask(team.token(team.writer, None), "send", "mail://x")["reasonCode"] == "allowed"
    team.api.post(f"/v1/approvals/{asked['approval']['id']}/approve", {}, status=200)
    assert team.ask(writer, "send", "mail://x")["reasonCode"] == "allowed"
    assert team.ask(writer, "send", "mail://x")["reasonCode"] == "approval_required", "once"


def test_who_creates_does_not_approve_within_one_task(team: Team) -> None:
    task = uuid4().hex
    reader, writer = team.token(team.reader, task), team.token(team.writer, task)
    team.done(reader, "create", "api://payments/new", created=["api://payments/7"])
    for token in (reader, writer):
        assert team.ask(token, "approve", "api://payments/7")["reasonCode"] == "policy_denied"
        assert team.ask(token, "approve", "api://payments/8")["reasonCode"] == "allowed"
    other = team.token(team.writer, uuid4().hex)
    assert team.ask(other, "approve", "api://payments/7")["reasonCode"] == "allowed"


def test_the_log_tells_the_story_of_the_task(team: Team) -> None:
    task = uuid4().hex
    token = team.token(team.reader, task)
    recorded = team.done(token, "read", "web://forum", labels=["untrusted"])
    outcome = team.api.get(f"/v1/audit/{recorded['audit']['index']}")["record"]
    assert (outcome["taskId"], outcome["labels"], outcome["agentId"]) == (task, ["untrusted"], team.reader)
    asked = team.ask(token, "send", "mail://x")
    decided = team.api.get(f"/v1/audit/{asked['audit']['index']}")["record"]
    assert (decided["taskId"], decided["rootNode"]) == (task, outcome["rootNode"])


def test_a_task_named_as_a_node_is_not_the_session_of_that_node(team: Team) -> None:
    issued = team.api.post("/v1/tokens", {"agentId": team.reader})
    team.done(issued["token"], "read", "web://forum", labels=["untrusted"])
    named = team.token(team.reader, issued["node"])
    assert team.ask(named, "send", "mail://x")["reasonCode"] == "allowed"
    team.done(named, "create", "api://payments/new", created=["api://payments/7"])
    assert team.ask(issued["token"], "approve", "api://payments/7")["reasonCode"] == "allowed"
