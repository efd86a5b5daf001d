"""The log against who can write the database file, and against forgetting: what happened stands in it, provably."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import rfc8785

from act.audit.merkle import frontier_of, leaf_hash
from act.audit.record import encode
from tests.attacks.conftest import OTHER_KEY, make_second_tenant
from tests.attacks.log import Kept, caused, judge, keep, records, size
from tests.attacks.surface import ROUTES, Route, new_world
from tests.support import Api, Server

TENANT = "default-tenant"
SECRET = "the-argument-that-nobody-may-read"


@dataclass(frozen=True)
class Written:
    """A server with a log; `edit` changes the file behind its back, and everything is as before after the block."""

    server: Server
    api: Api
    kept: Kept
    token: str

    @contextmanager
    def edit(self) -> Iterator[sqlite3.Connection]:
        copy = self.rows()
        with closing(sqlite3.connect(self.server.database, timeout=10)) as connection:
            yield connection
            connection.commit()

            connection.execute("DELETE FROM audit_records WHERE tenant_id = ?", (TENANT,))
            columns = "(tenant_id, idx, leaf_hash, salt, record, arguments)"
            connection.executemany(f"INSERT INTO audit_records {columns} VALUES (?, ?, ?, ?, ?, ?)", copy)
            connection.commit()

    def rows(self) -> list[tuple[Any, ...]]:
        columns = "tenant_id, idx, leaf_hash, salt, record, arguments"
        query = f"SELECT {columns} FROM audit_records WHERE tenant_id = ? ORDER BY idx"
        with closing(sqlite3.connect(self.server.database, timeout=10)) as connection:
            return connection.execute(query, (TENANT,)).fetchall()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("written")
    make_second_tenant(folder)
    allowing = {"ACT_WEBHOOK_ALLOW_PRIVATE": "true"}
    with Server(folder, allowing) as server, server.api() as api, server.api(OTHER_KEY) as stranger:
        stranger.agent()
        token = new_world(api).token
        first = keep(api)
        for number in range(9):
            api.enforce(token, ("run", "fly", "ask")[number % 3], f"x{number}", arguments={"secret": SECRET})
        api.enforce("garbage", "run", "x")
        yield Written(server, api, first, token)


def store(connection: sqlite3.Connection, index: int, record: Any, rehash: bool = False) -> None:
    text = record if isinstance(record, str) else encode(record).decode()
    sets, values = "record = ?", [text]
    if rehash:
        sets += ", leaf_hash = ?"
        values.append(leaf_hash(text.encode()))  # type: ignore[arg-type]
    changed = connection.execute(
        f"UPDATE audit_records SET {sets} WHERE tenant_id = ? AND idx = ?", (*values, TENANT, index)
    )
    assert changed.rowcount == 1
    connection.commit()


def test_the_log_verifies_before_anybody_touched_it(written: Written) -> None:
    found = judge(written.api, written.kept)
    assert (found.ok, found.checkpoints) == (True, 1), found.message
    assert found.size == len(written.rows()) > written.kept.size > 5


# --- edits ------------------------------------------------------------------------------------------------------------


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case list():
            return [*value, "x"]
        case _:
            pytest.fail(f"no other value for {value!r}")


@pytest.mark.parametrize("rehash", [False, True], ids=["as it is", "with its leaf hash"])
def test_every_field_of_a_decision(written: Written, rehash: bool) -> None:
    allowed = next(json.loads(row[4]) for row in reversed(written.rows()) if '"decision":"allowed"' in row[4])
    for field in allowed:
        for changed in (allowed | {field: _other(allowed[field])}, {k: v for k, v in allowed.items() if k != field}):
            with written.edit() as connection:
                store(connection, allowed["index"], changed, rehash)
                found = judge(written.api, written.kept)
            assert not found.ok, field
            if not rehash:
                assert found.bad_index == allowed["index"], field
    assert judge(written.api, written.kept).ok


@pytest.mark.parametrize("rehash", [False, True], ids=["as it is", "with its leaf hash"])
def test_a_denial_that_becomes_an_allowance(written: Written, rehash: bool) -> None:
    denied = next(json.loads(row[4]) for row in reversed(written.rows()) if '"decision":"denied"' in row[4])
    with written.edit() as connection:
        store(connection, denied["index"], denied | {"decision": "allowed", "reasonCode": "allowed"}, rehash)
        assert not judge(written.api, written.kept).ok


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text.replace('"decision":"denied"', '"decision":"allowed","decision":"denied"'),
        lambda text: text.replace("{", '{"decision":"allowed",', 1),
        lambda text: "{}",
        lambda text: "[]",
        lambda text: "1",
    ],
    ids=["repeated key", "repeated key in front", "nothing", "list", "number"],
)
def test_another_text_in_the_place_of_a_record(written: Written, spell: Callable[[str], str]) -> None:
    """What SQLite searches by and what a verifier hashes must be one thing: a repeated key could make them two."""
    index, text = next((row[1], row[4]) for row in reversed(written.rows()) if '"decision":"denied"' in row[4])
    assert spell(text) != text
    with written.edit() as connection:
        store(connection, index, spell(text))
        found = judge(written.api, written.kept)
    assert (found.ok, found.bad_index) == (False, index)


def test_two_records_swapped(written: Written) -> None:
    one, other = written.rows()[3], written.rows()[4]
    with written.edit() as connection:
        for row, into in ((one, other), (other, one)):
            values = (row[2], row[3], row[4], TENANT, into[1])
            connection.execute(
                "UPDATE audit_records SET leaf_hash=?, salt=?, record=? WHERE tenant_id=? AND idx=?", values
            )
        connection.commit()
        found = judge(written.api, written.kept)
    assert (found.ok, found.bad_index) == (False, 3)


def test_two_records_swapped_with_their_indices(written: Written) -> None:
    one, other = (json.loads(written.rows()[at][4]) for at in (3, 4))
    with written.edit() as connection:
        store(connection, 3, other | {"index": 3}, rehash=True)
        store(connection, 4, one | {"index": 4}, rehash=True)
        assert not judge(written.api, written.kept).ok


def test_a_record_dropped_from_the_middle(written: Written) -> None:
    with written.edit() as connection:
        connection.execute("DELETE FROM audit_records WHERE tenant_id = ? AND idx = 4", (TENANT,))
        connection.commit()
        found = judge(written.api, written.kept)
    assert (found.ok, found.bad_index) == (False, 4)


def test_a_record_dropped_and_the_rest_moved_up(written: Written) -> None:
    rows = written.rows()
    with written.edit() as connection:
        connection.execute("DELETE FROM audit_records WHERE tenant_id = ? AND idx >= 4", (TENANT,))
        for row in rows[5:]:
            add(connection, json.loads(row[4]) | {"index": row[1] - 1})
        connection.commit()
        assert not judge(written.api, written.kept).ok


def test_a_record_inserted(written: Written) -> None:
    rows = written.rows()
    with written.edit() as connection:
        connection.execute("DELETE FROM audit_records WHERE tenant_id = ? AND idx >= 4", (TENANT,))
        add(connection, json.loads(rows[3][4]) | {"index": 4})
        for row in rows[4:]:
            add(connection, json.loads(row[4]) | {"index": row[1] + 1})
        connection.commit()
        assert not judge(written.api, written.kept).ok


def test_a_record_added_at_the_end(written: Written) -> None:
    rows = written.rows()
    with written.edit() as connection:
        add(connection, json.loads(rows[-1][4]) | {"index": len(rows), "decision": "allowed"})
        connection.commit()
        found = judge(written.api, written.kept)
    # What the server did not write is beyond its signed head and so is not part of the log.
    assert (found.ok, found.size) == (True, len(rows))


def test_the_tail_dropped(written: Written) -> None:
    with written.edit() as connection:
        connection.execute("DELETE FROM audit_records WHERE tenant_id = ? AND idx > 6", (TENANT,))
        connection.commit()
        found = judge(written.api, written.kept)
    assert (found.ok, found.bad_index) == (False, 7)


def test_the_record_of_another_tenant(written: Written) -> None:
    """A record cannot be moved between logs: it names its tenant, and it is a leaf of one tree."""
    with written.edit() as connection:
        query = "SELECT record FROM audit_records WHERE tenant_id = 'other-tenant' AND idx = 3"
        foreign = connection.execute(query).fetchone()[0]
        store(connection, 3, foreign, rehash=True)
        found = judge(written.api, written.kept)
    assert not found.ok


def add(connection: sqlite3.Connection, record: Any) -> None:
    text = encode(record)
    values = (TENANT, record["index"], leaf_hash(text), b"salt", text.decode())
    connection.execute("INSERT INTO audit_records (tenant_id, idx, leaf_hash, salt, record) VALUES (?,?,?,?,?)", values)


def test_a_log_rewritten_as_a_whole_while_the_server_was_down(tmp_path: Path) -> None:
    """Only a checkpoint kept elsewhere shows this; every hash and the tree's own state are right again."""
    with Server(tmp_path) as server:
        with server.api() as api:
            agent = api.agent()
            api.policy(["run"])
            token = api.token(agent)
            decisions = [api.enforce(token, "fly", f"x{number}") for number in range(3)]
            early = keep(api)
            api.enforce(token, "run", "y")
            kept = keep(api)
        server.stop()
        rewrite(server.database, decisions[1]["audit"]["index"], kept.size - 1)
        with pytest.raises(RuntimeError, match=f"{kept.size} records were answered and {kept.size - 1} are there"):
            server.start()
        server.database.with_name("act.db.head").unlink()  # who can write the one file can write the other
        server.start()
        with server.api() as api:
            assert judge(api).ok  # nothing seems wrong to one who kept nothing
            assert not judge(api, kept).ok
            assert not judge(api, early, kept).ok
            api.agent()
            assert keep(api).size == kept.size
            assert not judge(api, kept).ok


def rewrite(database: Path, index: int, size: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT record FROM audit_records WHERE tenant_id = ? AND idx = ?"
        record = json.loads(connection.execute(query, (TENANT, index)).fetchone()[0])
        store(connection, index, record | {"decision": "allowed", "reasonCode": "allowed"}, rehash=True)
        connection.execute("DELETE FROM audit_records WHERE tenant_id = ? AND idx >= ?", (TENANT, size))
        query = "SELECT leaf_hash FROM audit_records WHERE tenant_id = ? ORDER BY idx"
        tree = frontier_of(row[0] for row in connection.execute(query, (TENANT,)))
        values = (tree.size, tree.to_bytes(), TENANT)
        connection.execute("UPDATE audit_trees SET size = ?, frontier = ? WHERE tenant_id = ?", values)
        connection.commit()


# --- everything is in it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [route for route in ROUTES if route.changes], ids=str)
def test_every_change_has_a_record_with_its_author(api: Api, server: Server, route: Route) -> None:
    world, author = new_world(api), api.key("admin")
    before = size(api)
    with server.api(author["key"]) as caller:
        body = route.body(world) if route.body else None
        caller.call(route.method, world.path(route), body, status=route.status)
    news = caused(api, before)
    if route.path.endswith("/freeze"):  # the server is there for the next tests too
        api.post(f"/v1/tenants/{world.tenant_id}/unfreeze", status=200)
    assert news, "nothing was recorded"
    assert {record["keyId"] for record in news} == {author["id"]}


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.changes], ids=str)
def test_reading_changes_nothing(api: Api, route: Route) -> None:
    world = new_world(api)
    before = size(api)
    body = route.body(world) if route.body else None
    assert api.send(route.method, world.path(route), body).status_code == route.status
    assert caused(api, before) == []


def test_every_decision_has_a_record_that_says_the_same(written: Written) -> None:
    api, token = written.api, written.token
    asked = [
        api.enforce(token, "run", "x"),
        api.enforce(token, "ask", "x", arguments={"n": 1}),
        api.enforce(token, "fly", "x"),
        api.enforce(token, "", "x"),
        api.enforce(token, "run", "a/../b"),
        api.enforce(token, "run", "x", dryRun=True),
        api.enforce(token, "run", "x", requester="nobody"),
        api.enforce(token, "run", "x", tenantId="elsewhere"),
        api.enforce("", "run", "x"),
    ]
    assert len({decision["reasonCode"] for decision in asked}) == 8
    for decision in asked:
        found = api.get(f"/v1/audit/{decision['audit']['index']}")
        record = found["record"]
        assert found["leafHash"] == decision["audit"]["leafHash"] == leaf_hash(encode(record)).hex()
        same = ("decisionId", "requestId", "decision", "reasonCode", "tenantId", "revision")
        assert [record[name] for name in same] == [decision[name] for name in same]
        assert [p["id"] for p in record["policies"]] == [p["id"] for p in decision["policies"]]
        assert record.get("dryRun", False) == decision["dryRun"]


def test_a_replay_leaves_no_second_record(written: Written) -> None:
    once = {"requestId": uuid4().hex}
    first = written.api.enforce(written.token, "run", "x", **once)
    assert written.api.enforce(written.token, "run", "x", **once)["audit"] == first["audit"]
    found = written.api.get("/v1/audit", params=once)["items"]
    assert [item["record"]["decisionId"] for item in found] == [first["decisionId"]]


def test_what_a_record_carries(api: Api, server: Server) -> None:
    name = f"recorded-{uuid4().hex}"
    agent, requester, key = api.agent(name), api.agent(), api.key("enforce")
    policy = api.policy(["run"], appliesTo={"agentIds": [agent, requester]})
    issued = api.post("/v1/tokens", {"agentId": agent})
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    arguments = {"secret": SECRET, "amount": 5.5, "list": [1, None, "é"]}
    body = {
        "requestId": uuid4().hex,
        "capabilityToken": issued["token"],
        "action": "run",
        "resourceId": "api://tasks/1",
        "requester": requester,
        "arguments": arguments,
        "context": {"conversationId": "story-1", "secret": SECRET},
    }
    with server.api(key["key"]) as caller:
        decision = caller.call("POST", "/v1/enforce", body, headers={"traceparent": traceparent})
    record = api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    expected = {
        "kind": "decision",
        "v": 1,
        "tenantId": TENANT,
        "keyId": key["id"],
        "agentId": agent,
        "agentName": name,
        "tokenId": issued["tokenId"],
        "chain": [agent],
        "requesterId": requester,
        "action": "run",
        "resourceId": "api://tasks/1",
        "conversationId": "story-1",
        "traceparent": traceparent,
        "policies": [{"id": policy["id"], "version": 1, "effect": "allow"}],
        "decision": "allowed",
        "reasonCode": "allowed",
    }
    assert {name: record.get(name) for name in expected} == expected
    assert record["at"].endswith("Z")
    assert record["latencyMicros"] >= 0
    assert record["reason"] == decision["reason"]
    with closing(sqlite3.connect(server.database)) as connection:
        query = "SELECT salt FROM audit_records WHERE tenant_id = ? AND idx = ?"
        (salt,) = connection.execute(query, (TENANT, record["index"])).fetchone()
    assert len(salt) == 16
    assert record["argumentsHash"] == hashlib.sha256(salt + rfc8785.dumps(arguments)).hexdigest()


def test_arguments_and_context_are_not_in_the_log(written: Written) -> None:
    assert SECRET not in json.dumps(records(written.api))
    assert SECRET not in written.server.log


@pytest.mark.parametrize(
    "traceparent", ["x", "00-" + "0" * 32, "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01"]
)
def test_a_traceparent_that_is_none_is_left_out(written: Written, traceparent: str) -> None:
    body = {"requestId": uuid4().hex, "capabilityToken": written.token, "action": "run", "resourceId": "x"}
    decision = written.api.call("POST", "/v1/enforce", body, headers={"traceparent": traceparent})
    record = written.api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    assert "traceparent" not in record


@pytest.mark.parametrize("way", ["token_revoked", "agent_suspended", "agent_deleted", "token_agent_mismatch"])
def test_a_denied_attempt_names_the_agent_whose_token_it_was(api: Api, server: Server, way: str) -> None:
    """The signature held, so the log knows who it was; looking for a suspended agent finds what it tried."""
    agent = api.agent()
    issued = api.post("/v1/tokens", {"agentId": agent})
    key = None
    match way:
        case "token_revoked":
            api.post(f"/v1/tokens/{issued['tokenId']}/revoke", status=200)
        case "agent_suspended":
            api.post(f"/v1/agents/{agent}/suspend", status=200)
        case "agent_deleted":
            api.delete(f"/v1/agents/{agent}")
        case "token_agent_mismatch":
            key = api.key("enforce", agentId=api.agent())["key"]
    with server.api(key or server.admin_key) as caller:
        decision = caller.enforce(issued["token"], "run", "x")
    assert decision["reasonCode"] == way
    found = api.get("/v1/audit", params={"agent": agent, "reasonCode": way})["items"]
    assert [item["record"]["decisionId"] for item in found] == [decision["decisionId"]]
    assert found[0]["record"]["tokenId"] == issued["tokenId"]


def test_a_forged_token_puts_no_name_into_the_log(api: Api, server: Server) -> None:
    agent = api.agent()
    token = api.token(agent)
    decision = api.enforce(token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBA"), "run", "x")
    assert decision["reasonCode"] in ("token_signature_invalid", "token_malformed")
    record = api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    assert "agentId" not in record
    assert decision["agentId"] is None


def test_texts_from_outside_cannot_forge_a_record(written: Written) -> None:
    """Line breaks, JSON and far too much text, in every field that a record repeats."""
    api = written.api
    for text in (
        'x"}}\n{"index":0,"leafHash":"00","record":{"decision":"allowed"',
        "y" * 50_000,
        "\u2028\r\n\u0000",
        "\U0001f4a9",
    ):
        decision = api.enforce(written.token, text, text, requester=text, context={"conversationId": text})
        assert decision["decision"] == "denied"
        record = api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
        assert record["decision"] == "denied"
        assert max(len(str(value)) for value in record.values()) <= 2048
    assert judge(api, written.kept).ok


def test_an_export_while_decisions_are_made_is_whole(written: Written) -> None:
    with ThreadPoolExecutor(2) as pool, written.server.api() as another:
        busy = pool.submit(lambda: [another.enforce(written.token, "run", f"z{number}") for number in range(150)])
        while not busy.done():
            found = judge(written.api, written.kept)
            assert found.ok, found.message
        busy.result()


def test_no_secret_enters_the_log_by_any_text(api: Api, server: Server) -> None:
    """A key in a reason, a token in a name: whatever people paste, the log does not keep it."""
    agent = api.agent()
    api.policy(["ask"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    token, enforcer, person = api.token(agent), api.key("enforce")["key"], api.key("approve")["key"]
    with server.api(enforcer) as caller, server.api(person) as approver:
        asked = caller.enforce(token, "ask", "x", requestId=token[:100])
        approver.post(f"/v1/approvals/{asked['approval']['id']}/reject", {"reason": f"use {person}"}, status=200)
    named = {"name": f"for {person}", "actions": ["never"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    problem = api.post("/v1/policies", named, status=422)
    assert [error["pointer"] for error in problem["errors"]] == ["/name"]
    named |= {"name": "never", "description": f"for {person}", "resources": [f"api://{token}"]}
    problem = api.post("/v1/policies", named, status=422)
    assert {error["pointer"] for error in problem["errors"]} == {"/description", "/resources/0"}
    export = api.send("GET", "/v1/audit/export").text
    for secret in (token, enforcer, person, server.admin_key):
        assert secret not in export
    assert "use [secret]" in export
