"""Code execution: `execute_code_blocks` of the agent, and of the code executor it was given.

Asked as action `execute_code` on `agent://<name>/code`, with the languages and the blocks as arguments. The requester
is the author of the message that the code stands in: the latest one from which AutoGen's own extractor reads exactly
these blocks. Code that no message of the running reply contains has no requester and is refused; so is code in what a
tool has returned or other code has printed, which no agent wrote.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autogen.code_utils import extract_code, infer_lang
from autogen.coding.base import CodeResult

from act.integrations.autogen.requester import frame_of
from act.integrations.core import Call, NotReported, Ruling
from act.integrations.mapping import MappingFault, agent_resource
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.autogen.guard import ActGuard

Agent = Any
Blocks = list[tuple[str, str]]


class GuardedCodeExecutor:
    """Stands before an agent's code executor. A proxy, not a patch: two agents may share one executor."""

    def __init__(self, inner: Any, agent: Agent, guard: ActGuard) -> None:
        self._inner, self._agent, self._guard = inner, agent, guard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def code_extractor(self) -> Any:
        return self._inner.code_extractor

    def restart(self) -> None:
        self._inner.restart()

    def execute_code_blocks(self, code_blocks: Sequence[Any]) -> Any:
        code_blocks = [copy.copy(block) for block in code_blocks]
        blocks = _pairs(code_blocks)
        ruling = _decide(
            self._agent,
            self._guard,
            blocks,
            lambda content: _pairs(self._inner.code_extractor.extract_code_blocks(content)),
        )
        if not ruling.allowed:
            return CodeResult(exit_code=1, output=ruling.text)
        try:
            with self._guard.enforcer.reporting(ruling) as running:
                result = self._inner.execute_code_blocks(code_blocks)
                running.failed = result.exit_code != 0
        except NotReported as withheld:
            return CodeResult(exit_code=1, output=str(withheld))
        return result


def guard_code(agent: Agent, guard: ActGuard) -> None:
    """Put the guard in front of all code that `agent` executes."""
    execute = agent.execute_code_blocks

    def execute_code_blocks(code_blocks: Any) -> Any:
        blocks = _in_a_language(code_blocks)
        ruling = _decide(agent, guard, blocks, lambda content: _in_a_language(extract_code(content)))
        if not ruling.allowed:
            return 1, ruling.text
        try:
            with guard.enforcer.reporting(ruling) as running:
                result = execute(blocks)
                running.failed = result[0] != 0
        except NotReported as withheld:
            return 1, str(withheld)
        return result

    agent.execute_code_blocks = execute_code_blocks
    guard_code_executor(agent, guard)


def guard_code_executor(agent: Agent, guard: ActGuard) -> None:
    """The same for the executor object, also for another one that the agent is given, even while it replies."""
    base: Any = type(agent)

    class Guarded(base):  # type: ignore[misc]
        @property
        def _code_executor(self) -> Any:
            executor = self.__dict__.get("_code_executor")
            while isinstance(executor, GuardedCodeExecutor):  # that of another agent
                executor = executor._inner
            return None if executor is None else GuardedCodeExecutor(executor, self, guard)

        @_code_executor.setter
        def _code_executor(self, executor: Any) -> None:
            self.__dict__["_code_executor"] = executor

    Guarded.__name__, Guarded.__qualname__, Guarded.__module__ = base.__name__, base.__qualname__, base.__module__
    agent.__class__ = Guarded


def _decide(agent: Agent, guard: ActGuard, blocks: Blocks, extract: Callable[[Any], Any]) -> Ruling:
    frame = frame_of(agent)
    asker = None
    for message in reversed(frame.messages if frame is not None else []):
        if _reads_as(message, blocks, extract):
            entry = frame.ledger.entry(message) if frame is not None else None
            asker = entry.author if entry and not _is_output(message) else None
            break
    arguments = {
        "languages": sorted({language for language, _ in blocks}),
        "blocks": [{"language": language, "code": code} for language, code in blocks],
    }
    try:
        call = Call("execute_code", agent_resource(agent.name, "/code"), arguments)
    except MappingFault as fault:
        return guard.enforcer.refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.", "execute_code")
    # AutoGen executes code on its event loop in async chats; waiting for a person there would stop it.
    may_wait = frame is None or not frame.asynchronous
    return guard.enforcer.decide(call, executor=guard.party(agent), asker=guard.asker(asker), may_wait=may_wait)


def _reads_as(message: Any, blocks: Blocks, extract: Callable[[Any], Any]) -> bool:
    try:
        return bool(message.get("content")) and extract(message["content"]) == blocks
    except Exception:  # noqa: BLE001 - a message that cannot be read did not ask for this code
        return False


def _is_output(message: Mapping[str, Any]) -> bool:
    """Whether a message is what a tool has returned, or AutoGen's answer with what code has printed."""
    content = message.get("content")
    printed = isinstance(content, str) and content.startswith("exitcode: ")
    return printed or message.get("role") in ("tool", "function") or bool(message.get("tool_responses"))


def _in_a_language(code_blocks: Iterable[Any]) -> Blocks:
    """The blocks with the language in which AutoGen would execute them: it guesses one that is not given."""
    return [(language or infer_lang(code), code) for language, code in code_blocks]


def _pairs(code_blocks: Sequence[Any]) -> Blocks:
    return [(block.language, block.code) for block in code_blocks]
