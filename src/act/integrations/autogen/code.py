"""Code execution: `execute_code_blocks` of the agent, and of the code executor it was given.

Asked as action `execute_code` on `agent://<name>/code`, with the languages and the blocks as arguments. The requester
is the author of the message that the code stands in: the latest one from which AutoGen's own extractor reads exactly
these blocks. Code that no message of the running reply contains has no requester and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from autogen.code_utils import extract_code
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
        ruling = _decide(agent, guard, [tuple(block) for block in code_blocks], extract_code)
        if not ruling.allowed:
            return 1, ruling.text
        try:
            with guard.enforcer.reporting(ruling) as running:
                result = execute(code_blocks)
                running.failed = result[0] != 0
        except NotReported as withheld:
            return 1, str(withheld)
        return result

    agent.execute_code_blocks = execute_code_blocks
    guard_code_executor(agent, guard)


def guard_code_executor(agent: Agent, guard: ActGuard) -> None:
    """The same for the executor object, also when the agent was given another one since."""
    executor = getattr(agent, "_code_executor", None)
    if executor is not None and not isinstance(executor, GuardedCodeExecutor):
        agent._code_executor = GuardedCodeExecutor(executor, agent, guard)


def _decide(agent: Agent, guard: ActGuard, blocks: Blocks, extract: Callable[[Any], Any]) -> Ruling:
    frame = frame_of(agent)
    asker = None
    for message in reversed(frame.messages if frame is not None else []):
        if _reads_as(message, blocks, extract):
            entry = frame.ledger.entry(message) if frame is not None else None
            asker = entry.author if entry else None
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


def _pairs(code_blocks: Sequence[Any]) -> Blocks:
    return [(block.language, block.code) for block in code_blocks]
