"""More of what an attacker tries with limits, approvals and large requests, on a real node by hand-moved time."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act.audit import store as audit
from act.audit.units import WriteFailed
from act.audit.writer import Writer
from tests.in_process import InProcess
from tests.limits.floods import money
from tests.support import Api

HOUR, DAY = 3600, 86400
AMOUNT = {"arguments": {"amount": 1}}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[InProcess]:
    running = InProcess(tmp_path)
    yield running
    running.close()


def limited(api: Api, **constraints: Any) -> str:
    """An agent that may run anything within the constraints."""
    agent = api.agent()
    api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints=constraints)
    return agent


def ask(api: Api, token: str, **more: Any) -> str:
    return str(api.enforce(token, "run", "x", **more)["reasonCode"])


# --- a clock that is wrong for a while --------------------------------------------------------------------------------

per_token = pytest.mark.parametrize(
    ("constraints", "code"),
    [
        pytest.param({"maxRequests": 1}, "quota_exceeded", id="quota"),
        pytest.param(money(1, "token"), "budget_exceeded", id="token"),
        pytest.param(money(1, "task"), "budget_exceeded", id="task"),
    ],
)


def forget(node: InProcess) -> None:
    """What the server does by itself, in its order."""
    node.node._nodes.forget_expired()
    node.clock.move(61)
    node.node._limits.sweep(lambda family: node.node._nodes.get(family) is not None)


@per_token
def test_a_clock_put_forward_for_a_while_refills_no_token(
    tmp_path: Path, constraints: dict[str, Any], code: str
) -> None:
    """To the wall clock the token has ended, and it is put right again."""
    node = InProcess(tmp_path)
    agent = limited(node.api, **constraints)
    token = node.api.token(agent, expiresIn=HOUR)
    assert ask(node.api, token, **AMOUNT) == "allowed"
    node.clock.jump(2 * DAY)
    forget(node)
    node.clock.jump(-2 * DAY)
    node.close()
    again = InProcess(tmp_path, node.clock.at)
    assert ask(again.api, token, **AMOUNT) == code
    again.close()


@per_token
def test_nor_does_a_rotation_after_it(node: InProcess, constraints: dict[str, Any], code: str) -> None:
    agent = limited(node.api, **constraints)
    issued = node.api.post("/v1/tokens", {"agentId": agent, "expiresIn": HOUR})
    assert ask(node.api, issued["token"], **AMOUNT) == "allowed"
    node.clock.jump(2 * DAY)
    forget(node)
    node.clock.jump(-2 * DAY)
    next_ = node.api.post(f"/v1/tokens/{issued['tokenId']}/rotate", {"expiresIn": HOUR})
    assert ask(node.api, next_["token"], **AMOUNT) == code


def test_what_a_token_has_used_is_forgotten_after_it(node: InProcess, tmp_path: Path) -> None:
    agent = limited(node.api, maxRequests=1)
    assert ask(node.api, node.api.token(agent, expiresIn=60)) == "allowed"
    assert used(tmp_path) == 1
    node.clock.move(61)
    forget(node)
    assert used(tmp_path) == 1, "a clock that is put back finds it"
    node.clock.move(HOUR)
    forget(node)
    assert used(tmp_path) == 0
    assert not node.node._limits._book._counters.series()[1]


def used(folder: Path) -> int:
    with sqlite3.connect(folder / "act.db") as connection:
        return int(connection.execute("select count(*) from counters").fetchone()[0])


# --- requests that are meant to cost much -----------------------------------------------------------------------------

LONG = "k" * 120_000
WIDE = {"list": [1] * 20_000, "object": {str(number): 1 for number in range(9_000)}, "doubt": ["é"] * 20_000}


@pytest.mark.parametrize("values", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize(
    "policy",
    [
        pytest.param({"constraints": {"allowedDomains": ["example.com"]}}, id="domains"),
        pytest.param(
            {"arguments": {"type": "object", "additionalProperties": {"not": {"type": ["array", "object"]}}}},
            id="arguments",
        ),
    ],
)
def test_a_long_name_above_many_values_is_not_copied_for_each(node: InProcess, policy: Any, values: Any) -> None:
    """Once it was: 20,000 copies of 120 KB in a list of what to look at, and the same for a thousand callers."""
    agent = node.api.agent()
    node.api.policy(["*"], appliesTo={"agentIds": [agent]}, **policy)
    token, began = node.api.token(agent), time.process_time()
    ask(node.api, token, arguments={LONG: values})
    assert time.process_time() - began < 4


@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_an_answer_is_short_however_long_the_question(node: InProcess, effect: str) -> None:
    """Answers are kept for two minutes: they must not grow with what is asked."""
    agent = node.api.agent()
    for _ in range(5):
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False}
        node.api.policy(["*"], appliesTo={"agentIds": [agent]}, effect=effect, arguments=schema)
    answer = node.api.enforce(node.api.token(agent), "run", "x", arguments={"x": 1, LONG: 1})
    assert answer["reasonCode"] == ("no_matching_policy" if effect == "allow" else "policy_denied")
    assert len(json.dumps(answer)) < 20_000


class Plans:
    """How the database looks for what is selected from now on."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver
        self._asked = list[str]()
        driver.set_trace_callback(self._asked.append)

    def found(self) -> list[str]:
        self._driver.set_trace_callback(None)
        selects = [each for each in self._asked if each.startswith("SELECT")]
        return [
            "; ".join(str(row[3]) for row in self._driver.execute(f"EXPLAIN QUERY PLAN {each}")) for each in selects
        ]


def test_nothing_that_is_looked_for_in_the_log_takes_a_walk_through_all_of_it(node: InProcess) -> None:
    """Every outcome looks for its decision, in the thread that all decisions wait for."""
    with node.node._reading.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        plans = Plans(driver)
        audit.of_decision(driver, "default-tenant", "dec_x")
        for wanted in ({"decision_id": "dec_x"}, {"task": "t"}, {"conversation": "c"}):
            for order in ("asc", "desc"):
                audit.search(connection, "default-tenant", audit.Filter(**wanted), None, 50, order)
                audit.search(connection, "default-tenant", audit.Filter(kind="decision", **wanted), 7, 50, order)
        found = plans.found()
    assert len(found) == 13
    for plan, by in zip(found, ["decision"] * 5 + ["task"] * 4 + ["conversation"] * 4, strict=True):
        assert plan.startswith(f"SEARCH audit_records USING INDEX audit_records_{by} (tenant_id=? AND "), plan
        assert "TEMP B-TREE" not in plan


def test_places_end_faster_than_they_are_taken(node: InProcess) -> None:
    """Who never reports an outcome leaves nothing behind; all of them end in few commits."""
    agent = limited(node.api, maxConcurrentTasks=1000, leaseSeconds=1)
    token, batch = node.api.token(agent), "/v1/enforce/batch"
    asked = {"capabilityToken": token, "action": "run", "resourceId": "x"}
    for round_ in range(6):
        requests = [{"requestId": f"{round_}-{number}", **asked} for number in range(100)]
        answers = node.api.post(batch, {"requests": requests}, status=200)["decisions"]
        assert {answer["reasonCode"] for answer in answers} == {"allowed"}
    before = commits(node)
    node.clock.move(2)
    deadline = time.monotonic() + 20
    while node.node._limits._book.overdue(node.clock.monotonic()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not node.node._limits._book.overdue(node.clock.monotonic())
    ended = node.api.get("/v1/audit", params={"kind": "lease.timed_out", "limit": 200})
    assert len(ended["items"]) == 200
    assert ended["hasMore"]
    assert commits(node) - before < 60


def commits(node: InProcess) -> float:
    return node.node._writer._metrics._registry.get_sample_value("act_commit_units_count") or 0


# --- approvals --------------------------------------------------------------------------------------------------------


def test_a_no_answers_every_question_about_the_same(tmp_path: Path) -> None:
    """What is in the context is no part of what is asked, and may bring other people in: who asks in two ways gets
    two questions, and a no to one of them stands, whatever others say to the other.
    """
    node = InProcess(tmp_path)
    agent = node.api.agent()
    for role in ("finance", "legal"):
        asked = {"requiresApproval": {"from": [role], "expiresIn": 600}}
        node.api.policy(["*"], appliesTo={"agentIds": [agent]}, when=f"context.by == '{role}'", constraints=asked)
    finance, legal = (
        node.client(node.api.key("approve", roles=[role], person=role)["key"]) for role in ("finance", "legal")
    )
    token = node.api.token(agent)
    one, other = (
        node.api.enforce(token, "run", "x", context={"by": role})["approval"]["id"] for role in ("finance", "legal")
    )
    assert one != other
    finance.post(f"/v1/approvals/{one}/reject", {"reason": "no"}, status=200)
    assert ask(node.api, token, context={"by": "legal"}) == "approval_rejected"
    legal.post(f"/v1/approvals/{other}/approve", {}, status=200)
    for role in ("legal", "finance"):
        assert ask(node.api, token, context={"by": role}) == "approval_rejected"
    node.close()
    again = InProcess(tmp_path, node.clock.at)
    assert ask(again.api, token, context={"by": "legal"}) == "approval_rejected"
    again.clock.move(600)
    assert ask(again.api, token, context={"by": "legal"}) == "approval_required"
    again.close()


def test_a_yes_is_not_lost_with_a_question_that_could_not_be_written(
    node: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two who use one approval at once, the second asks anew; then neither can be written."""
    agent = node.api.agent()
    node.api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    person, token = node.client(node.api.key("approve")["key"]), node.api.token(agent)
    waits = node.api.enforce(token, "run", "x")["approval"]["id"]
    person.post(f"/v1/approvals/{waits}/approve", {}, status=200)

    def full(self: Writer, work: Any, *more: Any, **named: Any) -> None:
        raise WriteFailed("The disk is full.")

    asked = {"capabilityToken": token, "action": "run", "resourceId": "x"}
    both = {"requests": [{"requestId": "1", **asked}, {"requestId": "2", **asked}]}
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "submit", full)
        answers = node.api.post("/v1/enforce/batch", both, status=200)["decisions"]
    assert [answer["code"] for answer in answers] == ["overloaded", "overloaded"]
    assert [ask(node.api, token) for _ in range(2)] == ["allowed", "approval_required"]


@pytest.mark.parametrize("unseen", ["\u034f", "\u115f", "\u3164", "\uffa0", "\ufe0f", "\U000e0101"])
def test_nobody_becomes_two_by_a_character_that_nobody_sees(node: InProcess, unseen: str) -> None:
    agent, ann = node.api.agent(), "ann@example.com"
    node.api.policy(["*"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    person = node.client(node.api.key("approve", person=ann)["key"])
    token = node.api.token(agent, onBehalfOf=f"{ann[:2]}{unseen}{ann[2:]}")
    waits = node.api.enforce(token, "run", "x")["approval"]["id"]
    assert person.post(f"/v1/approvals/{waits}/approve", {}, status=403)["code"] == "own_behalf"
