"""After a tool ran that says nothing of what it reads, sending needs a person: a real chat under a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import autogen
import pytest
from autogen_support import assistant, chat, ends, script, texts
from tests.support import ADMIN_KEY, Api, Server

from act import Act
from act.integrations.autogen import ActGuard, ToolSpec, act_tool

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("labels")) as server:
        yield server


class Office:
    """An agent that may read and send; it needs a person for sending once something untrusted was read."""

    def __init__(self, server: Server) -> None:
        self.api: Api = server.api()
        self.id = self.api.agent()
        to = {"appliesTo": {"agentIds": [self.id]}}
        self.api.policy(["read", "send", "handoff"], **to)
        self.api.policy(["send"], **to, when="'untrusted' in session.labels", constraints={"requiresApproval": True})
        self.done: list[str] = []
        self.server = server

    def chat(self, mode: str, labels: Any, *, marked: bool = False) -> str:
        """The model reads a page, then sends; `labels` are those of the page. What the model saw."""

        def read(page: str) -> str:
            self.done.append("read")
            return f"text of {page}"

        def send(to: str) -> str:
            self.done.append("send")
            return "sent"

        if marked:
            read = act_tool(action="read", resource="web://{page}", labels=labels)(read)
        tools = {"send": ToolSpec("send", "mail://{to}", labels=[])}
        if not marked:
            tools["read"] = ToolSpec("read", "web://{page}", labels=labels)
        planner, executor = assistant("Planner"), assistant("Executor", llm_config=False, is_termination_msg=ends)
        for tool, name in ((read, "read"), (send, "send")):
            autogen.register_function(tool, caller=planner, executor=executor, name=name, description=name)
        seen = script(planner, ("send", {"to": "a"}), ("read", {"page": "forum"}), ("send", {"to": "b"}), "TERMINATE")
        with Act(self.server.url, ADMIN_KEY, timeout=20) as act:
            tokens = {"Planner": self.api.token(self.id)}
            ActGuard(act, tokens, tools=tools, messages="off").protect(planner, executor)
            chat(mode, executor, planner)
        return texts(seen)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("labels", [None, ["untrusted"], ["pii", "untrusted"]])
def test_after_an_unlabelled_or_untrusted_tool_sending_needs_a_person(server: Server, mode: str, labels: Any) -> None:
    office = Office(server)
    seen = office.chat(mode, labels)
    assert office.done == ["send", "read"]
    assert "ACT denied: approval_required" in seen
    assert "text of forum" in seen


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("labels", [[], ["internal"]])
def test_after_a_tool_that_reads_nothing_untrusted_it_does_not(server: Server, labels: Any, marked: bool) -> None:
    office = Office(server)
    assert "approval_required" not in office.chat("sync", labels, marked=marked)
    assert office.done == ["send", "read", "send"]


def test_the_mark_on_the_function_counts(server: Server) -> None:
    office = Office(server)
    assert "approval_required" in office.chat("sync", ["untrusted"], marked=True)
    assert office.done == ["send", "read"]


def test_the_default_is_the_tenants(tmp_path: Path) -> None:
    with Server(tmp_path) as own:
        office = Office(own)
        office.api.patch("/v1/tenants/default-tenant", {"defaultLabels": []})
        assert "approval_required" not in office.chat("sync", None)
        assert office.done == ["send", "read", "send"]
