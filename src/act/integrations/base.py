"""What the guards of all frameworks have in common: the options, whose token is whose, what a tool stands for.

A guard of a framework is a `GuardBase` with a `framework` and a `protect`. It turns each call that it meets into a
`Plan` (or the ruling that refuses it), has `enforcer` decide, and runs the call inside `enforcer.reporting`.
"""

from __future__ import annotations

import json
import logging
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from act.client.guard import Guard
from act.integrations.arguments import UNSAID, Read
from act.integrations.core import ActClient, Enforcer, Mode, Observations, OnPending, Party, Report
from act.integrations.mapping import DEFAULT, MappingFault, ToolSpec, as_spec, resource_for, spec_of
from act.integrations.mapping_file import load_tools
from act.integrations.names import listed
from act.integrations.ruling import Call, Ruling, UnprotectedAgent, agent_id_of
from act.models import ReasonCode

log = logging.getLogger("act.integrations")

Messages = Literal["observe", "enforce", "off"]


@dataclass(frozen=True)
class Plan:
    """A call that can be put to ACT. `canonical` is its arguments as JSON: what was decided, and so what is to run."""

    call: Call
    labels: Sequence[str] | None
    canonical: str


class GuardBase:
    """The options that every guard takes.

    Args:
        act: a synchronous `act.Act`.
        tokens: agent names to capability tokens: a text, or the `act.Guard` that holds one. Read at every call, so a
            text that was rotated is put in place by changing the mapping. An agent without a token stands for a person;
            `None` says that this is meant, where its name is like one that no agent has.
        tools: tool names to `(action, resource template)` or `ToolSpec`. They go before `resources`, those before
            `mapping`, that before `@act_tool`; without any of them a tool is action `call` on `tool://<name>`.
        resources: tool names to the resource template alone.
        mapping: a file with the same, see `act.integrations.mapping_file`.
        mode: `"observe"` asks by dry runs, blocks nothing, and has a `report`.
        on_pending: tell the model (`"deny"`), wait for the person (`"wait"`), or raise `ApprovalPending`.
        approval_timeout: how many seconds `"wait"` waits.
        messages: what to do about messages between agents.
        conversation_id: what the audit log calls this run; made if not given.
        allow_unprotected: warn, instead of refusing, when an agent that could act is not under the guard.

    Raises:
        ValueError: an option has a value that is not known, the mapping file is none, or a token stands for a name.
        TypeError: a token is neither a text nor a guard, a name is no text, an option is of another type, or `act` is
            not synchronous.
    """

    framework: ClassVar[str]

    def __init__(
        self,
        act: ActClient,
        tokens: Mapping[str, str | Guard | None],
        *,
        tools: Mapping[str, ToolSpec | tuple[str, str]] | None = None,
        resources: Mapping[str, str] | None = None,
        mapping: str | Path | None = None,
        mode: Mode = "enforce",
        on_pending: OnPending = "deny",
        approval_timeout: float = 900.0,
        messages: Messages = "observe",
        conversation_id: str | None = None,
        allow_unprotected: bool = False,
    ) -> None:
        if messages not in ("observe", "enforce", "off"):
            raise ValueError('messages is "observe", "enforce" or "off"')
        if not isinstance(tokens, Mapping):
            raise TypeError("tokens is a mapping of the names of agents to their tokens")
        for name, token in tokens.items():
            _check_name(name)
            Party(name, token).check()
        conversation = conversation_id or f"{self.framework}-{uuid.uuid4()}"
        self._seen = Observations()
        self.enforcer = Enforcer(
            act,
            framework=self.framework,
            conversation_id=conversation,
            on_pending=on_pending,
            approval_timeout=approval_timeout,
            mode=mode,
            seen=self._seen,
        )
        self.observer = Enforcer(
            act, framework=self.framework, conversation_id=conversation, observing=True, seen=self._seen
        )
        self.mode: Mode = mode
        self.messages: Messages = messages
        self.tokens = tokens
        self._met: set[str] = set()
        self._missed: frozenset[str] = frozenset()
        self.allow_unprotected = allow_unprotected
        self._specs = load_tools(mapping) if mapping is not None else {}
        self._specs |= {name: ToolSpec(resource=resource) for name, resource in (resources or {}).items()}
        self._specs |= {name: as_spec(spec) for name, spec in (tools or {}).items()}
        self._start()

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: a copy of an agent is under the same guard."""
        return self

    def _start(self) -> None:
        """What the guard of a framework has to make of its own; the last step of `__init__`."""

    def report(self) -> Report:
        """What was observed so far: with `mode="observe"` all calls, otherwise the messages that are only observed."""
        return self._seen.report()

    def party_named(self, name: str) -> Party:
        """An agent of this name with its token. Only for names that a message or a model cannot choose."""
        token = self.tokens.get(name)
        if token is not None or name in self.tokens:
            self._met.add(name)
            return Party(name, token)
        spare = self._spare()
        if not self._missed.issuperset(spare):
            self._missed = frozenset(spare)
            log.warning("%r has no token; no agent has a name that the others have in tokens: %s", name, listed(spare))
        return Party(name, None, spare)

    def meet(self, names: Iterable[str], *, stacklevel: int = 3) -> None:
        """Take down the names of agents that come under the guard. Warns about one without a token whose name is like
        a name in `tokens` that no agent has so far; its calls are denied until one has it.
        """
        names = list(names)
        self._met.update(name for name in names if name in self.tokens)
        for name in names:
            meant = None if name in self.tokens else Party(name, None, self._spare()).meant
            if meant is not None:
                warnings.warn(
                    f"agent {name!r} has no token, and no agent so far is called {meant!r}, which has one: one of the "
                    f"two may be misspelt. If {name!r} is to have none, say so: tokens={{{name!r}: None}}",
                    stacklevel=stacklevel,
                )

    def _spare(self) -> tuple[str, ...]:
        """Names in `tokens` that no agent has had so far. The mapping may have changed, so never a token among them."""
        return tuple(
            name
            for name in list(self.tokens)
            if name not in self._met and isinstance(name, str) and agent_id_of(name) is None
        )

    def spec_named(self, tool: str, function: Any = None, otherwise: ToolSpec | None = None) -> ToolSpec:
        """What a tool stands for: by the options of the guard, by the mark on its function, or `otherwise`."""
        return self._specs.get(tool) or spec_of(function) or otherwise or DEFAULT

    def plan(
        self,
        tool: str,
        arguments: Any,
        *,
        spec: ToolSpec,
        executor: Party | None = None,
        asker: Party | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Plan | Ruling:
        """What to ask about a call with these arguments (a JSON object, or `Read`), or the ruling on a call that nobody
        can ask about, which allows only while observing.
        """
        refused = self.enforcer.refused
        given = arguments if isinstance(arguments, Read) else Read(arguments)
        arguments = given.arguments
        if not isinstance(arguments, Mapping):
            said = f"{given.fault or UNSAID}."
            return refused(ReasonCode.ACTION_MALFORMED, said, tool, executor=executor, asker=asker)
        try:
            canonical = json.dumps(arguments, allow_nan=False)
            call = Call(spec.action, resource_for(spec, tool, arguments), arguments, context or {})
        except MappingFault as fault:
            return refused(ReasonCode.RESOURCE_MALFORMED, f"{fault}.", tool, executor=executor, asker=asker)
        except (TypeError, ValueError, RecursionError):
            said = "The arguments are not plain JSON."
            return refused(ReasonCode.ACTION_MALFORMED, said, tool, executor=executor, asker=asker)
        if given.fault is not None:
            return refused(ReasonCode.ACTION_MALFORMED, f"{given.fault}.", tool, executor=executor, asker=asker)
        return Plan(call, spec.labels, canonical)

    def unprotected(self, said: str, *, stacklevel: int = 3) -> None:
        """Refuse an agent that could act unseen; warn where that is allowed, or where nothing is to be blocked.

        Raises:
            UnprotectedAgent: with what was said.
        """
        if not self.allow_unprotected and self.mode == "enforce":
            raise UnprotectedAgent(said)
        warnings.warn(said, stacklevel=stacklevel)


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        kind = type(name).__name__
        raise TypeError(f"tokens is a mapping of the names of agents to their tokens; an object of {kind} is no name")
    if agent_id_of(name) is not None:
        raise ValueError("tokens is a mapping of the names of agents to their tokens, and has a token for a name")
