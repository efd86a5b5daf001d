"""Signing keys through HTTP: rotations under load refuse nobody, and a key that is out of use verifies nothing."""

from __future__ import annotations

import json
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jws
from joserfc.jwk import KeySet

from act.tokens.signatures import sign
from tests.attacks.forge import b64, dump, unb64
from tests.support import Api, Server

ALGORITHMS = ("RS256", "EdDSA", "ES256")
ROTATIONS = 20


@pytest.fixture(scope="module")
def rotating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what is revoked here is nobody else's key."""
    with Server(tmp_path_factory.mktemp("rotating")) as server:
        yield server


@pytest.fixture
def admin(rotating: Server) -> Iterator[Api]:
    with rotating.api() as api:
        yield api


def worker(api: Api) -> str:
    agent = api.agent()
    api.policy(appliesTo={"agentIds": [agent]})
    return agent


def code(api: Api, token: str) -> str:
    return str(api.enforce(token, "x", "y")["reasonCode"])


def header_of(token: str) -> Any:
    return json.loads(unb64(token.split(".")[0]))


def forged(server: Server, token: str, kid: str, *, alg: str, signer: str) -> str:
    """The claims of a good token, named and signed as told, with a private key of the server's own."""
    path = server.database.with_name("act.db.keys") / f"{signer}.pem"
    key = load_pem_private_key(path.read_bytes(), None)
    signed = f"{b64(dump({'alg': alg, 'typ': 'at+jwt', 'kid': kid}))}.{token.split('.')[1]}"
    return f"{signed}.{b64(sign(key, signed.encode()))}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_verifier_reads_a_token_by_the_published_keys(admin: Api, algorithm: str) -> None:
    agent = worker(admin)
    rotated = admin.post("/v1/keys/rotate", {"algorithm": algorithm}, status=200)
    token = admin.token(agent)
    assert header_of(token) == {"alg": algorithm, "typ": "at+jwt", "kid": rotated["kid"]}
    keys = KeySet.import_key_set(admin.get("/.well-known/jwks.json"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name EdDSA, which RFC 9864 would have otherwise
        found = jws.deserialize_compact(token, keys, algorithms=[algorithm])
    assert json.loads(found.payload)["client_id"] == agent
    assert code(admin, token) == "allowed"
    for key in admin.get("/.well-known/jwks.json")["keys"]:
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}
        assert (key["use"], key["alg"] in ALGORITHMS) == ("sig", True)


def test_a_key_id_with_the_algorithm_or_the_signature_of_another(admin: Api, rotating: Server) -> None:
    agent = worker(admin)
    kids = {}
    for algorithm in ALGORITHMS:
        kids[algorithm] = admin.post("/v1/keys/rotate", {"algorithm": algorithm}, status=200)["kid"]
    token = admin.token(agent)
    for kid_of in ALGORITHMS:
        for alg in (*ALGORITHMS, "HS256", "none"):
            for signer in ALGORITHMS:
                made = forged(rotating, token, kids[kid_of], alg=alg, signer=kids[signer])
                if alg != kid_of:
                    expected = "token_algorithm_not_allowed"
                elif signer != kid_of:
                    expected = "token_signature_invalid"
                else:
                    expected = "allowed"
                assert code(admin, made) == expected, (kid_of, alg, signer)


def test_a_next_key_and_a_revoked_key_verify_nothing(admin: Api, rotating: Server) -> None:
    token = admin.token(worker(admin))
    key = {key["status"]: key["kid"] for key in admin.get("/v1/keys?limit=200")["items"] if key["use"] == "token"}
    alg = header_of(token)["alg"]
    made = forged(rotating, token, key["next"], alg=alg, signer=key["next"])
    assert code(admin, made) == "token_key_unknown"
    assert code(admin, forged(rotating, token, key["active"], alg=alg, signer=key["active"])) == "allowed"
    admin.post(f"/v1/keys/{key['active']}/revoke", status=200)
    assert code(admin, token) == "token_key_unknown"
    assert code(admin, made) == "allowed"  # the next one has taken over
    assert not (rotating.database.with_name("act.db.keys") / f"{key['active']}.pem").exists()


def in_threads(count: int, work: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_no_request_is_refused_while_keys_are_rotated(admin: Api, rotating: Server) -> None:
    agent = worker(admin)
    first = admin.token(agent)
    done, seen, failures = threading.Event(), Counter[str](), []

    def enforce_and_issue() -> None:
        with rotating.api() as api:
            newest = first
            while not done.is_set():
                try:
                    newest = api.token(agent)
                    for token in (first, newest):
                        seen[code(api, token)] += 1
                except Exception as error:
                    failures.append(error)
                    return

    threads = in_threads(4, enforce_and_issue)
    try:
        for number in range(ROTATIONS):
            # Some are allowed between any two rotations, however slow the machine is.
            while seen["allowed"] <= 2 * (number + 1) and not failures:
                done.wait(0.01)
            admin.post("/v1/keys/rotate", {"algorithm": ALGORITHMS[number % 3]}, status=200)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert seen.keys() == {"allowed"}
    assert seen["allowed"] > 2 * ROTATIONS
    assert code(admin, first) == "allowed"


def test_a_key_is_revoked_for_every_request_after_the_answer(admin: Api, rotating: Server) -> None:
    """Requests under way while the active key is revoked: whoever is allowed stands on an older revision."""
    agent = worker(admin)
    token, done, answers = admin.token(agent), threading.Event(), list[Any]()

    def enforce() -> None:
        with rotating.api() as api:
            while not done.is_set():
                answers.append(api.enforce(token, "x", "y"))

    threads = in_threads(4, enforce)
    try:
        while len(answers) < 20:
            done.wait(0.01)
        revoked = admin.post(f"/v1/keys/{header_of(token)['kid']}/revoke", status=200)
        assert code(admin, token) == "token_key_unknown"
        after = len(answers) + 2 * len(threads)  # so that each of them has asked since
        while len(answers) < after:
            done.wait(0.01)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert {answer["reasonCode"] for answer in answers} == {"allowed", "token_key_unknown"}
    for answer in answers:
        assert (answer["reasonCode"] == "allowed") is (answer["revision"] < revoked["revision"])


def test_rotations_and_revocations_at_the_same_moment(admin: Api, rotating: Server) -> None:
    """Whatever the order, there is one active key and one next key in the end."""

    def change() -> None:
        with rotating.api() as api:
            for _ in range(3):
                api.post("/v1/keys/rotate", {"algorithm": "ES256"}, status=200)
                active = next(key["kid"] for key in keys_of(api) if key["status"] == "active")
                api.post(f"/v1/keys/{active}/revoke", status=200)

    for thread in in_threads(4, change):
        thread.join()
    counted = Counter(key["status"] for key in keys_of(admin))
    assert (counted["active"], counted["next"]) == (1, 1)
    assert code(admin, admin.token(worker(admin))) == "allowed"


def keys_of(api: Api) -> list[Any]:
    found, cursor = [], None
    while True:
        page = api.get("/v1/keys", params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        found += [key for key in page["items"] if key["use"] == "token"]
        if not page["hasMore"]:
            return found
        cursor = page["nextCursor"]


MASTER = "the-master-key-of-this-test-0123456789"


def test_the_master_key_stands_in_no_file_and_no_line(tmp_path: Path) -> None:
    with Server(tmp_path, {"ACT_MASTER_KEY": MASTER}) as server, server.api() as api:
        token = api.token(worker(api))
        api.post("/v1/keys/rotate", status=200)
        assert code(api, token) == "allowed"
        server.restart()
        with server.api() as again:
            assert code(again, token) == "allowed"
        server.stop()
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert MASTER.encode() not in path.read_bytes(), path
                assert b"BEGIN PRIVATE KEY" not in path.read_bytes(), path
    for environment, words in (({}, "set ACT_MASTER_KEY"), ({"ACT_MASTER_KEY": "x" * 40}, "another master key")):
        wrong = Server(tmp_path, environment)
        with pytest.raises(RuntimeError, match=words):
            wrong.start()
        assert "Traceback" not in wrong.log


def test_plain_keys_are_encrypted_when_a_master_key_is_given(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.api() as api:
        token = api.token(worker(api))
    with Server(tmp_path, {"ACT_MASTER_KEY": MASTER}) as server, server.api() as api:
        assert "encrypted 3 private keys" in server.log
        assert code(api, token) == "allowed"
        for path in server.database.with_name("act.db.keys").glob("*.pem"):
            assert path.read_bytes().startswith(b"-----BEGIN ACT ENCRYPTED PRIVATE KEY-----")
            assert path.stat().st_mode & 0o777 == 0o600
