"""One agent's place under the guard: what it asks, and what becomes of the run that it is in.

What is raised while AutoGen executes a tool call is never heard of: the agent goes on to wait for a result, and
cancelling it does not free it. So a call always ends in a result here, and what has to end the run is kept in `Run`
until the agent has come out of the call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from autogen_agentchat.base import Response
from autogen_agentchat.messages import HandoffMessage, TextMessage
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, FunctionExecutionResult

from act.integrations.agentchat.parts import arguments_of
from act.integrations.context import during
from act.integrations.core import ApprovalPending, Party, Ruling, UnprotectedAgent
from act.integrations.mapping import MappingFault, ToolSpec, agent_resource
from act.integrations.ruling import ruling_from
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.agentchat.guard import ActGuard

CALLERS: ContextVar[tuple[str, ...]] = ContextVar("act_agentchat_callers", default=())
"""The agents whose tool calls led to what runs now, outermost first."""

CALLING: ContextVar[ActGuard | None] = ContextVar("act_agentchat_calling", default=None)
"""The guard of the agent in whose tool call this runs."""

RUN: ContextVar[Run | None] = ContextVar("act_agentchat_run", default=None)

ANOTHER: Final = "Not done: a message hands over once, and another handoff of this message was made."
_LONGEST_NAME = 64  # of a tool, as models take it
_CANCELLED = "Error: the call was cancelled"

Call = Any
T = TypeVar("T")


def calling(guard: ActGuard) -> AbstractContextManager[None]:
    """The time in which a tool of an agent under this guard runs."""
    return during(CALLING, guard)


@dataclass
class Run:
    """One turn of an agent. `failure` ends it as soon as the agent has come out of its tool calls.

    `handed` are the calls that may hand over, and `handing_to` is who was asked about last and is to take over.
    """

    post: Post
    calls: set[asyncio.Task[Any]] = field(default_factory=set)
    failure: BaseException | None = None
    handed: list[Any] = field(default_factory=list)
    handing_to: str | None = None


@dataclass(frozen=True)
class Asked:
    """A ruling on a tool call, the labels of what it reads, and the arguments that were decided about, if any were."""

    ruling: Ruling
    labels: Sequence[str] | None = ()
    arguments: Any = None


@dataclass
class Post:
    """The place of the agent `name`. `ended` is what ended its last run, when that is for the application to know."""

    guard: ActGuard
    name: str
    ended: BaseException | None = None
    _denials: dict[str, str] = field(default_factory=dict)
    _numbers: Any = field(default_factory=count)

    @property
    def party(self) -> Party:
        return self.guard.party_named(self.name)

    @property
    def run(self) -> Run:
        """The turn that the running task belongs to: an agent may be at several at once."""
        run = RUN.get()
        return run if run is not None and run.post is self else Run(self)

    # --- tool calls -------------------------------------------------------------------------------------------------

    async def ask(self, tool: str, arguments: Any, function: Any) -> Asked:
        """May this agent, whose model asks for it, make this call?"""
        spec = self.guard.spec_named(tool, function)
        return await ask(self.guard, tool, arguments, spec, executor=self.party, asker=self.party)

    async def settle(self, call: Call, carry_out: Any, token: Any) -> Any:
        """The result of one tool call. Raises nothing; `carry_out` is a coroutine of `(call, result)`."""
        told = self._denials.pop(call.name, None)
        if told is not None:
            carry_out.close()
            return call, error(call, told)
        task, run = asyncio.current_task(), self.run
        assert task is not None
        run.calls.add(task)
        token.link_future(task)
        try:
            with during(CALLERS, (*CALLERS.get(), self.name)), calling(self.guard):
                return await carry_out
        except ApprovalPending as pending:
            run.failure = run.failure or pending
            return call, error(call, ruling_from(pending.decision).text)
        except UnprotectedAgent as unprotected:
            run.failure = run.failure or unprotected
            return call, error(call, f"Error: {unprotected}")
        except asyncio.CancelledError as cancelled:
            if task.cancelling() or token.is_cancelled():  # and not only something inside of the tool
                run.failure = run.failure or cancelled
            return call, error(call, _CANCELLED)
        except Exception as fault:  # noqa: BLE001 - anything that came out of here would hang the agent
            return call, error(call, f"Error: {fault}")
        finally:
            run.calls.discard(task)

    # --- handoffs ---------------------------------------------------------------------------------------------------

    async def screened(self, result: Any, handoffs: Mapping[str, Any]) -> Any:
        """What a model said, with the handoffs that are denied renamed: AutoGen transfers by the name of the call."""
        if not isinstance(result, CreateResult) or isinstance(result.content, str):
            return result
        run = self.run
        run.handed, run.handing_to = [], None
        calls: list[Any] = []
        for call in result.content:
            told = await self._handed_over(run, call, handoffs[call.name]) if call.name in handoffs else None
            calls.append(call if told is None else self._renamed(call, told))
        return result.model_copy(update={"content": calls})

    async def _handed_over(self, run: Run, call: Call, handoff: Any) -> str | None:
        if self.guard.mode == "enforce" and run.handed:
            return ANOTHER
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, RecursionError):
            arguments = None
        ruling = await self.ask_handoff(str(handoff.target), arguments_of(handoff.handoff_tool, arguments))
        if not ruling.allowed:
            return ruling.text
        run.handed.append(call)
        run.handing_to = run.handing_to or str(handoff.target)
        return None

    async def ask_handoff(self, target: str, arguments: Any) -> Ruling:
        """May this agent hand over to `target`? An allowed one is reported at once: it takes no time, reads nothing."""
        try:
            spec = ToolSpec("handoff", agent_resource(target), labels=())
        except (MappingFault, ValueError) as fault:
            refused = self.guard.enforcer.refused
            return refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.", "handoff", executor=self.party, asker=self.party)
        asked = await ask(self.guard, f"transfer_to_{target}", arguments, spec, executor=self.party, asker=self.party)
        if asked.ruling.allowed:
            await asyncio.to_thread(self.guard.enforcer.report, asked.ruling, "succeeded", ())
        return asked.ruling

    def may_hand_over(self, call: Call) -> bool:
        """Whether this call of the model was asked about as a handoff, and allowed."""
        return any(call is one for one in self.run.handed)

    def _renamed(self, call: Call, told: str) -> Call:
        name = f"act_denied_{next(self._numbers)}_{call.name}"[:_LONGEST_NAME]
        self._denials[name] = told
        return replace(call, name=name)

    # --- answers ----------------------------------------------------------------------------------------------------

    async def answered(self, response: Response) -> Response:
        """An agent's answer. A transfer that an agent wrote by itself, without a call, is asked about now.

        One that stands among what led to the answer is of an agent behind a tool, whose right it was to hand over
        there; a swarm would take it for one of this agent.
        """
        if self.guard.mode == "enforce" and any(
            isinstance(one, HandoffMessage) for one in response.inner_messages or ()
        ):
            response = replace(response, inner_messages=[_told(one) for one in response.inner_messages])
        message = response.chat_message
        if not isinstance(message, HandoffMessage):
            return response
        if message.target == self.run.handing_to:
            return response
        ruling = await self.ask_handoff(str(message.target), {})
        if ruling.allowed:
            return response
        return replace(response, chat_message=TextMessage(content=ruling.text, source=self.name))


def _told(message: Any) -> Any:
    """A handoff as the words that it was made with."""
    if not isinstance(message, HandoffMessage):
        return message
    return TextMessage(content=message.content, source=message.source)


async def ask(
    guard: ActGuard, tool: str, arguments: Any, spec: ToolSpec, *, executor: Party, asker: Party | None
) -> Asked:
    """The ruling on a call with these arguments, which a model may have left out."""
    callers = CALLERS.get()
    plan = guard.plan(
        tool,
        arguments,
        spec=spec,
        executor=executor,
        asker=asker,
        context={"callers": list(callers[:-1])} if len(callers) > 1 else {},
    )
    if isinstance(plan, Ruling):
        return Asked(plan)
    ruling = await guard.enforcer.a_decide(plan.call, executor=executor, asker=asker)
    return Asked(ruling, plan.labels, json.loads(plan.canonical))


async def linked(asking: Coroutine[Any, Any, T], token: Any) -> T:
    """The answer, unless the cancellation token of the framework is cancelled first."""
    task = asyncio.ensure_future(asking)
    token.link_future(task)
    return await task


def error(call: FunctionCall, text: str) -> FunctionExecutionResult:
    """A result that says why there is none."""
    return FunctionExecutionResult(content=text, call_id=call.id, is_error=True, name=call.name)
