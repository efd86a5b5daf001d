"""A test suite of policies: agents, policies and requests in, the engine's decisions against the expected ones out.

Pure: the document comes in parsed, the policies of its `files` and the time come in as arguments. The format is told in
`docs/testing-policies.md`. Every case stands alone: no case uses up anything of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from act.agents.agent import Agent, effective_roles
from act.enforcement.decide import decide
from act.enforcement.ruling import Ruling
from act.models import AgentCreate, ReasonCode
from act.policies.bundle import Written, compiled, read_policies, repeated_ids
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.suite_cases import Case, CaseReader, read_model
from act.policies.suite_document import Decision, Expected, SuiteDocument
from act.strict_json import MAX_FAULTS, Fault
from act.tokens.chain import alone


@dataclass(frozen=True, slots=True)
class Result:
    """What came out. `failures` are sentences, none when all is as expected."""

    case: Case
    decision: Decision
    code: ReasonCode
    reason: str
    policies: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.failures


@dataclass(frozen=True, slots=True)
class Suite:
    """Ready to run; `agents` by id and by name."""

    about: str
    agents: Mapping[str, Agent]
    index: PolicyIndex
    cases: Sequence[Case]
    now: datetime | None

    def run(self, now: datetime) -> list[Result]:
        """Decide every case; `now` is for those that pin no time. Aware, in UTC."""
        return [self._decided(case, case.now or self.now or now) for case in self.cases]

    def _decided(self, case: Case, now: datetime) -> Result:
        call = Call(case.action, case.resource, now, case.arguments, case.context)
        requester = alone(self.agents[case.requester]) if case.requester is not None else None
        ruling = decide(self.index, alone(self.agents[case.agent]), call, requester)
        decision, code, reason = _answer(ruling)
        names = tuple(policy.name for policy in ruling.policies)
        return Result(case, decision, code, reason, names, tuple(_failures(case.expected, decision, code, names)))


class SuiteUnusable(ValueError):
    """The suite says something that cannot be run; carries every fault."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults[:MAX_FAULTS]


def files_of(document: Any) -> list[str]:
    """The paths of the policy files that a suite names, as written; what is no path is a fault of `read_suite`."""
    files = document.get("files") if isinstance(document, dict) else None
    return [path for path in files if isinstance(path, str)] if isinstance(files, list) else []


def read_suite(document: Any, imported: Sequence[Written] = ()) -> Suite:
    """A suite, with the policies of its `files`.

    Raises:
        SuiteUnusable: names every fault with its JSON pointer.
    """
    faults: list[Fault] = []
    read = read_model(SuiteDocument, document, "", faults)
    agents = _agents(_listed(document, "agents"), faults)
    own = read_policies(_listed(document, "policies"), "/policies")
    faults += own.faults
    written = [*imported, *own.policies]
    if not written and not faults:
        faults.append(Fault("/policies", "Write policies, or name files of them in `files`."))
    for policy, message in repeated_ids(written):
        faults.append(Fault("/files" if policy.file else policy.pointer, message))
    # What is faulty itself is not also a fault of those who name it.
    labels = agents.keys() | _texts(document, "agents", "name") | _texts(document, "agents", "id")
    names = {policy.draft.name for policy in written} | _texts(document, "policies", "name")
    cases = CaseReader(labels, names, faults).cases(_listed(document, "cases"))
    if read is None or faults:
        raise SuiteUnusable(faults)
    everyone = list({agent.id: agent for agent in agents.values()}.values())
    # "#" begins no id that an author can choose.
    ready = [
        compiled(policy, policy.draft.id or f"#{at:06}", everyone)[0]
        for at, policy in enumerate(written)
        if policy.draft.enabled
    ]
    return Suite(read.about, agents, PolicyIndex(ready), cases, read.now)


def _listed(document: Any, member: str) -> list[Any]:
    """The list at `member`, none when there is something else: then that is a fault already."""
    found = document.get(member) if isinstance(document, dict) else None
    return found if isinstance(found, list) else []


def _texts(document: Any, member: str, name: str) -> set[str]:
    found = [one.get(name) for one in _listed(document, member) if isinstance(one, dict)]
    return {text for text in found if isinstance(text, str)}


def _agents(written: Sequence[Any], faults: list[Fault]) -> dict[str, Agent]:
    found: dict[str, Agent] = {}
    for at, one in enumerate(written):
        wire = read_model(AgentCreate, one, f"/agents/{at}", faults)
        if wire is None:
            continue
        roles = effective_roles(wire.roles, wire.metadata)
        agent = Agent(wire.id or wire.name, wire.name, roles, "active", 0, wire.metadata)
        for label in dict.fromkeys((agent.name, agent.id)):
            if label in found:
                faults.append(Fault(f"/agents/{at}", f"Another agent is called '{label}' too; a case could mean both."))
            found[label] = agent
    return found


def _answer(ruling: Ruling) -> tuple[Decision, ReasonCode, str]:
    """The answer to somebody who holds no lease and has no approval yet."""
    if not ruling.permitted:
        return "denied", ruling.code, ruling.reason
    for limit in ruling.limits:
        if limit.terms.limit < 1:
            reason = f"{limit.policy.label} allows no task at all at the same time."
            return "denied", ReasonCode.CONCURRENCY_EXCEEDED, reason
    if ruling.approval is not None:
        names = ", ".join(policy.label for policy in ruling.approval_policies)
        return "pending_approval", ReasonCode.APPROVAL_REQUIRED, f"A person must approve it first: {names}."
    return "allowed", ReasonCode.ALLOWED, ruling.reason


def _failures(expected: Expected, decision: Decision, code: ReasonCode, names: tuple[str, ...]) -> Iterator[str]:
    if decision != expected.decision:
        yield f"expected {expected.decision}, got {decision} ({code})"
    elif expected.reason_code is not None and code != expected.reason_code:
        yield f"expected the reason {expected.reason_code}, got {code}"
    if expected.policies is not None and sorted(names) != sorted(expected.policies):
        yield f"expected {_listing(expected.policies)} to decide, got {_listing(names)}"


def _listing(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "no policy"
