"""Code execution, asked as action `execute_code` on `agent://<name>/code`, with the blocks as arguments.

The requester is the agent whose message the code stood in, or the agent itself when its own model wrote it. Code that
other code has printed has none, and is refused. The guard asks before the agent's `approval_func` does, and the code
executor takes only what was decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from autogen_core.code_executor import CodeBlock, CodeResult

from act.integrations.agentchat.post import CALLERS, Asked, Post, ask, linked
from act.integrations.core import NotReported, Party, Ruling
from act.integrations.mapping import MappingFault, ToolSpec, agent_resource
from act.models import ReasonCode

Execute = Callable[[list[Any], Any], Awaitable[Any]]
Blocks = list[dict[str, str]]

_PERSON = "user"
"""What AutoGen calls the source of a task that comes from outside."""
_decided: ContextVar[Blocks | None] = ContextVar("act_agentchat_code", default=None)


@dataclass
class WrittenBlock(CodeBlock):  # type: ignore[misc]  # the framework is not analysed
    """A block of code, and the source of the message in which it stood."""

    source: str = ""


class GuardedCodeExecutor:
    """Stands before an agent's code executor. A proxy, not a patch: two agents may share one executor."""

    def __init__(self, inner: Any, post: Post) -> None:
        self._inner, self._post = inner, post

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def execute_code_blocks(self, code_blocks: list[Any], cancellation_token: Any) -> Any:
        """As the executor's own; code that was not decided about is not executed."""
        if self._post.guard.mode == "enforce" and _decided.get() != _plain(code_blocks):
            said = "This is not the code that was decided about."
            return _told(Ruling(ReasonCode.ACTION_MALFORMED, said).text)
        return await self._inner.execute_code_blocks(code_blocks, cancellation_token=cancellation_token)


async def execute(post: Post, blocks: list[Any], own: bool, carry_out: Execute, token: Any) -> Any:
    """Execute the blocks with `carry_out` if everybody who wrote one of them may have it done. `own`: the agent did."""
    pinned = [CodeBlock(block.code, block.language) for block in blocks]
    answers = await linked(_ask_all(post, blocks, own), token)
    denied = next((asked.ruling for asked in answers if not asked.ruling.allowed), None)
    enforcer = post.guard.enforcer
    if denied is not None:
        for asked in answers:
            await asyncio.to_thread(enforcer.report, asked.ruling, "cancelled", ())
        return _told(denied.text)
    before = _decided.set(_plain(pinned))
    try:
        return await _reported(post, answers, lambda: carry_out(pinned, token))
    except NotReported as withheld:
        return _told(str(withheld))
    finally:
        _decided.reset(before)


async def _reported(post: Post, answers: Sequence[Asked], carry_out: Callable[[], Awaitable[Any]]) -> Any:
    if not answers:
        return await carry_out()
    async with post.guard.enforcer.a_reporting(answers[0].ruling, None) as running:
        result = await _reported(post, answers[1:], carry_out)
        running.failed = result.exit_code != 0
    return result


async def _ask_all(post: Post, blocks: list[Any], own: bool) -> list[Asked]:
    """One question for each author, until one is denied."""
    answers: list[Asked] = []
    authors = [_author(post, block, own) for block in blocks] or [None]
    for name in dict.fromkeys(authors):
        written = [block for block, author in zip(blocks, authors, strict=False) if author == name]
        answers.append(await _ask(post, None if name is None else post.guard.party_named(name), written))
        if not answers[-1].ruling.allowed:
            break
    return answers


def _author(post: Post, block: Any, own: bool) -> str | None:
    if isinstance(block, WrittenBlock):
        if post.guard.only_executes(block.source):
            return None  # code has printed this; no agent wrote it
        callers = CALLERS.get()
        # The task of an agent behind a tool comes from the agent that called the tool.
        return callers[-1] if callers and block.source == _PERSON else block.source
    return post.name if own else None


async def _ask(post: Post, asker: Party | None, blocks: list[Any]) -> Asked:
    guard = post.guard
    arguments = {"languages": sorted({block.language for block in blocks}), "blocks": _plain(blocks)}
    try:
        spec = ToolSpec("execute_code", agent_resource(post.name, "/code"))
    except (MappingFault, ValueError) as fault:
        refused = guard.enforcer.refused
        said = f"{fault}."
        return Asked(refused(ReasonCode.RESOURCE_MALFORMED, said, "execute_code", executor=post.party, asker=asker))
    return await ask(guard, "execute_code", arguments, spec, executor=post.party, asker=asker)


def _plain(blocks: Sequence[Any]) -> Blocks:
    return [{"language": block.language, "code": block.code} for block in blocks]


def _told(text: str) -> Any:
    return CodeResult(exit_code=1, output=text)
