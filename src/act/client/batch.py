"""Many questions in one call, fail closed, without I/O: what `enforce_batch` means in every client.

A plan is a generator: it yields calls, is sent their answers, or thrown the `ActError` of one, and returns the
decisions. So the sync and the async client carry out the same one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Required, Self, TypedDict, cast

from pydantic import ValidationError

from act.client.call import Call, encoded, path
from act.client.deciding import Awaited, Question, new_id
from act.client.errors import ActError, UnexpectedAnswer, error_of, faults_in
from act.client.proof import ProofKey
from act.models import MAX_BATCH, Decision
from act.strict_json import loads

MAX_BYTES: Final = 240 * 1024
"""Of the questions of one call; the server reads 256 KB."""


class Checking(TypedDict, total=False):
    """One question of a guard; its names are the arguments of `Guard.check`."""

    action: Required[str]
    resource: Required[str]
    arguments: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    requester: str | None


class Asking(Checking, total=False):
    """One question; its names are the arguments of `Act.enforce`."""

    token: Required[str | None]
    requester_token: str | None
    request_id: str | None
    min_revision: int | None
    dry_run: bool
    key: ProofKey | None
    requester_key: ProofKey | None


def asked_with(token: str | None, key: ProofKey | None, asked: Iterable[Checking]) -> list[Asking]:
    """Questions of a guard with what it holds."""
    return [cast("Asking", {**one, "token": token, "key": key}) for one in asked]


class Decisions(list[Decision]):
    """Decisions in the order of their questions. True in a condition only when there are some and all of them are."""

    def __bool__(self) -> bool:
        return len(self) > 0 and all(self)


class DecidingAll(Awaited[Decisions]):
    """Decisions that have to be awaited."""


Answers = list[Decision]
Plan = Generator[Call[Answers], Answers, Decisions]


@dataclass(slots=True)
class _Asked:
    """One question, and what came of it. `free`: its request id may be another one."""

    question: Question
    key: ProofKey | None
    requester_key: ProofKey | None
    free: bool
    decision: Decision | None = None

    @classmethod
    def of(cls, item: Asking, tenant_id: str | None) -> Self:
        """Raises `TypeError` for an item that lacks something, or has what `Act.enforce` does not take."""
        return cls._of(tenant_id=tenant_id, **item)

    @classmethod
    def _of(
        cls,
        token: str | None,
        action: str,
        resource: str,
        *,
        tenant_id: str | None,
        request_id: str | None = None,
        key: ProofKey | None = None,
        requester_key: ProofKey | None = None,
        **more: Any,
    ) -> Self:
        question = Question(request_id or new_id(), token, action, resource, tenant_id=tenant_id, **more)
        return cls(question, key, requester_key, request_id is None, None if token else question.no_token())

    def body(self) -> dict[str, Any]:
        """As it is sent now, with fresh proofs."""
        self.question = self.question.proved(self.key, self.requester_key, time.time())
        return self.question.body()


def planned(items: Iterable[Asking], tenant_id: str | None, raise_on_error: bool) -> Plan:
    """Ask in order, in as few calls as their size allows. After a call without an answer nothing more is asked.

    Raises:
        ValueError: something is not JSON; names it by its pointer. Nothing was asked.
        ActError: with `raise_on_error`, a call had no answer.
    """
    asked = [_Asked.of(item, tenant_id) for item in items]
    encoded({"requests": [one.question.body() for one in asked]})  # all faults before anything is asked
    return _carried_out(asked, raise_on_error)


def _carried_out(asked: list[_Asked], raise_on_error: bool) -> Plan:
    failure: ActError = UnexpectedAnswer("It was not asked for.")
    try:
        yield from _ask([one for one in asked if one.decision is None])
        yield from _ask(list(_anew(asked)))
    except ActError as error:
        if raise_on_error:
            raise
        failure = error
    # A denial is false, so it is asked for None.
    return Decisions(one.question.unreachable(failure) if one.decision is None else one.decision for one in asked)


def _anew(asked: Iterable[_Asked]) -> Iterator[_Asked]:
    """Those whose answer was lost on the way, under new ids (see `Question.lost`)."""
    for one in asked:
        if one.free and one.decision is not None and one.question.lost(one.decision):
            one.question, one.decision = replace(one.question, request_id=new_id()), None
            yield one


def _ask(asked: Sequence[_Asked]) -> Generator[Call[Answers], Answers, None]:
    for part, bodies in _parts(asked):
        answers = yield _call([one.question for one in part], bodies)
        for one, decision in zip(part, answers, strict=True):
            one.decision = decision


def _parts(asked: Sequence[_Asked]) -> Iterator[tuple[list[_Asked], list[dict[str, Any]]]]:
    part: list[_Asked] = []
    bodies: list[dict[str, Any]] = []
    size = 0
    for one in asked:
        body = one.body()
        length = len(encoded(body)) + 1
        if part and (len(part) == MAX_BATCH or size + length > MAX_BYTES):
            yield part, bodies
            part, bodies, size = [], [], 0
        part.append(one)
        bodies.append(body)
        size += length
    if part:
        yield part, bodies


def _call(questions: Sequence[Question], bodies: Sequence[Mapping[str, Any]]) -> Call[Answers]:
    """Idempotent by the request ids, which stay the same across retries (2-semantics, "Decisions")."""
    at, body = path("enforce", "batch"), {"requests": list(bodies)}
    return Call("POST", at, lambda answer: read(questions, answer), body=body, idempotent=True)


def read(questions: Sequence[Question], body: bytes) -> Answers:
    """One decision for each question. An item that is none, or not the one asked for, is a denial.

    Raises:
        ValueError: the answer has not as many items as there are questions.
    """
    document = loads(body)
    items = document.get("decisions") if isinstance(document, dict) else None
    if not isinstance(items, list) or len(items) != len(questions):
        raise ValueError("it does not answer every request.")
    return [_item(question, item) for question, item in zip(questions, items, strict=True)]


def _item(question: Question, item: Any) -> Decision:
    if isinstance(item, dict) and "code" in item:
        status = item.get("status")
        return question.unreachable(error_of(status if type(status) is int else 500, {}, json.dumps(item).encode()))
    try:
        return question.checked(item)
    except ValidationError as error:
        return question.unreachable(UnexpectedAnswer(f"The answer is not one of ACT: {faults_in(error)}."))
    except ValueError as error:
        return question.unreachable(UnexpectedAnswer(f"The answer is not one of ACT: {error}"))


def carry_out(plan: Plan, send: Callable[[Call[Answers]], Answers]) -> Decisions:
    """Make the calls of a plan."""
    try:
        call = next(plan)
        while True:
            try:
                answers = send(call)
            except ActError as error:
                call = plan.throw(error)
            else:
                call = plan.send(answers)
    except StopIteration as end:
        decisions: Decisions = end.value
        return decisions


async def carry_out_async(plan: Plan, send: Callable[[Call[Answers]], Awaitable[Answers]]) -> Decisions:
    """As `carry_out`."""
    try:
        call = next(plan)
        while True:
            try:
                answers = await send(call)
            except ActError as error:
                call = plan.throw(error)
            else:
                call = plan.send(answers)
    except StopIteration as end:
        decisions: Decisions = end.value
        return decisions
