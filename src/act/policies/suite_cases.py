"""The cases of a suite, one request each: what a matrix stands for is written out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from act.models import Request
from act.policies.suite_document import DECISIONS, Cells, Decision, Expected, MatrixCase, SingleCase
from act.problems import faults_of_validation
from act.strict_json import Fault

MAX_CASES = 20_000
"""In one suite, every cell of a matrix counted."""

R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `pointer` leads to what it was written as; cells of one matrix share it and the title."""

    pointer: str
    title: str
    agent: str
    action: str
    resource: str
    expected: Expected
    arguments: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    requester: str | None = None
    now: datetime | None = None
    label: str = ""
    """The name of the arguments in a matrix."""
    cell: bool = False


@dataclass(frozen=True, slots=True)
class CaseReader:
    """Reads cases; adds to `faults` what is wrong with them. `agents` and `policies` are what they may name."""

    agents: Set[str]
    policies: Set[str]
    faults: list[Fault]

    def cases(self, written: Sequence[Any]) -> list[Case]:
        found: list[Case] = []
        for at, one in enumerate(written):
            pointer = f"/cases/{at}"
            if isinstance(one, dict) and "matrix" in one:
                if (matrix := read_model(MatrixCase, one, pointer, self.faults)) is not None:
                    found += self._cells(matrix, pointer, MAX_CASES - len(found))
            elif (single := read_model(SingleCase, one, pointer, self.faults)) is not None:
                found += self._single(single, pointer)
        return found

    def _single(self, one: SingleCase, pointer: str) -> Iterator[Case]:
        self._known(one.agent, self.agents, "agent", f"{pointer}/agent")
        if one.requester is not None:
            self._known(one.requester, self.agents, "agent", f"{pointer}/requester")
        self._policies(one.expect.policies, f"{pointer}/expect")
        title = one.case or f"{one.agent} {one.action} {one.resource}"
        yield Case(
            pointer, title, one.agent, one.action, one.resource, one.expect,
            one.arguments, one.context, one.requester, one.now,
        )  # fmt: skip

    def _cells(self, one: MatrixCase, pointer: str, most: int) -> list[Case]:
        matrix = one.matrix
        for at, agent in enumerate(matrix.agents):
            self._known(agent, self.agents, "agent", f"{pointer}/matrix/agents/{at}")
        labels = matrix.arguments or {"": {}}
        if len(matrix.agents) * len(matrix.actions) * len(matrix.resources) * len(labels) > most:
            self.faults.append(Fault(f"{pointer}/matrix", f"A suite may have {MAX_CASES} cases; split it."))
            return []
        listed = self._listed(one, pointer)
        title = one.case or f"matrix of {', '.join(matrix.agents)}"
        return [
            Case(
                pointer,
                title,
                agent,
                action,
                resource,
                expected,
                arguments,
                matrix.context,
                now=one.now,
                label=label,
                cell=True,
            )
            for agent in dict.fromkeys(matrix.agents)
            for action in dict.fromkeys(matrix.actions)
            for resource in dict.fromkeys(matrix.resources)
            for label, arguments in labels.items()
            for expected in [self._expected((agent, action, resource, label), listed, pointer)]
        ]

    def _listed(self, one: MatrixCase, pointer: str) -> list[tuple[Cells, Decision, str]]:
        matrix, found = one.matrix, []
        for decision in DECISIONS:
            cells: list[Cells] = getattr(one.expect, decision)
            for at, entry in enumerate(cells):
                here = f"{pointer}/expect/{decision}/{at}"
                for name, values, known in (
                    ("agent", entry.agent, matrix.agents),
                    ("action", entry.action, matrix.actions),
                    ("resource", entry.resource, matrix.resources),
                    ("arguments", entry.arguments, matrix.arguments or {}),
                ):
                    for value in values or ():
                        self._known(value, known, name, f"{here}/{name}", "in the matrix")
                self._policies(entry.policies, here)
                found.append((entry, decision, here))
        return found

    def _expected(
        self, cell: tuple[str, str, str, str], listed: list[tuple[Cells, Decision, str]], pointer: str
    ) -> Expected:
        """What is listed for the cell, and otherwise: denied."""
        fitting = [(entry, decision, here) for entry, decision, here in listed if _covers(entry, cell)]
        if not fitting:
            return Expected(decision="denied")
        entry, decision, here = fitting[0]
        if len(fitting) > 1:
            said = " ".join(part for part in cell if part)
            self.faults.append(Fault(fitting[1][2], f"'{said}' is listed at {here.removeprefix(pointer)} too."))
        return Expected(decision=decision, reasonCode=entry.reason_code, policies=entry.policies)

    def _known(self, value: str, known: Any, what: str, pointer: str, where: str = "in the suite") -> None:
        if value not in known:
            self.faults.append(Fault(pointer, f"There is no {what} '{value}' {where}."))

    def _policies(self, names: Sequence[str] | None, pointer: str) -> None:
        for at, name in enumerate(names or ()):
            self._known(name, self.policies, "policy", f"{pointer}/policies/{at}")


def _covers(entry: Cells, cell: tuple[str, str, str, str]) -> bool:
    wanted = (entry.agent, entry.action, entry.resource, entry.arguments)
    return all(values is None or value in values for values, value in zip(wanted, cell, strict=True))


def read_model(model: type[R], written: Any, pointer: str, faults: list[Fault]) -> R | None:
    """The document at `pointer` as a model; None, and more `faults`, when it is none."""
    if not isinstance(written, dict):
        faults.append(Fault(pointer, "Write an object."))
        return None
    try:
        return model.model_validate(written)
    except ValidationError as error:
        found = faults_of_validation(error, written)
    faults += [replace(fault, pointer=pointer + fault.pointer) for fault in found]
    return None
