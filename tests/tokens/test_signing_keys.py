"""The life of a signing key, with the clock held by the test: next, active, retiring, gone."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import OKPKey

from act import models
from act.client.embedded import EmbeddedTransport, Service
from act.database.engine import DatabaseUnusable
from act.database.keyfiles import KeysUnusable
from act.server.app import Node
from act.server.settings import Settings, SettingsInvalid
from act.tokens.signatures import sign
from tests.support import ADMIN_KEY, Api

MASTER = "a master key of more than 32 characters"
DAY = 86400


class HeldClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.moment = datetime(2027, 1, 1, 12, tzinfo=UTC)
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.seconds += seconds


class Running:
    """A node on a clock of the test's; `api` calls it without a network."""

    def __init__(self, folder: Path, clock: HeldClock, **settings: Any) -> None:
        self.keys = folder / "act.db.keys"
        self.clock = clock
        found = Settings(database=f"sqlite:///{folder / 'act.db'}", bootstrap_api_key=ADMIN_KEY, **settings)
        self.node = Node(found, clock)
        self._service = Service(self.node.app, ADMIN_KEY, self.node.close)
        self.api = Api("http://act.embedded", transport=EmbeddedTransport(self._service))

    def close(self) -> None:
        self.api.close()

    def key(self, status: str) -> Any:
        (found,) = (key for key in self.listed() if key["status"] == status)
        return found

    def listed(self) -> list[Any]:
        return [key for key in self.api.get("/v1/keys")["items"] if key["use"] == "token"]

    def status(self, kid: str) -> str:
        return str(next(key["status"] for key in self.listed() if key["kid"] == kid))

    def published(self) -> set[str]:
        return {key["kid"] for key in self.api.get("/.well-known/jwks.json")["keys"]}

    def files(self) -> set[str]:
        return {path.stem for path in self.keys.glob("*.pem")}

    def ask(self, token: str) -> Any:
        return self.api.enforce(token, "x", "y")

    def code(self, token: str) -> str:
        return str(self.ask(token)["reasonCode"])

    def worker(self) -> str:
        agent = self.api.agent()
        self.api.policy(appliesTo={"agentIds": [agent]})
        return agent

    def sweep(self) -> None:
        self.node._keys.sweep()

    def records(self, kind: str) -> list[Any]:
        records = [item["record"] for item in self.api.get("/v1/audit?limit=200")["items"]]
        return [record for record in records if record["kind"] == kind]


def part(token: str, at: int) -> Any:
    text = token.split(".")[at]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, HeldClock())
    yield running
    running.close()


def test_a_new_tenant_has_an_active_key_and_a_next_one(running: Running) -> None:
    assert [key["status"] for key in running.listed()].count("active") == 1
    assert running.published() == {running.key("active")["kid"], running.key("next")["kid"]}
    for key in running.listed():
        assert key.keys() == {"kid", "use", "algorithm", "status", "createdAt", "retiresAt"}
        assert (key["algorithm"], key["retiresAt"]) == ("RS256", None)
    token = running.api.token(running.worker())
    assert part(token, 0) == {"alg": "RS256", "typ": "at+jwt", "kid": running.key("active")["kid"]}


def test_no_private_half_is_ever_shown(running: Running) -> None:
    running.api.post("/v1/keys/rotate", {"algorithm": "ES256"}, status=200)
    shown = json.dumps([running.api.get("/v1/keys"), running.api.get("/.well-known/jwks.json")])
    for private in ('"d"', '"p"', '"q"', '"dp"', '"dq"', '"qi"', '"k"', "PRIVATE"):
        assert private not in shown


def test_the_next_key_was_published_before_it_signs(running: Running) -> None:
    before, published = running.key("next"), running.published()
    rotated = running.api.post("/v1/keys/rotate", status=200)
    assert rotated == running.key("active") | {"revision": rotated["revision"]}
    assert rotated["kid"] == before["kid"]
    assert rotated["kid"] in published
    assert running.key("next")["kid"] not in published
    assert part(running.api.token(running.worker()), 0)["kid"] == rotated["kid"]


def test_an_old_token_verifies_until_its_key_is_retired_and_never_after(running: Running) -> None:
    agent = running.worker()
    old, kid = running.api.token(agent, expiresIn=DAY), running.key("active")["kid"]
    running.clock.forward(10)
    old_too = running.api.token(agent, expiresIn=DAY)
    running.api.post("/v1/keys/rotate", status=200)
    assert running.code(old) == "allowed"
    assert running.key("retiring")["kid"] == kid
    assert running.key("retiring")["retiresAt"] == "2027-01-02T12:01:10.000Z"

    running.clock.forward(DAY - 1)
    running.sweep()
    assert running.status(kid) == "retiring"
    assert running.code(old_too) == "allowed"  # the last second of the longest token
    running.clock.forward(61)
    assert running.ask(old_too)["reasonCode"] == "token_expired"
    assert (running.status(kid), kid in running.files()) in (("retiring", True), ("gone", False))
    running.sweep()
    running.sweep()
    assert running.status(kid) == "gone"
    assert kid not in running.published() | running.files()
    assert [record["kid"] for record in running.records("key.retired")] == [kid]
    assert running.code(running.api.token(agent)) == "allowed"

    # Not by its date alone: a token that would be fresh is refused for its key.
    running.clock.moment -= timedelta(seconds=DAY)
    decision = running.ask(old)
    assert decision["reasonCode"] == "token_key_unknown"
    assert "no longer in use" in decision["reason"]


def test_a_retiring_key_ends_in_time_when_nobody_sweeps(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with a warm cache: the token's signature was found good before."""
    monkeypatch.setattr(running.node._keys, "sweep", lambda: None)
    old = running.api.token(running.worker(), expiresIn=DAY)
    # The time of a retiring key comes from the maximum at its rotation, and this token lives longer than that.
    running.api.patch("/v1/tenants/default-tenant", {"maxTokenTtl": 60, "defaultTokenTtl": 60})
    running.api.post("/v1/keys/rotate", status=200)
    assert running.code(old) == "token_ttl_exceeded"
    running.api.patch("/v1/tenants/default-tenant", {"maxTokenTtl": DAY})
    running.clock.forward(119)
    assert running.code(old) == "allowed"
    running.clock.forward(1)
    assert running.code(old) == "token_key_unknown"
    assert running.key("retiring")["retiresAt"] == models.rfc3339(running.clock.now())


def test_a_next_key_signs_nothing_yet(running: Running) -> None:
    token, kid = running.api.token(running.worker()), running.key("next")["kid"]
    key = load_pem_private_key((running.keys / f"{kid}.pem").read_bytes(), None)
    header = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": kid}).encode()).rstrip(b"=")
    signed = header + b"." + token.split(".")[1].encode()
    forged = (signed + b"." + base64.urlsafe_b64encode(sign(key, signed)).rstrip(b"=")).decode()
    decision = running.ask(forged)
    assert decision["reasonCode"] == "token_key_unknown"
    assert "not in use yet" in decision["reason"]
    running.api.post("/v1/keys/rotate", status=200)
    assert running.code(forged) == "allowed"  # it was well made: the key's place alone stood in its way


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA", "ES256"])
def test_a_rotation_to_another_algorithm(running: Running, algorithm: str) -> None:
    agent = running.worker()
    old = running.api.token(agent)
    dropped = running.key("next")["kid"]
    rotated = running.api.post("/v1/keys/rotate", {"algorithm": algorithm}, status=200)
    token = running.api.token(agent)
    assert part(token, 0) == {"alg": algorithm, "typ": "at+jwt", "kid": rotated["kid"]}
    assert (running.code(old), running.code(token)) == ("allowed", "allowed")
    assert running.key("next")["algorithm"] == algorithm
    if algorithm == "RS256":
        assert rotated["kid"] == dropped
    else:
        assert running.status(dropped) == "gone"
        assert dropped not in running.published() | running.files()
    assert running.published() == {key["kid"] for key in running.listed() if key["status"] != "gone"}
    again = running.api.post("/v1/keys/rotate", status=200)
    assert again["algorithm"] == algorithm


@pytest.mark.parametrize("algorithm", ["HS256", "none", "rs256", "RS512", "", 256])
def test_no_other_algorithm_can_be_chosen(running: Running, algorithm: Any) -> None:
    before = running.listed()
    problem = running.api.post("/v1/keys/rotate", {"algorithm": algorithm}, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/algorithm"]
    assert running.listed() == before


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA", "ES256"])
def test_revoking_the_active_key(running: Running, algorithm: str) -> None:
    agent = running.worker()
    kid = running.api.post("/v1/keys/rotate", {"algorithm": algorithm}, status=200)["kid"]
    old, following = running.api.token(agent), running.key("next")["kid"]
    assert running.code(old) == "allowed"  # and its signature is remembered
    revoked = running.api.post(f"/v1/keys/{kid}/revoke", status=200)
    decision = running.ask(old)
    assert decision["reasonCode"] == "token_key_unknown"
    assert decision["revision"] >= revoked["revision"]
    assert running.key("active")["kid"] == following
    assert running.key("next")["kid"] not in (kid, following)
    assert kid not in running.published() | running.files()
    assert running.code(running.api.token(agent)) == "allowed"
    (record,) = running.records("key.revoked")
    assert (record["kid"], record["status"], record["replacedBy"]) == (kid, "active", following)


def test_revoking_the_next_a_retiring_and_a_gone_key(running: Running) -> None:
    agent = running.worker()
    old, first, following = running.api.token(agent), running.key("active")["kid"], running.key("next")["kid"]
    running.api.post(f"/v1/keys/{following}/revoke", status=200)
    assert running.status(following) == "gone"
    assert running.key("next")["kid"] != following
    assert (running.key("active")["kid"], running.code(old)) == (first, "allowed")

    running.api.post("/v1/keys/rotate", status=200)
    assert (running.status(first), running.code(old)) == ("retiring", "allowed")
    active, following = running.key("active")["kid"], running.key("next")["kid"]
    for _ in range(2):
        running.api.post(f"/v1/keys/{first}/revoke", status=200)
        assert running.code(old) == "token_key_unknown"
        assert (running.key("active")["kid"], running.key("next")["kid"]) == (active, following)


def test_keys_that_cannot_be_revoked(running: Running) -> None:
    (audit,) = (key for key in running.api.get("/v1/keys")["items"] if key["use"] == "audit")
    assert running.api.post(f"/v1/keys/{audit['kid']}/revoke", status=409)["code"] == "audit_key"
    assert running.api.post("/v1/keys/0000000000000000/revoke", status=404)["code"] == "not_found"
    assert running.api.get("/v1/audit/checkpoint")["size"] > 0


def test_every_change_leaves_a_record(running: Running) -> None:
    first, second = running.key("active")["kid"], running.key("next")["kid"]
    rotated = running.api.post("/v1/keys/rotate", status=200)
    (record,) = running.records("key.rotated")
    assert (record["kid"], record["previousKid"], record["revision"]) == (second, first, rotated["revision"])
    assert record["keyId"].startswith("key_")
    created = running.records("key.created")
    assert {(made["use"], made["status"]) for made in created} == {
        ("token", "active"),
        ("token", "next"),
        ("audit", "active"),
    }
    assert len(created) == 4


def test_the_list_is_read_page_by_page(running: Running) -> None:
    for _ in range(3):
        running.api.post("/v1/keys/rotate", {"algorithm": "ES256"}, status=200)
    whole = [key["kid"] for key in running.api.get("/v1/keys")["items"]]
    found: list[str] = []
    page = running.api.get("/v1/keys", params={"limit": 2})
    while True:
        assert len(page["items"]) <= 2
        found += [key["kid"] for key in page["items"]]
        if not page["hasMore"]:
            break
        page = running.api.get("/v1/keys", params={"limit": 2, "cursor": page["nextCursor"]})
    assert found == whole
    assert len(whole) == len(set(whole)) == 7
    cursor = base64.urlsafe_b64encode(b"nowhere").decode()
    assert running.api.get("/v1/keys", params={"cursor": cursor}, status=422)["errors"][0]["pointer"] == "/cursor"


def test_a_frozen_tenant_can_still_change_its_keys(running: Running) -> None:
    running.api.post("/v1/tenants/default-tenant/freeze", {"reason": "x"}, status=200)
    kid = running.key("active")["kid"]
    running.api.post("/v1/keys/rotate", status=200)
    running.api.post(f"/v1/keys/{kid}/revoke", status=200)
    assert running.status(kid) == "gone"


# --- across a restart ---


def test_keys_and_tokens_outlive_a_restart(tmp_path: Path) -> None:
    clock = HeldClock()
    before = Running(tmp_path, clock)
    agent = before.worker()
    retired = before.api.token(agent)
    revoked_kid = before.api.post("/v1/keys/rotate", {"algorithm": "EdDSA"}, status=200)["kid"]
    revoked = before.api.token(agent)
    before.api.post(f"/v1/keys/{revoked_kid}/revoke", status=200)
    last = before.api.token(agent)
    listed = before.listed()
    before.close()
    # Killed between the commit and the deletion: the file of a gone key is still there.
    (tmp_path / "act.db.keys" / f"{revoked_kid}.pem").write_text("left over")
    after = Running(tmp_path, clock)
    try:
        assert after.listed() == listed
        assert [after.code(token) for token in (retired, revoked, last)] == ["allowed", "token_key_unknown", "allowed"]
        after.sweep()
        assert revoked_kid not in after.files()
    finally:
        after.close()


def test_a_time_that_passed_while_the_server_was_down(tmp_path: Path) -> None:
    clock = HeldClock()
    before = Running(tmp_path, clock)
    kid = before.key("active")["kid"]
    before.api.post("/v1/keys/rotate", status=200)
    before.close()
    clock.forward(DAY + 60)
    after = Running(tmp_path, clock)
    try:
        after.sweep()
        assert after.status(kid) == "gone"
        assert kid not in after.files()
    finally:
        after.close()


def test_a_private_key_that_is_missing_or_another_stops_the_start(tmp_path: Path) -> None:
    clock = HeldClock()
    running = Running(tmp_path, clock)
    kids = [running.key("active")["kid"], running.key("next")["kid"]]
    running.close()
    paths = [tmp_path / "act.db.keys" / f"{kid}.pem" for kid in kids]
    contents = [path.read_bytes() for path in paths]
    paths[1].unlink()
    with pytest.raises(KeysUnusable, match=f"{kids[1]}.pem is missing"):
        Running(tmp_path, clock)
    paths[1].write_bytes(contents[0])
    paths[1].chmod(0o600)
    with pytest.raises(KeysUnusable, match="holds another key than the database knows"):
        Running(tmp_path, clock)
    paths[1].write_text("no key at all")
    with pytest.raises(KeysUnusable, match="holds no private key"):
        Running(tmp_path, clock)
    paths[1].write_bytes(contents[1])
    (audit,) = set((tmp_path / "act.db.keys").glob("*.pem")) - set(paths)
    original = audit.read_bytes()
    audit.write_bytes(OKPKey.generate_key("Ed25519").as_pem(private=True))
    with pytest.raises(KeysUnusable, match="holds another key than the database knows"):
        Running(tmp_path, clock)
    audit.write_bytes(original)
    Running(tmp_path, clock).close()


# --- the master key ---


def test_with_a_master_key_every_private_key_is_encrypted(tmp_path: Path) -> None:
    clock = HeldClock()
    running = Running(tmp_path, clock, master_key=MASTER)
    agent = running.worker()
    tokens = [running.api.token(agent)]
    for algorithm in ("ES256", "EdDSA", "RS256"):
        running.api.post("/v1/keys/rotate", {"algorithm": algorithm}, status=200)
        tokens.append(running.api.token(agent))
    for path in running.keys.glob("*.pem"):
        assert b"BEGIN PRIVATE KEY" not in path.read_bytes()
        assert path.read_bytes().startswith(b"-----BEGIN ACT ENCRYPTED PRIVATE KEY-----\n")
    running.close()

    for wrong, words in ((None, "set ACT_MASTER_KEY"), ("w" * 40, "another master key")):
        with pytest.raises(DatabaseUnusable, match=words):
            Running(tmp_path, clock, master_key=wrong)
    after = Running(tmp_path, clock, master_key=MASTER)
    try:
        assert {after.code(token) for token in [*tokens, after.api.token(agent)]} == {"allowed"}
        note = after.api.get("/v1/audit/checkpoint")
        assert note["size"] > 0
    finally:
        after.close()


def test_plain_keys_are_encrypted_at_the_next_start_and_that_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HeldClock()
    plain = Running(tmp_path, clock)
    agent = plain.worker()
    token = plain.api.token(agent)
    plain.close()
    with caplog.at_level(logging.INFO, "act"):
        running = Running(tmp_path, clock, master_key=MASTER)
    try:
        assert "encrypted 3 private keys" in caplog.text
        assert MASTER not in caplog.text
        assert not any(b"BEGIN PRIVATE KEY" in path.read_bytes() for path in running.keys.iterdir())
        assert running.code(token) == "allowed"
        assert running.code(running.api.token(agent)) == "allowed"
    finally:
        running.close()


def test_the_master_key_is_32_characters_or_more_and_never_shown() -> None:
    with pytest.raises(SettingsInvalid, match="ACT_MASTER_KEY has 31 characters") as raised:
        Settings.from_environment({"ACT_MASTER_KEY": "s" * 31})
    assert "sss" not in str(raised.value)
    settings = Settings.from_environment({"ACT_MASTER_KEY": "s" * 32})
    assert settings.master_key == "s" * 32
    assert "sss" not in repr(settings)
