"""Whatever is changed in a log is found: every field of every kind of record there is, in the file and in an export.

The records are real: a server is asked for everything that it can do, so that a new kind, and a new field, cannot be
forgotten here. One of each kind is then sealed in a log of its own, which is tampered with.
"""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import StaticPool, create_engine

import act
from act.audit import notes
from act.audit.merkle import Frontier, leaf_hash
from act.audit.notes import Checkpoint
from act.audit.record import encode
from act.audit.soundness import examined
from act.audit.transaction import Transaction
from act.audit.verify import Finding
from act.cli.verify import Result, verified
from act.models import RecordKind
from tests.attacks.log import Kept, export, keep, records
from tests.attacks.surface import ROUTES, new_world
from tests.in_process import InProcess
from tests.limits.floods import money
from tests.support import Api, Server

TENANT = "default-tenant"
SEALED = ("v", "index", "tenantId", "kind")
RARE = {"webhook.disabled", "audit.archived"}
"""Kinds that need days of failures, or of age; their fields are texts and numbers as those of all others."""
SECRET = "sk_live_0123456789abcdefghijklmn"


# --- one of every kind ------------------------------------------------------------------------------------------------


def kinds_in_the_source() -> set[str]:
    """Every text in the server that could be the kind of a record."""
    looks_like_one = re.compile(
        r"(agent|api_key|approval|arguments|audit|decision|delegation|key|lease|policy|tenant|token|webhook)\.[a-z_]+"
    )
    found: set[str] = set()
    for file in Path(act.__file__).parent.rglob("*.py"):
        if not {"cli", "client", "integrations", "demo", "models", "cel"} & set(file.parts):
            texts = (node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
            found |= {text for text in texts if isinstance(text, str) and looks_like_one.fullmatch(text)}
    return found - {"webhook.test", "approval.requested", "approval.redeemed"}  # what webhooks are told of


def test_who_searches_can_name_every_kind_and_no_other() -> None:
    assert set(get_args(RecordKind)) == kinds_in_the_source() | {"decision"}


def from_every_route(server: Server) -> list[dict[str, Any]]:
    with server.api() as api:
        world = new_world(api)
        for route in ROUTES:
            if not route.changes:
                continue
            body = route.body(world) if route.body else None
            if api.send(route.method, world.path(route), body).status_code != route.status:
                world = new_world(api)  # what it is about was used up by another route
                body = route.body(world) if route.body else None
                api.call(route.method, world.path(route), body, status=route.status)
            if route.path.endswith("/freeze"):
                api.post(f"/v1/tenants/{world.tenant_id}/unfreeze", status=200)
        return records(api)


def from_time_and_misuse(folder: Path) -> list[dict[str, Any]]:
    """What no single call leaves: what ends by itself, and what is refused."""
    node = InProcess(folder)
    api = node.api
    holder, other = api.agent(), api.agent()
    mine = {"appliesTo": {"agentIds": [holder]}}
    api.policy(["hold"], **mine, constraints={"maxConcurrentTasks": 1, "leaseSeconds": 5})
    api.policy(["ask"], **mine, constraints={"requiresApproval": True})
    api.policy(["pay"], **mine, constraints=money(5, unit="EUR"))
    token = api.token(holder)
    api.enforce(token, "hold", "x", arguments={"key": SECRET}, context={"conversationId": "c"})
    api.enforce(token, "pay", "x", arguments={"amount": 1.5})
    api.enforce(token, "fly", "x", requester=other)
    asking = node.client(api.key("enforce")["key"])
    for approved in (True, False):
        asked = asking.enforce(token, "ask", "x", arguments={"n": approved})
        if approved:
            api.post(f"/v1/approvals/{asked['approval']['id']}/approve", {}, status=200)
            assert asking.enforce(token, "ask", "x", arguments={"n": True})["decision"] == "allowed"
    refused = {"parentToken": token, "toAgentId": other, "scope": [{"actions": ["hold"], "resources": ["x"]}]}
    assert api.send("POST", "/v1/delegations", refused).status_code >= 400
    issued = api.post("/v1/tokens", {"agentId": holder})
    for _ in range(2):  # the second time after another token has taken its place
        api.send("POST", f"/v1/tokens/{issued['tokenId']}/rotate", {"token": issued["token"]})
        node.clock.move(600)
    api.post("/v1/keys/rotate", {}, status=200)
    node.clock.move(8 * 86400)
    wanted = {"lease.timed_out", "approval.expired", "key.retired"}
    deadline = time.monotonic() + 30
    found = records(api)
    while missing := wanted - {record["kind"] for record in found}:
        assert time.monotonic() < deadline, missing
        time.sleep(0.05)
        found = records(api)
    node.close()
    return found


@dataclass(frozen=True)
class Log:
    """A log of one record of each kind, as a file and as an export, and what somebody kept of it earlier."""

    database: Path
    export: bytes
    kept: tuple[Kept, ...]
    size: int

    @property
    def lines(self) -> list[bytes]:
        return self.export.splitlines(keepends=True)

    def record(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lines[index])["record"]
        return found


@pytest.fixture(scope="module")
def log(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Log:
    one_of_each: dict[tuple[str, frozenset[str]], dict[str, Any]] = {}
    for record in from_every_route(server) + from_time_and_misuse(tmp_path_factory.mktemp("time")):
        one_of_each[record["kind"], frozenset(record)] = record
    folder, kept = tmp_path_factory.mktemp("log"), list[Kept]()
    node = InProcess(folder)
    for number, record in enumerate(one_of_each.values()):
        fields = {name: value for name, value in record.items() if name not in SEALED}
        if "argumentsKept" in fields:
            fields["argumentsKept"] = "none"  # the copy of a record has nothing beside it
        node.node._writer.write(lambda to, r=record, f=fields: to.record(TENANT, r["kind"], f))
        if number % 20 == 0:
            kept.append(keep(node.api))
    node.api.policy(["run"])
    token = node.api.token(node.api.agent())
    node.api.enforce(token, "run", "x", arguments={"to": "bob", "password": SECRET})
    node.api.enforce(token, "run", "x", arguments={"to": "bob"})
    kept.append(keep(node.api))
    exported = export(node.api)
    node.close()
    return Log(folder / "act.db", exported, tuple(kept), kept[-1].size)


def test_there_is_one_of_every_kind(log: Log) -> None:
    produced = {json.loads(line)["record"]["kind"] for line in log.lines[:-1]}
    assert kinds_in_the_source() - produced <= RARE
    assert len(produced) > 30


# --- what is done to them ---------------------------------------------------------------------------------------------


def others(value: Any) -> Iterator[Any]:
    """The value with one thing in it changed, for every thing in it."""
    match value:
        case dict():
            for name in value:
                yield {key: each for key, each in value.items() if key != name}
                for changed in others(value[name]):
                    yield value | {name: changed}
            yield value | {"added": 1}
        case list():
            for at, each in enumerate(value):
                yield value[:at] + value[at + 1 :]
                for changed in others(each):
                    yield [*value[:at], changed, *value[at + 1 :]]
            yield [*value, "added"]
        case bool():
            yield not value
        case int() | float():
            yield value + 1
        case str():
            yield value + "x"
        case None:
            yield 0


def judged(log: Log, lines: list[bytes], *, checkpoints: bool = False) -> Result:
    kept = {f"kept-{number}": one.note for number, one in enumerate(log.kept)} if checkpoints else {}
    return verified(io.BytesIO(b"".join(lines)), kept, log.kept[0].key)


class Tampering:
    """The file, open to who can write it: what is looked at is what was changed and not committed yet."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.isolation_level = None
        self.execute = connection.execute
        self.execute("BEGIN")
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None)
        self._looking = engine.connect()

    def look(self, *checkpoints: Checkpoint) -> Finding:
        return examined(self._looking, TENANT, checkpoints).finding

    def close(self) -> None:
        self._looking.close()


@pytest.fixture
def tampering(log: Log, tmp_path: Path) -> Iterator[Tampering]:
    """A copy of the file."""
    shutil.copyfile(log.database, tmp_path / "act.db")
    with closing(sqlite3.connect(tmp_path / "act.db")) as connection, closing(Tampering(connection)) as tampering:
        yield tampering


def test_as_it_is_it_verifies(log: Log, tampering: Tampering) -> None:
    found = judged(log, log.lines, checkpoints=True)
    assert (found.ok, found.size, found.checkpoints) == (True, log.size, len(log.kept)), found.message
    seen = [notes.verify(one.note, one.key) for one in log.kept]
    assert tampering.look(*seen).ok


def test_every_field_of_every_kind_in_an_export(log: Log) -> None:
    count = 0
    for index, line in enumerate(log.lines[:-1]):
        whole = json.loads(line)
        for record in others(whole["record"]):
            changed = json.dumps(whole | {"record": record}).encode() + b"\n"
            found = judged(log, [*log.lines[:index], changed, *log.lines[index + 1 :]])
            assert (found.ok, found.bad_index) == (False, index), (record, found.message)
            count += 1
    assert count > 1000


def test_every_field_of_every_kind_in_the_file(log: Log, tampering: Tampering) -> None:
    put = "UPDATE audit_records SET record = ? WHERE tenant_id = ? AND idx = ?"
    for index in range(log.size):
        record = log.record(index)
        for changed in others(record):
            tampering.execute(put, (json.dumps(changed), TENANT, index))
            found = tampering.look()
            assert (found.ok, found.bad_index) == (False, index), (changed, found.message)
        tampering.execute(put, (encode(record).decode(), TENANT, index))
    assert tampering.look().ok


def test_another_spelling_of_a_record_is_another_record(log: Log, tampering: Tampering) -> None:
    tampering.execute("UPDATE audit_records SET record = record || ' ' WHERE idx = 5")
    assert tampering.look().bad_index == 5


def reseal(connection: Tampering) -> None:
    """Make the head fit to what is there, as whoever can write the file can."""
    tree = Frontier()
    for (hashed,) in connection.execute("SELECT leaf_hash FROM audit_records ORDER BY idx"):
        tree = tree.append(hashed)
    connection.execute("UPDATE audit_trees SET size = ?, frontier = ?", (tree.size, tree.to_bytes()))


@pytest.mark.parametrize("sealed", [False, True], ids=["its head as it was", "and its head"])
def test_a_record_and_its_leaf_hash(log: Log, tampering: Tampering, sealed: bool) -> None:
    """With the leaf hash made to fit, the head does not; with the head too, the checkpoints that others keep do not."""
    seen = [notes.verify(one.note, one.key) for one in log.kept]
    for index in range(0, log.size, 7):
        record = log.record(index)
        for changed in (record | {"at": "2020-01-01T00:00:00.000Z"}, record | {"added": True}):
            text = encode(changed)
            values = (text.decode(), leaf_hash(text), index)
            tampering.execute("UPDATE audit_records SET record = ?, leaf_hash = ? WHERE idx = ?", values)
            if sealed:
                reseal(tampering)
                assert tampering.look().ok, "alone, a log that was written anew proves itself"
                finding = tampering.look(*seen)
                assert (finding.ok, finding.bad_index) == (False, None)
                assert "are not those that the checkpoint" in finding.message
            else:
                finding = tampering.look()
                assert (finding.ok, finding.bad_index) == (False, log.size)
        text = encode(record)
        values = (text.decode(), leaf_hash(text), index)
        tampering.execute("UPDATE audit_records SET record = ?, leaf_hash = ? WHERE idx = ?", values)


def move(connection: Tampering, one: int, other: int) -> None:
    connection.execute("UPDATE audit_records SET idx = ? WHERE idx = ?", (other, one))


def swap(connection: Tampering, one: int, other: int) -> None:
    move(connection, one, -1)
    move(connection, other, one)
    move(connection, -1, other)


def drop(connection: Tampering, index: int) -> None:
    connection.execute("DELETE FROM audit_records WHERE idx = ?", (index,))


def close_gap(connection: Tampering, index: int, size: int) -> None:
    drop(connection, index)
    for each in range(index + 1, size):
        move(connection, each, each - 1)


def insert(connection: Tampering, index: int, size: int) -> None:
    for each in range(size - 1, index - 1, -1):
        move(connection, each, each + 1)
    connection.execute(
        "INSERT INTO audit_records (tenant_id, idx, leaf_hash, salt, record, arguments) "
        "SELECT tenant_id, ?, leaf_hash, salt, record, arguments FROM audit_records WHERE idx = ?",
        (index, index + 1),
    )


Change = Callable[[Tampering], Any]
STRUCTURE: dict[str, tuple[Change, int]] = {
    "two neighbours swapped": (lambda to: swap(to, 4, 5), 4),
    "two far ones swapped": (lambda to: swap(to, 3, 30), 3),
    "one dropped from the middle": (lambda to: drop(to, 9), 9),
    "the first one dropped": (lambda to: drop(to, 0), 0),
    "one dropped and the gap closed": (lambda to: close_gap(to, 9, 40), 9),
    "one inserted": (lambda to: insert(to, 12, 60), 13),
    "a leaf hash altered": (lambda to: to.execute("UPDATE audit_records SET leaf_hash = x'00' WHERE idx = 8"), 8),
    "a leaf hash of another": (
        lambda to: to.execute(
            "UPDATE audit_records SET leaf_hash = (SELECT leaf_hash FROM audit_records WHERE idx = 1) WHERE idx = 8"
        ),
        8,
    ),
    "given to another tenant": (lambda to: to.execute("UPDATE audit_records SET tenant_id = 'x' WHERE idx = 6"), 6),
}


@pytest.mark.parametrize("how", list(STRUCTURE))
def test_the_order_and_the_number_of_records(log: Log, tampering: Tampering, how: str) -> None:
    change, index = STRUCTURE[how]
    tampering.execute("PRAGMA foreign_keys=OFF")
    change(tampering)
    finding = tampering.look()
    assert (finding.ok, finding.bad_index) == (False, index), finding.message
    # Made to fit it is found still, for every record says where it belongs.
    reseal(tampering)
    assert tampering.look().bad_index == index


def test_the_tail_cut_off(log: Log, tampering: Tampering) -> None:
    """Made to fit, only a checkpoint that was seen before tells; and every one that saw more does."""
    seen = [notes.verify(one.note, one.key) for one in log.kept]
    for size in range(log.size - 1, 0, -max(1, log.size // 12)):
        tampering.execute("DELETE FROM audit_records WHERE idx >= ?", (size,))
        finding = tampering.look()
        assert (finding.ok, finding.bad_index) == (False, size), "the head is of more"
        reseal(tampering)
        for checkpoint in seen:
            finding = tampering.look(checkpoint)
            assert finding.ok == (checkpoint.size <= size), checkpoint.size
            if not finding.ok:
                assert finding.bad_index == size
                assert "its tail is missing" in finding.message
        shown = judged(log, [*log.lines[:size], log.lines[-1]])
        assert (shown.ok, shown.bad_index) == (False, size)


def test_a_fork(log: Log, tampering: Tampering) -> None:
    """The same beginning and another end: the checkpoints of the beginning fit, those of the other branch do not."""
    seen = [notes.verify(one.note, one.key) for one in log.kept]
    at = seen[1].size
    for index in range(at, log.size):
        text = encode(log.record(index) | {"branch": 2})
        values = (text.decode(), leaf_hash(text), index)
        tampering.execute("UPDATE audit_records SET record = ?, leaf_hash = ? WHERE idx = ?", values)
    reseal(tampering)
    for checkpoint in seen:
        assert tampering.look(checkpoint).ok == (checkpoint.size <= at)


TREES: dict[str, str] = {
    "its size": "UPDATE audit_trees SET size = size + 1",
    "its hashes": "UPDATE audit_trees SET frontier = zeroblob(length(frontier))",
    "all of it": "DELETE FROM audit_trees",
    "hashes of nothing": "INSERT INTO audit_subtrees VALUES ('default-tenant', 1, 0, zeroblob(32))",
}


@pytest.mark.parametrize("what", list(TREES))
def test_the_head_in_the_file(log: Log, tampering: Tampering, what: str) -> None:
    tampering.execute(TREES[what])
    finding = tampering.look()
    assert (finding.ok, finding.bad_index) == (False, log.size), finding.message


def test_what_is_kept_for_proofs(tmp_path: Path) -> None:
    node = InProcess(tmp_path)

    def many(to: Transaction) -> None:
        for number in range(600):
            to.record(TENANT, "decision", {"number": number})

    node.node._writer.write(many)
    node.close()
    with closing(sqlite3.connect(tmp_path / "act.db")) as connection, closing(Tampering(connection)) as to:
        assert to.look().ok
        assert to.execute("SELECT count(*) FROM audit_subtrees").fetchone() == (2,)
        for number in (0, 1):
            before = to.execute("SELECT hash FROM audit_subtrees WHERE number = ?", (number,)).fetchone()
            for change in ("UPDATE audit_subtrees SET hash = randomblob(32)", "DELETE FROM audit_subtrees"):
                to.execute(f"{change} WHERE number = ?", (number,))
                finding = to.look()
                assert (finding.ok, finding.bad_index) == (False, number * 256), finding.message
                to.execute("DELETE FROM audit_subtrees WHERE number = ?", (number,))
                to.execute("INSERT INTO audit_subtrees VALUES (?, 1, ?, ?)", (TENANT, number, *before))
        assert to.look().ok


# --- what stands beside a record --------------------------------------------------------------------------------------


def bodies(log: Log, connection: Tampering) -> list[tuple[int, str, bytes]]:
    found = connection.execute("SELECT idx, arguments, salt FROM audit_records WHERE arguments IS NOT NULL").fetchall()
    assert len(found) >= 2
    return found


def test_what_is_kept_of_the_arguments(log: Log, tampering: Tampering) -> None:
    for index, text, salt in bodies(log, tampering):
        assert SECRET not in text
        twice = text.replace("{", '{"to":"eve",', 1)
        put = "UPDATE audit_records SET arguments = ?, salt = ? WHERE idx = ?"
        changes = [(json.dumps(changed), salt) for changed in others(json.loads(text))]
        changes += [(twice, salt), ("x", salt), ("[]", salt), (text, bytes(16)), (text, salt[1:]), (text, None)]
        for changed in changes:
            tampering.execute(put, (*changed, index))
            finding = tampering.look()
            assert (finding.ok, finding.bad_index) == (False, index), changed
            assert f"The arguments of record {index} were changed" in finding.message
        tampering.execute(put, (None, None, index))
        assert tampering.look().ok, "what was erased is no fault"
        tampering.execute(put, (text, salt, index))


def test_what_is_kept_of_the_arguments_in_an_export(log: Log) -> None:
    kept = [index for index, line in enumerate(log.lines[:-1]) if b'"salt"' in line]
    assert len(kept) >= 2
    for index in kept:
        whole = json.loads(log.lines[index])
        changes = [whole | {"arguments": changed} for changed in others(whole["arguments"])]
        changes += [whole | {"salt": "00" * 16}, whole | {"salt": ""}]
        for changed in changes:
            line = json.dumps(changed).encode() + b"\n"
            found = judged(log, [*log.lines[:index], line, *log.lines[index + 1 :]])
            assert (found.ok, found.bad_index) == (False, index), changed


# --- checkpoints ------------------------------------------------------------------------------------------------------


def closing_line(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    origin, public = checkpoint.origin, key.public_key().public_bytes_raw()
    head = {
        "tenantId": TENANT,
        "size": checkpoint.size,
        "rootHash": checkpoint.root.hex(),
        "note": notes.sign(checkpoint, key),
        "verifierKey": notes.verifier_key(origin, public),
    }
    return json.dumps({"checkpoint": head}).encode() + b"\n"


def test_a_checkpoint_by_another_key(log: Log) -> None:
    head = notes.verify(log.kept[-1].note, log.kept[-1].key)
    strange = closing_line(head, Ed25519PrivateKey.generate())
    found = judged(log, [*log.lines[:-1], strange])
    assert not found.ok
    assert "does not hold" in found.message
    with suppress(ValueError):
        pytest.fail(str(notes.verify(json.loads(strange)["checkpoint"]["note"], log.kept[0].key)))


def test_an_old_checkpoint_in_the_place_of_the_new_one(log: Log) -> None:
    old = log.kept[1]
    seen = notes.verify(old.note, old.key)
    head = {"tenantId": TENANT, "size": seen.size, "rootHash": seen.root.hex(), "note": old.note}
    line = json.dumps({"checkpoint": head | {"verifierKey": old.key}}).encode() + b"\n"
    found = judged(log, [*log.lines[:-1], line])
    assert (found.ok, found.bad_index) == (False, seen.size)
    # A whole old export is a log that was true once; who kept a later checkpoint knows better.
    assert judged(log, [*log.lines[: seen.size], line]).ok
    late = judged(log, [*log.lines[: seen.size], line], checkpoints=True)
    assert (late.ok, late.bad_index) == (False, seen.size)


@pytest.mark.parametrize("name", ["size", "rootHash", "note", "verifierKey", "tenantId"])
def test_every_field_of_the_checkpoint(log: Log, name: str) -> None:
    whole = json.loads(log.lines[-1])
    for changed in others(whole["checkpoint"][name]):
        if name == "note" and isinstance(changed, str) and changed.startswith(whole["checkpoint"]["note"]):
            continue  # others may add signatures of theirs
        if name == "note" and changed == whole["checkpoint"]["note"].removesuffix("\n"):
            continue
        line = json.dumps({"checkpoint": whole["checkpoint"] | {name: changed}}).encode() + b"\n"
        found = judged(log, [*log.lines[:-1], line])
        assert not found.ok or name == "verifierKey", "the key that was given counts, and not the one that is shown"


def test_an_export_of_which_the_end_is_missing(log: Log) -> None:
    for cut in (1, 2, 10):
        found = judged(log, log.lines[:-cut])
        assert (found.ok, found.bad_index) == (False, log.size - cut + 1)


def test_the_shared_server_is_as_it_was(api: Api) -> None:
    assert api.get("/readyz")["status"] == "ok"
