"""Real agents of AutoGen 0.7 with scripted models, and ACT itself in the process of the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from tests.integrations.suite.drivers.agentchat import SuiteModel
from tests.integrations.suite.job import Call, Script, Turn
from tests.integrations.suite.world import Agent, Asked, Station, Watched

from act.integrations import act_tool
from act.integrations.agentchat import ActGuard

Step = str | Call | Sequence[Call] | Turn

TASK = Call("execute_task", {"task_id": "t-1", "amount": 5})
CODE = "```python\nprint(6 * 7)\n```"


def to(name: str) -> Call:
    """The call by which a model hands over."""
    return Call(f"transfer_to_{name.lower()}")


def model(*steps: Step) -> SuiteModel:
    """A model that says these, then ends."""
    turns = []
    for step in steps:
        if isinstance(step, Turn):
            turns.append(step)
        elif isinstance(step, str):
            turns.append(Turn(text=step))
        else:
            turns.append(Turn((step,) if isinstance(step, Call) else tuple(step)))
    return SuiteModel(Script(turns))


class World:
    """The agents of one test: `may` gives one of them a policy. What the guard asked and reported is kept."""

    def __init__(self, station: Station, *names: str) -> None:
        self.agents = {name: Agent(station) for name in names or ("Planner", "Executor")}
        self.tokens = {name: agent.token() for name, agent in self.agents.items()}
        self.act = Watched(station.act)

    def guard(self, **options: Any) -> ActGuard:
        return ActGuard(self.act, self.tokens, **options)

    def may(self, name: str, action: str = "*", resource: str = "*", **more: Any) -> World:
        self.agents[name].may(action, resource, **more)
        return self

    def payer(self, name: str, action: str = "*", resource: str = "*") -> World:
        return self.may(name, action, resource, constraints={"requires_approval": True})

    @property
    def asked(self) -> list[Asked]:
        return self.act.calls

    @property
    def who(self) -> list[tuple[str, str, str]]:
        """Of each call: action, and who executes and asks."""
        return [(asked.action, asked.context["executor"], asked.context["requester"]) for asked in self.asked]

    @property
    def statuses(self) -> list[str]:
        return [status for status, _ in self.act.outcomes]


class Ran(list[Any]):
    """The calls that a tool really got, and the tool: action `execute` on `api://tasks/execute/{task_id}`."""

    def __init__(self) -> None:
        super().__init__()

        @act_tool(action="execute", resource="api://tasks/execute/{task_id}")
        async def execute_task(task_id: str, amount: int = 0) -> str:
            """Execute a task."""
            self.append((task_id, amount))
            return f"done {task_id}"

        self.tool = execute_task


def agent(name: str, *steps: Step, tools: Any = (), kind: Any = AssistantAgent, **options: Any) -> Any:
    """An assistant with a scripted model, which is `agent.said`."""
    scripted = model(*steps)
    made = kind(name, scripted, description=name, **({"tools": list(tools)} if tools else {}), **options)
    made.script = scripted._script
    return made


class Recorder(CodeExecutor):  # type: ignore[misc]  # the framework is not analysed
    """Executes no code, and keeps what it was given."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def execute_code_blocks(self, code_blocks: list[CodeBlock], cancellation_token: Any) -> CodeResult:
        self.ran += [block.code for block in code_blocks]
        return CodeResult(exit_code=0, output="42")

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def restart(self) -> None: ...
