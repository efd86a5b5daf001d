"""Real agents with scripted models, and ACT itself in the process of the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)

from act import Act
from act.integrations.agent_framework import act_tool
from act.models import Decision

_number = count()


@dataclass
class Asked:
    """One question to ACT, and the answer."""

    action: str
    resource: str
    said: dict[str, Any]
    decision: Decision | None = None

    @property
    def who(self) -> tuple[str, str]:
        """The agents that execute and ask, by name."""
        return self.said["context"]["executor"], self.said["context"]["requester"]


Call = tuple[str, Mapping[str, Any] | str]
Step = str | Call | Sequence[Call]
"""What a scripted model answers: a text, a call, or several calls at once."""


class ScriptedClient(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):  # type: ignore[misc,type-arg]
    """A chat client whose model answers from a script, then `done`. `seen` is what it was shown each time."""

    def __init__(self, *steps: Step, **options: Any) -> None:
        super().__init__(**options)
        self.steps = list(steps)
        self.seen: list[list[Message]] = []
        self.calls = 0

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Any:
        self.seen.append(list(messages))
        contents = self._contents(self.steps.pop(0) if self.steps else "done")

        async def updates() -> Any:
            for content in contents:
                yield ChatResponseUpdate(contents=[content], role="assistant")

        async def response() -> ChatResponse:
            return ChatResponse(messages=Message(role="assistant", contents=contents))

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates) if stream else response()

    def _contents(self, step: Step) -> list[Content]:
        if isinstance(step, str):
            return [Content.from_text(step)]
        contents = []
        for name, arguments in [step] if isinstance(step[0], str) else step:
            self.calls += 1
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            contents.append(Content.from_function_call(f"call_{self.calls}", name, arguments=text))
        return contents

    @property
    def results(self) -> list[str]:
        """The tool results that the model has read at the end."""
        return results(self.seen[-1])

    @property
    def text(self) -> str:
        return "\n".join(self.results)


def results(messages: Sequence[Message]) -> list[str]:
    contents = [content for message in messages for content in message.contents]
    return [str(content.result) for content in contents if content.type == "function_result"]


class Node:
    """ACT itself, in this process, and a person who approves."""

    def __init__(self, folder: Path) -> None:
        self.act = Act.embedded(folder / "act.db", timeout=60)
        key = self.act.api_keys.create("ann", scopes=["approve"], person="ann@example.com")
        self.ann = self.act.with_key(key.key)
        self.worlds = 0


class World:
    """The agents of one test, who have tokens and no policies yet: `name` here, `name-1` at ACT.

    Stands where `act.Act` stands for a guard: hands every question on, and keeps what was asked and reported.
    """

    def __init__(self, node: Node, *names: str) -> None:
        node.worlds += 1
        self.act, self.ann, self.approvals = node.act, node.ann, node.act.approvals
        names = names or ("Planner", "Executor")
        self.agents = {name: self.act.agents.create(f"{name}-{node.worlds}") for name in names}
        self.issued = {name: self.act.tokens.issue(agent.id) for name, agent in self.agents.items()}
        self.tokens = {name: issued.token for name, issued in self.issued.items()}
        self.asked: list[Asked] = []
        self.messages: list[Asked] = []
        self.outcomes: list[tuple[str, str, Any]] = []
        self.broken = False
        self.deaf = False
        self.before: Callable[[Asked], None] = lambda asked: None

    def enforce(self, token: str, action: str, resource: str, **said: Any) -> Decision:
        asked = Asked(action, resource, said)
        (self.messages if action == "message" else self.asked).append(asked)
        self.before(asked)
        if self.broken:
            raise ConnectionError("no route")
        asked.decision = self.act.enforce(token, action, resource, **said)
        return asked.decision

    def report_outcome(self, decision_id: str, status: Any, labels: Sequence[str] | None = None) -> object:
        if self.deaf:
            raise ConnectionError("no route")
        self.outcomes.append((decision_id, status, labels))
        return self.act.report_outcome(decision_id, status, labels)

    def allow(self, *names: str, action: str = "*", resource: str = "*", **constraints: Any) -> None:
        for name in names:
            self.act.policies.create(
                name=f"{self.agents[name].name} {next(_number)}",
                actions=[action],
                resources=[resource],
                applies_to={"agent_ids": [self.agents[name].id]},
                **({"constraints": constraints} if constraints else {}),
            )

    @property
    def codes(self) -> list[str]:
        return [asked.decision.reason_code.value for asked in self.asked if asked.decision is not None]

    @property
    def statuses(self) -> list[str]:
        return [status for _, status, _ in self.outcomes]


class Ran(list[Any]):
    """The calls that a tool really got, and the tool: action `execute` on `api://tasks/execute/{task_id}`."""

    def __init__(self) -> None:
        super().__init__()

        @act_tool(action="execute", resource="api://tasks/execute/{task_id}")
        def execute_task(task_id: str, amount: int = 0) -> str:
            """Execute a task."""
            self.append((task_id, amount))
            return f"done {task_id}"

        self.tool = execute_task


TASK: Call = ("execute_task", {"task_id": "t-1", "amount": 5})


def agent(name: str, *steps: Step, tools: Any = (), kind: Any = Agent, **options: Any) -> Any:
    return kind(ScriptedClient(*steps), name=name, tools=list(tools), **options)


async def speak(mode: str, who: Any, message: Any = "go", **options: Any) -> Any:
    """One whole run, in the way of the test's mode."""
    if mode == "run":
        return await who.run(message, **options)
    return await who.run(message, stream=True, **options).get_final_response()
