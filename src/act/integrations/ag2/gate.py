"""`Gate`: what stands directly before one tool, inside all middleware of the application.

There a call has its last form, so what is decided is what runs: the arguments are read once, sent to ACT, and written
anew for the tool. A call that middleware answers by itself never gets here, and nothing runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ag2.events import ToolErrorEvent, ToolResultEvent
from ag2.exceptions import HumanInputError
from ag2.network import AgentClient
from ag2.network.policies import AGENT_CLIENT_DEP
from ag2.tools import SandboxCodeTool, SandboxShellTool
from ag2.tools.subagents.subagent_tool import SubagentTool

from act.integrations.ag2.acting import Turn, acting
from act.integrations.ag2.arguments import taken
from act.integrations.ag2.kinds import held_by
from act.integrations.ag2.people import put_to_person
from act.integrations.arguments import Read
from act.integrations.base import Plan
from act.integrations.core import ApprovalPending, NotReported, Party, Ruling
from act.integrations.mapping import DEFAULT, MappingFault, ToolSpec, agent_resource
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.ag2.guard import ActGuard

Agent = Any
Event = Any

_SPAWNING = frozenset({"ag2.agent", "ag2.tools.dynamic.factory"})
"""The modules of AG2's own tools that make an agent and run it at once."""
_DELEGATE = "ag2.network.client.tools.delegate"


class Pending(ApprovalPending, HumanInputError):
    """An `ApprovalPending` that AG2 lets out of the turn, and does not show to the model as a tool that failed."""


class Gate:
    """A tool middleware. `tool` is the tool it stands before; `outer` the one that it is a part of."""

    def __init__(self, guard: ActGuard, agent: Agent, turn: Turn, tool: Any, outer: Any = None) -> None:
        self._guard, self._agent, self._turn = guard, agent, turn
        self._name: str = tool.schema.function.name  # by which calls reach it, whatever its `name` says
        function = getattr(getattr(tool, "model", None), "call", None)
        self._function = function
        self._model = getattr(tool, "model", None)
        self._module = getattr(function, "__module__", None)
        self._fault: MappingFault | None = None
        self._spec = guard.spec_named(self._name, function, self._stands_for(outer or tool))

    async def __call__(self, call_next: Any, event: Event, context: Any) -> Any:
        guard = self._guard
        party = guard.party(self._agent)
        plan = await self._plan(event, context, party)
        if isinstance(plan, Ruling):
            return await self._run(plan, None, call_next, event, context)
        try:
            ruling = await guard.first.a_decide(plan.call, executor=party, asker=party)
            if ruling.approval_id is not None and guard.approver is not None:
                refused = await put_to_person(guard, ruling, plan, self._name, event, context)
                ruling = refused or await guard.enforcer.a_decide(plan.call, executor=party, asker=party)
        except ApprovalPending as pending:
            raise Pending(pending.decision) from None
        run = copy(event)
        run.arguments = plan.canonical
        run.serialized_arguments = json.loads(plan.canonical)
        return await self._run(ruling, plan.labels, call_next, run, context)

    async def on_tool_execution(self, call_next: Any, event: Event, context: Any) -> Any:
        """The same, for tools that take their middleware from the agent only."""
        return await self(call_next, event, context)

    async def _run(
        self, ruling: Ruling, labels: Sequence[str] | None, call_next: Any, event: Event, context: Any
    ) -> Any:
        """Run the call if it is allowed, and report its outcome; otherwise give the model the reason."""
        if not ruling.allowed:
            self._turn.denied[self._name] = ruling.code
            return ToolResultEvent.from_call(event, ruling.text)
        try:
            async with self._guard.enforcer.a_reporting(ruling, labels) as running:
                with acting(self._guard, self._agent, adopts=self._module in _SPAWNING):
                    result = await call_next(event, context)
                running.failed = isinstance(result, ToolErrorEvent)
        except NotReported as withheld:
            return ToolResultEvent.from_call(event, str(withheld))
        return result

    async def _plan(self, event: Event, context: Any, party: Party) -> Plan | Ruling:
        try:
            arguments = deepcopy(event.serialized_arguments)
        except Exception:  # noqa: BLE001 - what cannot be read or copied is not plain JSON
            arguments = None
        read = Read(arguments)
        if isinstance(arguments, Mapping):
            read = taken(self._model, arguments, context.dependency_provider)
        if self._module == _DELEGATE and isinstance(read.arguments, Mapping):
            read = replace(read, arguments=await _with_name(read.arguments, self._client(context)))
        if self._fault is not None and self._spec is DEFAULT:
            code, said = ReasonCode.RESOURCE_MALFORMED, f"{self._fault}."
            return self._guard.enforcer.refused(code, said, self._name, executor=party, asker=party)
        return self._guard.plan(self._name, read, spec=self._spec, executor=party, asker=party)

    def _client(self, context: Any) -> Any:
        """The connection to the hub that `delegate` uses: that of the turn, or the one that it was made with."""
        held = (one for one in held_by(self._function) if isinstance(one, AgentClient))
        return context.dependencies.get(AGENT_CLIENT_DEP) or next(held, None)

    def _stands_for(self, tool: Any) -> ToolSpec:
        """What AG2's own tools stand for, where that is more than a call."""
        try:
            if isinstance(tool, SandboxCodeTool | SandboxShellTool):
                return ToolSpec("execute_code", agent_resource(self._guard.party(self._agent).name, "/code"))
            if isinstance(tool, SubagentTool):
                return ToolSpec("handoff", agent_resource(self._guard.party(tool.agent).name))
        except MappingFault as fault:  # the name of the agent cannot be part of a resource
            self._fault = fault
        if self._module == _DELEGATE:
            return ToolSpec("handoff", "agent://{target}")
        return DEFAULT


async def _with_name(arguments: Mapping[str, Any], client: Any) -> Mapping[str, Any]:
    """The arguments of `delegate` with the name of the peer in the place of its id or of another spelling of it.

    AG2 takes `functions.<name>` for `<name>`; a policy is about one agent, however a model calls it.
    """
    target = arguments.get("target")
    if client is None or not isinstance(target, str):
        return {**arguments, "target": None}  # cannot be a resource, so it is refused
    for spelling in (target, target.removeprefix("functions.")):
        try:
            passport = await client._hub_client.get_agent(spelling)
        except Exception:  # noqa: BLE001, S112 - the hub knows no such agent
            continue
        return {**arguments, "target": passport.name}
    return {**arguments, "target": None}
