"""Agents under the guard: each gets a class of its own, below the class that it had.

AutoGen works with what the class of an agent says, not with what stands in the agent: model calls, tool calls and
handoffs are class methods. So the guard is in the class, and neither a new workbench or model client, nor a handoff
that was added, nor another order of building and protecting makes it go away.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_agentchat.base import Response
from autogen_core.code_executor import CodeBlock, CodeResult
from autogen_core.tools import Workbench

from act.integrations.agentchat.bench import guarded
from act.integrations.agentchat.code import GuardedCodeExecutor, WrittenBlock, execute
from act.integrations.agentchat.post import CALLING, RUN, Post, Run
from act.integrations.core import ApprovalPending, UnprotectedAgent

_POST = "_act_post"
_WATCHED = "_act_watched"
_END = object()


def post_of(agent: Any) -> Post | None:
    """The place under a guard that an agent, and no copy of it, has."""
    found = getattr(type(agent), _POST, None)
    return found if isinstance(found, Post) and type(agent)._act_agent() is agent else None


def put_under(agent: Any, post: Post) -> None:
    """Give an agent its guarded class."""
    base = type(agent)
    make = _assistant if isinstance(agent, AssistantAgent) else _coder
    kind = make(base, post)
    kind.__name__, kind.__qualname__, kind.__module__ = base.__name__, base.__qualname__, base.__module__
    kind._act_post, kind._act_agent = post, weakref.ref(agent)
    agent.__class__ = kind


def watch_agents() -> None:
    """Have every agent that takes a turn inside of a tool call checked: a tool may make agents when it runs.

    For that the two classes are patched, once per process.
    """
    for kind in (AssistantAgent, CodeExecutorAgent):
        if _WATCHED not in vars(kind):
            kind.on_messages_stream = _watched(kind.on_messages_stream)
            setattr(kind, _WATCHED, True)


def _watched(turn: Any) -> Any:
    @functools.wraps(turn)
    async def on_messages_stream(self: Any, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
        guard = CALLING.get()
        if guard is not None:
            guard.check_inside_call(self)
        async with aclosing(turn(self, *args, **options)) as events:
            async for event in events:
                yield event

    return on_messages_stream


def _turns(base: Any, post: Post) -> Any:
    """What all agents have in common: a turn is shown what it may see, ends when it has to, and leaves nothing."""

    class Guarded(base):  # type: ignore[misc]
        async def on_messages_stream(
            self, messages: Sequence[Any], cancellation_token: Any
        ) -> AsyncGenerator[Any, None]:
            run = Run(post)
            post.ended = None
            shown = await post.guard.screen.shown(post.name, messages)
            try:
                async with aclosing(super().on_messages_stream(shown, cancellation_token)) as events:
                    while (event := await _next(events, run)) is not _END:
                        if run.failure is not None:
                            raise run.failure
                        yield await post.answered(event) if isinstance(event, Response) else event
            except (ApprovalPending, UnprotectedAgent) as fault:
                post.ended = fault
                raise
            finally:
                for call in list(run.calls):  # the turn was cancelled: AutoGen would let them go on
                    call.cancel()

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise TypeError("an agent under an ActGuard cannot be copied or pickled; protect it where it is used")

        def dump_component(self) -> Any:
            raise TypeError("an agent under an ActGuard cannot be dumped: what is loaded from it would not be under it")

    return Guarded


async def _next(events: AsyncGenerator[Any, None], run: Run) -> Any:
    """The next event of a turn, in whose steps all tasks know that they belong to it."""
    RUN.set(run)
    return await anext(events, _END)


def _assistant(base: Any, post: Post) -> Any:
    class GuardedAssistant(_turns(base, post)):  # type: ignore[misc]
        @property
        def _workbench(self) -> Any:
            return [guarded(one, post) for one in self.__dict__["_workbench"]]

        @_workbench.setter
        def _workbench(self, benches: Any) -> None:
            self.__dict__["_workbench"] = benches

        @classmethod
        async def _call_llm(cls, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(super()._call_llm(*args, **kwargs)) as events:
                async for event in events:
                    yield await post.screened(event, cls._act_agent()._handoffs)

        @staticmethod
        async def _execute_tool_call(
            tool_call: Any,
            workbench: Sequence[Workbench],
            handoff_tools: Any,
            agent_name: str,
            cancellation_token: Any,
            stream: Any,
        ) -> Any:
            benches = [guarded(one, post) for one in workbench]
            tools = handoff_tools if post.may_hand_over(tool_call) else []
            call = base._execute_tool_call(tool_call, benches, tools, agent_name, cancellation_token, stream)
            return await post.settle(tool_call, call, cancellation_token)

    return GuardedAssistant


def _coder(base: Any, post: Post) -> Any:
    class GuardedCoder(_turns(base, post)):  # type: ignore[misc]
        @property
        def _code_executor(self) -> Any:
            return GuardedCodeExecutor(self.__dict__["_code_executor"], post)

        @_code_executor.setter
        def _code_executor(self, executor: Any) -> None:
            self.__dict__["_code_executor"] = executor

        async def extract_code_blocks_from_messages(self, messages: Sequence[Any]) -> list[Any]:
            """As the agent's own, and each block knows whose message it stood in."""
            blocks = []
            for message in messages:
                found = await super().extract_code_blocks_from_messages([message])
                blocks += [WrittenBlock(block.code, block.language, message.source) for block in found]
            return blocks

        async def execute_code_block(self, code_blocks: list[CodeBlock], cancellation_token: Any) -> CodeResult:
            """As the agent's own, for code that is allowed."""
            own = self._model_client is not None
            return await execute(post, code_blocks, own, super().execute_code_block, cancellation_token)

    return GuardedCoder
