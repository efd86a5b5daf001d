"""A search finds what matches and nothing else, in bounded pieces, whatever is known of the blocks of the log."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event, insert

from act.audit import archive_store, block_store, routes, search, store
from act.audit.blocks import BLOCK, mark, mark_of_pattern, marks_of_block
from act.audit.store import Filter
from act.audit.summaries import Summaries
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.clock import SystemClock
from act.database.engine import reading_engine, writing_engine
from act.database.migrate import migrate
from act.database.tables import tenants
from act.policies.globs import compile_pattern
from act.problems import ProblemError
from tests.in_process import InProcess
from tests.support import Api

SIZE = 7 * BLOCK + 100
KNOWN = 5
"""Blocks that are known; the last ones are looked through as they are."""
RARE = "needle"


def fields(number: int) -> dict[str, Any]:
    """What a record has; the clock goes back for a while in the middle."""
    chance = random.Random(number)
    minute = number // 100 if not 3000 < number < 3500 else number // 100 - 20
    at = f"2026-11-22T{minute // 60:02d}:{minute % 60:02d}:00.{number % 1000:03d}Z"
    if number % 7 == 0:
        return {"at": at, "agentName": "x"}
    return {
        "at": at,
        "agentId": RARE if number in (17, 4444) else f"agt_{chance.randrange(5)}",
        "requesterId": f"agt_{chance.randrange(3)}" if chance.random() < 0.5 else None,
        "action": chance.choice(["read", "write", "w*"]),
        "resourceId": f"api://{chance.choice('abc')}/x/{number % 50}" if number % 11 else None,
        "decision": "denied" if number % 10 == 0 else "allowed",
        "reasonCode": "policy_denied" if number % 10 == 0 else "allowed",
        "requestId": f"req-{number}",
        "decisionId": f"dec_{number}",
        "taskId": f"task-{number // 4000}",
        "conversationId": f"c-{number // 40}" if number % 3 else None,
    }


def kind(number: int) -> str:
    return "agent.created" if number % 7 == 0 else "decision"


RECORDS = [fields(number) | {"kind": kind(number), "index": number} for number in range(SIZE)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("search") / "act.db"
    engine = writing_engine(path)
    migrate(engine)
    with engine.begin() as connection:
        values = {"id": "t", "name": "t", "max_token_ttl": 1, "default_token_ttl": 1, "created_at": SystemClock().now()}
        connection.execute(insert(tenants).values(values))
    reader = reading_engine(path)
    writer = Writer(engine, ChangeFeed({}), SystemClock())
    writer.start()
    summaries = Summaries(writer, reader)
    for begin in range(0, SIZE, 500):
        writer.write(lambda transaction, begin=begin: some(transaction, begin))  # type: ignore[misc]
        if begin < KNOWN * BLOCK <= begin + 500:
            assert summaries.sweep(["t"]) == KNOWN
            assert summaries.sweep(["t"]) == 0
    yield reader
    writer.stop()
    reader.dispose()
    engine.dispose()


def some(transaction: Transaction, begin: int) -> int:
    for number in range(begin, min(SIZE, begin + 500)):
        transaction.record("t", kind(number), fields(number))
    return begin


def matches(record: dict[str, Any], wanted: Filter) -> bool:
    exact = {
        "agentId": wanted.agent,
        "requesterId": wanted.requester,
        "action": wanted.action,
        "decision": wanted.decision,
        "reasonCode": wanted.reason_code,
        "requestId": wanted.request_id,
        "decisionId": wanted.decision_id,
        "taskId": wanted.task,
        "conversationId": wanted.conversation,
        "kind": wanted.kind,
    }
    if any(value is not None and record.get(name) != value for name, value in exact.items()):
        return False
    resource = record.get("resourceId")
    if wanted.resource is not None and (resource is None or not compile_pattern(wanted.resource)(resource)):
        return False
    return (wanted.since or "") <= record["at"] < (wanted.until or "~")


def pages(reader: Engine, wanted: Filter, within: tuple[int, int], limit: int, order: Any) -> Iterator[Sequence[Any]]:
    """Every page as `AuditService.search` asks for it."""
    begin, end = within
    for _ in range(10_000):
        with reader.begin() as connection:
            found = search.search(connection, "t", wanted, (begin, end), limit, order)
        assert len(found.rows) <= limit
        yield found.rows
        if found.after is None:
            return
        following = (found.after + 1, end) if order == "asc" else (begin, found.after)
        assert following[1] - following[0] < end - begin, "a page goes on"
        begin, end = following
    raise AssertionError("the search does not end")


TIMES = st.none() | st.integers(-5, SIZE // 100 + 5).map(
    lambda minute: f"2026-11-22T{max(0, minute) // 60:02d}:{max(0, minute) % 60:02d}:00.000Z"
)
FILTERS = st.builds(
    Filter,
    agent=st.sampled_from([None, None, "agt_1", RARE, "nobody"]),
    requester=st.sampled_from([None, None, None, "agt_0", "nobody"]),
    action=st.sampled_from([None, None, "read", "w*", "never"]),
    resource=st.sampled_from([None, None, "*", "api://a/*", "api://b/x/7", "api://*/x/4*", "*7", "api://c", "?pi://*"]),
    decision=st.sampled_from([None, None, "allowed", "denied", "pending_approval"]),
    reason_code=st.sampled_from([None, None, "policy_denied", "no_token"]),
    request_id=st.sampled_from([None] * 5 + ["req-17", "req-6000", "req-1"]),
    decision_id=st.sampled_from([None] * 6 + ["dec_4444", "dec_x"]),
    task=st.sampled_from([None] * 3 + ["task-0", "task-1", "task-x"]),
    conversation=st.sampled_from([None] * 4 + ["c-100"]),
    kind=st.sampled_from([None, None, "decision", "agent.created", "never"]),
    since=TIMES,
    until=TIMES,
)


@given(
    FILTERS,
    st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)),
    st.sampled_from([1, 7, 50, 200]),
    st.sampled_from(["asc", "desc"]),
    st.sampled_from([(1, 1), (2, 3), (16, 8192)]),
)
def test_all_pages_together_are_what_matches(
    reader: Engine, wanted: Filter, within: tuple[int, int], limit: int, order: Any, bounds: tuple[int, int]
) -> None:
    expected = [one["index"] for one in RECORDS[within[0] : within[1]] if matches(one, wanted)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "SCANNED", bounds[0])
        patch.setattr(search, "LOOKED", bounds[1])
        # A page ends early with enough of them; a walk through all is long with small pages alone.
        found: list[int] = []
        for rows in pages(reader, wanted, within, limit, order):
            found += [row.idx for row in rows]
            if len(found) > 2_000 // (1 + (limit == 1) * 9):
                break
        else:
            assert len(found) == len(expected)
    expected = expected if order == "asc" else expected[::-1]
    assert found == expected[: len(found)]


def test_a_page_looks_through_no_more_than_it_may(reader: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SCANNED", 2)
    looked: list[tuple[int, int]] = []
    found = store.search

    def counted(*of: Any) -> Any:
        looked.append(of[-1])
        return found(*of)

    monkeypatch.setattr(store, "search", counted)
    for wanted in (Filter(action="never", resource="*7"), Filter(resource="*!")):
        for order in ("asc", "desc"):
            for rows in pages(reader, wanted, (0, SIZE), 50, order):
                assert rows == []
                assert sum(end - begin for begin, end in looked) <= 2 * BLOCK
                looked.clear()


def test_blocks_that_cannot_match_are_passed_over(reader: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    found = store.search
    monkeypatch.setattr(store, "search", lambda *of: looked.append(of[-1][0]) or found(*of))
    [rows] = pages(reader, Filter(agent=RARE), (0, KNOWN * BLOCK), 50, "asc")
    assert [row.idx for row in rows] == [17, 4444]
    assert looked == [0, 4444 // BLOCK * BLOCK]
    looked.clear()
    [rows] = pages(reader, Filter(since="2026-11-22T00:15:00.000Z", until="2026-11-22T00:16:00Z"), (0, BLOCK), 5, "asc")
    assert (list(rows), looked) == ([], [])


def test_a_mark_stands_for_its_value_wherever_it_is() -> None:
    found = marks_of_block({"action": ["a", "b", None, "a"], "resource_id": ["api://x/y/1", None], "kind": [None]})
    assert found.keys() == {"action", "resource_id"}
    assert found["action"] == b"".join(sorted([mark("a"), mark("b")]))
    for pattern in ("api://x/y/1", "api://x/y/*", "api://x/*1", "api://*", "*"):
        there = mark_of_pattern(pattern)
        assert there is None or there in found["resource_id"], pattern
    assert mark_of_pattern("*/y/1") is None
    assert mark_of_pattern("api://x/yy*") == mark("api://x/")


def test_a_query_that_takes_too_long_is_given_up(reader: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "HARD_SECONDS", -1.0)
    monkeypatch.setattr(search, "_STEPS", 1)
    with reader.begin() as connection, pytest.raises(ProblemError) as refused:
        search.search(connection, "t", Filter(action="never"), (0, SIZE), 50, "desc")
    assert (refused.value.status, refused.value.code) == (503, "search_too_long")
    with reader.begin() as connection:
        assert len(store.search(connection, "t", Filter(), None, 50, "desc")) == 50, "the next one has all its time"


def test_no_search_walks_through_the_table(reader: Engine) -> None:
    """Each statement is about indexes from one to another, or goes by an index of its own."""
    plans: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend(str(row[3]) for row in cursor.fetchall())

    with reader.begin() as connection:
        event.listen(connection, "before_cursor_execute", note)
        for wanted in (Filter(agent=RARE), Filter(request_id="x", resource="api://a/*"), Filter(task="task-1")):
            search.search(connection, "t", wanted, (0, SIZE), 50, "desc")
        archive_store.held_from(connection, "t")
        archive_store.first_not_before(connection, "t", 0, SIZE, "2027")
        archive_store.first_needed(connection, "t", SystemClock().now())
        archive_store.times(connection, "t", 0, BLOCK)
        block_store.known_until(connection, "t")
        block_store.content(connection, "t", 1)
    of_records = [plan for plan in plans if "audit_records" in plan]
    assert len(of_records) > 8
    for plan in of_records:
        assert plan.startswith("SEARCH audit_records USING "), plan
        assert "(tenant_id=? AND " in plan, plan
    assert any(plan.startswith("SEARCH audit_block_values USING PRIMARY KEY") for plan in plans)


# --- over HTTP ---


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    running = InProcess(tmp_path_factory.mktemp("node"))
    yield running
    running.close()


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("since=yesterday", "/since"),
        ("since=2026-11-22T18:00:00", "/since"),
        ("until=2026-13-01T00:00:00Z", "/until"),
        ("since=2026-11-22T18:00:00Z&until=2026-11-22T17:59:59Z", "/until"),
        ("agnet=agt_1", "/agnet"),
        ("a~b%2Fc=1", "/a~0b~1c"),
        ("agent=agt_1&agent=agt_2", "/agent"),
        *((f"{name}=", f"/{name}") for name in sorted({"agent", "requester", "action", "resource", "task", "cursor"})),
        *((f"{name}=", f"/{name}") for name in ("decision", "reasonCode", "requestId", "decisionId", "conversation")),
        ("kind=", "/kind"),
        ("kind=Decision!", "/kind"),
        ("kind=decisions", "/kind"),
        ("decision=maybe", "/decision"),
        ("reasonCode=because", "/reasonCode"),
        ("resource=a*b*c*d*e*f*g*h*i*", "/resource"),
        ("resource=a%00b", "/resource"),
        pytest.param("agent=" + "x" * 2049, "/agent", id="a long agent"),
        ("limit=0", "/limit"),
        ("limit=10001", "/limit"),
        ("limit=abc", "/limit"),
        ("limit=1.5", "/limit"),
        ("begin=-1", "/begin"),
        ("order=up", "/order"),
        ("cursor=abc", "/cursor"),
        ("cursor=YWJj", "/cursor"),
        ("cursor=LTE=", "/cursor"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_named(node: InProcess, query: str, pointer: str) -> None:
    problem = node.api.get(f"/v1/audit?{query}", status=422)
    assert problem["code"] == "document_invalid"
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]


def test_pages_over_http_go_on_until_the_end(node: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    api: Api = node.api
    for _ in range(12):
        api.agent()
    monkeypatch.setattr(search, "_cut", lambda span, newest_first: cut_small(span, newest_first))
    monkeypatch.setattr(search, "SCANNED", 2)
    found, cursor, empty = [], "", 0
    while True:
        page = api.get(f"/v1/audit?kind=agent.created&limit=3{cursor}")
        found += [item["index"] for item in page["items"]]
        empty += not page["items"]
        assert page["hasMore"] is (page["nextCursor"] is not None)
        if not page["hasMore"]:
            break
        cursor = f"&cursor={page['nextCursor']}"
    export = api.send("GET", "/v1/audit/export").content.splitlines()[:-1]
    records = [json.loads(line)["record"] for line in export]
    assert found == [one["index"] for one in records if one["kind"] == "agent.created"][::-1]
    assert empty, "a page that found nothing says where to go on"


def cut_small(span: tuple[int, int], newest_first: bool) -> list[tuple[int, int]]:
    """As `_cut`, with blocks of one record: three of them, which is one more than a page looks through."""
    begin, end = span
    pieces = [(index, index + 1) for index in range(begin, end)]
    return (pieces[::-1] if newest_first else pieces)[:3]


def test_few_search_at_once_and_not_too_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "SEARCHES_WAITING", 5)
    node = InProcess(tmp_path)
    gate, now, most, lock = threading.Event(), 0, 0, threading.Lock()
    found = store.search

    def slow(*of: Any) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        gate.wait(90)
        with lock:
            now -= 1
        return found(*of)

    monkeypatch.setattr(store, "search", slow)
    with ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(node.api.send, "GET", "/v1/audit?kind=decision") for _ in range(30)]
        wait_for(lambda: sum(one.done() for one in asked) >= 30 - 5 - routes.SEARCHES_AT_ONCE)
        token = node.api.token(node.api.agent())
        assert node.api.enforce(token, "run", "x")["reasonCode"] == "no_matching_policy"
        gate.set()
        answers = [one.result() for one in asked]
    assert most == routes.SEARCHES_AT_ONCE
    refused = [answer.json() for answer in answers if answer.status_code == 503]
    assert {problem["code"] for problem in refused} == {"overloaded"}
    assert [answer.status_code for answer in answers].count(200) == 30 - len(refused) == 5 + routes.SEARCHES_AT_ONCE
    node.close()


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_begin_is_the_first_index(node: InProcess) -> None:
    size = node.api.get("/v1/audit/checkpoint")["size"]
    for order in ("asc", "desc"):
        found = node.api.get(f"/v1/audit?begin={size - 3}&order={order}")["items"]
        assert sorted(item["index"] for item in found) == [size - 3, size - 2, size - 1]
    assert node.api.get(f"/v1/audit?begin={size}")["items"] == []
