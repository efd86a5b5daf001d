"""Tokens that are narrowed, rotated, looked at, and handed down, from the command line."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from act import ProofKey

from .conftest import Ctl
from .test_management import new_agent

TASKS = "api://tasks/*"


@pytest.fixture(scope="module")
def team(ctl: Ctl) -> dict[str, str]:
    """The ids of a planner that may hand tasks down, and of an executor that may execute what it was handed."""
    role = uuid4().hex
    planner = ctl.json("agents", "create", f"planner {role}", "--role", f"p{role}")["id"]
    executor = ctl.json("agents", "create", f"executor {role}", "--role", f"e{role}")["id"]
    drafts: list[dict[str, Any]] = [
        {"name": "hand down", "actions": ["execute"], "resources": [TASKS], "appliesTo": {"roles": [f"p{role}"]},
         "grants": ["delegate"], "delegation": {"to": {"roles": [f"e{role}"]}, "maxDepth": 2}},
        {"name": "execute", "actions": ["execute"], "resources": [TASKS], "appliesTo": {"roles": [f"e{role}"]},
         "constraints": {"requiresDelegation": True}},
    ]  # fmt: skip
    for number, draft in enumerate(drafts):
        file = ctl.folder / f"{number}.json"
        file.write_text(json.dumps(draft))
        ctl("policies", "create", file).ok()
    return {"planner": planner, "executor": executor, "name": f"executor {role}"}


def issued(ctl: Ctl, agent: str, *more: object) -> dict[str, Any]:
    return dict(ctl.json("tokens", "issue", agent, *more))


def test_a_token_that_is_narrowed(ctl: Ctl, team: dict[str, str]) -> None:
    facts = ctl.folder / "facts.yaml"
    facts.write_text("recipients: [ann@example.com]\nrows: 3\n")
    made = issued(
        *(ctl, team["planner"], "--scope", "plan,read:api://a/*,api://b", "--scope", "send:mail://*"),
        *("--task", "ticket-7", "--facts", facts, "--on-behalf-of", "ann", "--policy", "pol_none"),
    )
    shown = ctl.json("tokens", "show", made["tokenId"])
    assert shown["scope"] == [
        {"actions": ["plan", "read"], "resources": ["api://a/*", "api://b"]},
        {"actions": ["send"], "resources": ["mail://*"]},
    ]
    assert shown["task"] == {"id": "ticket-7", "facts": {"recipients": ["ann@example.com"], "rows": 3}}
    assert (shown["onBehalfOf"], shown["policyIds"]) == ("ann", ["pol_none"])
    assert made["warnings"][0]["code"] == "policies_do_not_apply"
    words = ctl("tokens", "show", made["tokenId"]).ok().out
    assert "plan,read:api://a/*,api://b, send:mail://*" in words
    assert "ticket-7" in words


def test_a_scope_from_a_file_and_a_key(ctl: Ctl, team: dict[str, str]) -> None:
    scope, jwk = ctl.folder / "scope.json", ctl.folder / "key.json"
    scope.write_text('[{"actions": ["a:b"], "resources": ["r,s"]}]')
    jwk.write_text(json.dumps(ProofKey.generate().public_jwk))
    made = issued(ctl, team["planner"], "--scope-file", scope, "--bind-to", jwk)
    shown = ctl.json("tokens", "show", made["tokenId"])
    assert shown["scope"] == [{"actions": ["a:b"], "resources": ["r,s"]}]
    assert shown["boundToKey"] is True
    asked = ctl("enforce", "plan", "api://a", ACT_TOKEN=made["token"], stdin="")
    assert asked.code == 3
    assert "proof_required" in asked.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scope", "read"), "ACTIONS:RESOURCES"),
        (("--scope", ":api://x"), "ACTIONS:RESOURCES"),
        (("--scope", "read,:api://x"), "ACTIONS:RESOURCES"),
        (("--scope", "read:"), "ACTIONS:RESOURCES"),
        (("--scope", "a:b", "--scope-file", "facts.txt"), "not both"),
        (("--scope-file", "facts.txt"), "a list of objects"),
        (("--facts", "list.txt", "--task", "t"), "must be an object"),
        (("--facts", "nowhere.txt", "--task", "t"), "nowhere.txt"),
        (("--bind-to", "list.txt"), "public JWK"),
        (("--bind-to", "list.txt", "--bind", "some.key"), "not both"),
    ],
)
def test_what_cannot_be_meant(ctl: Ctl, arguments: tuple[str, ...], said: str) -> None:
    (ctl.folder / "facts.txt").write_text("a: 1\n")
    (ctl.folder / "list.txt").write_text("- 1\n")
    run = ctl("tokens", "issue", "nobody", *arguments)
    assert run.code == 2
    assert said in " ".join(run.err.split())
    assert run.out == ""


def test_facts_of_no_task(ctl: Ctl, team: dict[str, str]) -> None:
    (ctl.folder / "facts.txt").write_text("a: 1\n")
    run = ctl("tokens", "issue", team["planner"], "--facts", "facts.txt")
    assert run.code == 1
    assert "facts belong to a task" in run.err


def test_rotation(ctl: Ctl, team: dict[str, str]) -> None:
    first = issued(ctl, team["planner"], "--expires-in", "100")
    second = ctl.json("tokens", "rotate", first["tokenId"], "--grace", "0", "--expires-in", "50")
    assert second["node"] == first["node"]
    assert second["token"] != first["token"]
    shown = ctl.json("tokens", "show", first["tokenId"])
    assert shown["status"] == "superseded"
    assert ctl.json("tokens", "introspect", stdin=second["token"])["active"] is True
    again = ctl("tokens", "rotate", first["tokenId"])
    assert again.code == 1
    assert "(token_superseded, 409)" in again.err
    assert ctl.json("tokens", "introspect", stdin=second["token"])["active"] is True, "nobody has shown the old one"
    reused = ctl("tokens", "rotate", first["tokenId"], "--token-file", "-", stdin=first["token"])
    assert reused.code == 1
    assert "(token_superseded, 422)" in reused.err
    assert ctl.json("tokens", "introspect", stdin=second["token"]) == {"active": False}


def test_whoever_holds_a_token_may_rotate_it(ctl: Ctl, team: dict[str, str]) -> None:
    made = issued(ctl, team["planner"])
    key = ctl.json("api-keys", "create", "own", "--scope", "enforce", "--agent", team["planner"])["key"]
    without = ctl("tokens", "rotate", made["tokenId"], ACT_API_KEY=key)
    assert without.code == 1
    assert "scope_missing" in without.err
    file = ctl.folder / "next.token"
    run = ctl(
        *("tokens", "rotate", made["tokenId"], "--token-file", "-", "--save", file),
        stdin=made["token"] + "\n",
        ACT_API_KEY=key,
    ).ok()
    assert made["token"] not in run.out + run.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert ctl.json("tokens", "introspect", "--token-file", file)["client_id"] == team["planner"]


def test_how_long_a_holder_may_renew(ctl: Ctl, team: dict[str, str]) -> None:
    key = ctl.json("api-keys", "create", "own", "--scope", "enforce", "--agent", team["planner"])["key"]

    def renewed(made: dict[str, Any]) -> float:
        """For how long the holder of a token can have the next one, who asks for 300 s."""
        rotate = ("tokens", "rotate", made["tokenId"], "--expires-in", "300", "--token-file", "-")
        answer = ctl.json(*rotate, stdin=made["token"], ACT_API_KEY=key)
        return ctl.json("tokens", "introspect", stdin=answer["token"])["exp"] - time.time()

    assert renewed(issued(ctl, team["planner"], "--expires-in", "60")) <= 60
    assert 200 < renewed(issued(ctl, team["planner"], "--expires-in", "60", "--renew-for", "600")) <= 300
    assert 100 < renewed(issued(ctl, team["planner"], "--expires-in", "60", "--renew-for", "200")) <= 200
    beyond = ctl("tokens", "issue", team["planner"], "--expires-in", "60", "--renew-for", "86401s")
    assert (beyond.code, beyond.out) == (1, "")
    assert "/renewFor" in beyond.err


def test_how_long_a_child_may_be_renewed(ctl: Ctl, team: dict[str, str]) -> None:
    key = ctl.json("api-keys", "create", "own", "--scope", "enforce", "--agent", team["executor"])["key"]
    parent = issued(ctl, team["planner"], "--expires-in", "PT1H")
    create = ("delegations", "create", team["name"], "--scope", f"execute:{TASKS}", "--expires-in", "60")
    for more, least, most in (((), 0, 60), (("--renew-for", "600"), 200, 300)):
        child = ctl.json(*create, *more, stdin=parent["token"])
        rotate = ("tokens", "rotate", child["tokenId"], "--expires-in", "5m", "--token-file", "-")
        answer = ctl.json(*rotate, stdin=child["token"], ACT_API_KEY=key)
        assert least < ctl.json("tokens", "introspect", stdin=answer["token"])["exp"] - time.time() <= most


def test_introspection(ctl: Ctl, team: dict[str, str]) -> None:
    made = issued(ctl, team["planner"], "--task", "t", "--scope", "a:b")
    run = ctl("tokens", "introspect", stdin=made["token"]).ok()
    lines = dict(line.split(maxsplit=1) for line in run.out.splitlines() if "  " in line)
    assert lines["active"] == "yes"
    assert made["tokenId"] in run.out
    assert "a:b" in run.out
    assert made["token"] not in run.out + run.err
    assert ctl.json("tokens", "introspect", stdin="nonsense") == {"active": False}
    assert ctl("tokens", "introspect", stdin="").code == 1


def test_handing_down(ctl: Ctl, team: dict[str, str]) -> None:
    parent = issued(ctl, team["planner"], "--expires-in", "10m", "--task", "t7")
    create = ("delegations", "create", team["name"], "--scope", "execute:api://tasks/4*")
    made = ctl.json(
        *(*create, "--expires-in", "60", "--task", "t7", "--grant", "use", "--grant", "delegate"),
        *("--to-agent", team["planner"], "--max-depth", "1"),
        stdin=parent["token"],
    )
    assert made["agentId"] == team["executor"]
    assert ctl("enforce", "execute", "api://tasks/42", "--token-file", "-", stdin=made["token"]).code == 0
    beyond = ctl("enforce", "execute", "api://tasks/5", "--token-file", "-", stdin=made["token"])
    assert beyond.code == 3
    assert "chain_scope_exceeded" in beyond.out
    own = ctl("enforce", "execute", "api://tasks/42", ACT_TOKEN=issued(ctl, team["executor"])["token"])
    assert "delegation_required" in own.out

    second = ctl(*create, stdin=parent["token"]).ok()
    assert second.out.count(".") == 2
    assert second.out.strip() not in second.err

    tree = ctl.json("delegations", "tree", parent["tokenId"])
    assert [child["agentId"] for child in tree["children"]] == [team["executor"]] * 2
    drawn = ctl("delegations", "tree", parent["tokenId"], PYTHONIOENCODING="utf-8").ok().out.splitlines()
    assert drawn[0].startswith(f"{team['planner']}  active  until ")
    assert "everything  may use and delegate" in drawn[0]
    assert drawn[1].startswith(f"├─ {team['executor']}  active")
    assert "execute:api://tasks/4*  may use and delegate" in drawn[1]
    assert drawn[2].startswith(f"└─ {team['executor']}  active")
    assert "may" not in drawn[2]
    plain = ctl("delegations", "tree", parent["tokenId"], PYTHONIOENCODING="ascii").ok().out.splitlines()
    assert [line[:3] for line in plain[1:]] == ["|- ", "`- "]

    revoked = ctl("tokens", "revoke", parent["tokenId"], "--yes").ok().out
    assert dict(line.rsplit(maxsplit=1) for line in revoked.splitlines())["handed down"] == "2"
    assert ctl.json("delegations", "tree", made["tokenId"])["status"] == "revoked"
    after = ctl("enforce", "execute", "api://tasks/42", "--token-file", "-", stdin=made["token"])
    assert "token_revoked" in after.out


def test_what_is_not_handed_down(ctl: Ctl, team: dict[str, str]) -> None:
    parent = issued(ctl, team["planner"])
    run = ctl("delegations", "create", team["name"], "--scope", "delete:api://tasks/*", stdin=parent["token"])
    assert run.code == 1
    assert "(delegation_exceeds_parent, 422)" in run.err
    assert "/scope/0/actions/0: " in run.err
    assert ctl("delegations", "create", team["name"], stdin=parent["token"]).code == 2
    assert ctl("delegations", "create", team["name"], "--scope", "a:b", stdin="").code == 1
    assert ctl("delegations", "create", str(new_agent(ctl)["name"]), "--scope", "a:b", stdin="x.y.z").code == 1


def test_no_command_takes_a_token_as_an_argument(ctl: Ctl) -> None:
    for command in (("tokens", "introspect"), ("delegations", "create")):
        usage = ctl(*command, "--help").ok().out
        assert "stdin" in usage
        assert "TOKEN " not in usage.splitlines()[0]


# --- tokens that are bound to a key ---


@pytest.fixture(scope="module")
def key_file(ctl: Ctl) -> Path:
    """A key in a file, as `tokens new-key` makes it."""
    file = ctl.folder / "mailer.key"
    ctl("tokens", "new-key", file).ok()
    return file


def read_by_the_client(file: Path) -> dict[str, str]:
    return ProofKey.from_pem(file.read_bytes()).public_jwk


def test_a_new_key(ctl: Ctl) -> None:
    file = ctl.folder / "new.key"
    run = ctl("tokens", "new-key", file, ACT_BASE_URL="http://127.0.0.1:1", ACT_API_KEY="").ok()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run.json() == read_by_the_client(file)
    pem = file.read_text()
    assert pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert pem.splitlines()[1] not in run.out + run.err
    assert set(run.json()) == {"kty", "crv", "x"}
    again = ctl("tokens", "new-key", file)
    assert (again.code, again.out) == (1, "")
    assert "is there already" in again.err
    assert file.read_text() == pem


def test_every_key_is_another(ctl: Ctl) -> None:
    one, other = (ctl("tokens", "new-key", ctl.folder / f"{uuid4().hex}.key").ok().json() for _ in range(2))
    assert one != other


def test_a_bound_token_is_used_with_its_key(ctl: Ctl, team: dict[str, str], key_file: Path) -> None:
    parent = issued(ctl, team["planner"])
    create = ("delegations", "create", team["name"], "--scope", f"execute:{TASKS}", "--bind", key_file)
    token = ctl.json(*create, stdin=parent["token"])["token"]
    ask = ("enforce", "execute", "api://tasks/1", "--arguments", '{"b": 1.0, "a": "\u00e9"}', "--token-file", "-")
    allowed = ctl(*ask, "--proof-key", key_file, stdin=token)
    assert allowed.code == 0, allowed.out + allowed.err
    without = ctl(*ask, stdin=token)
    assert without.code == 3
    assert "proof_required" in without.out
    ctl("tokens", "new-key", ctl.folder / "other.key").ok()
    wrong = ctl(*ask, "--proof-key", ctl.folder / "other.key", stdin=token)
    assert wrong.code == 3
    assert "proof_invalid" in wrong.out
    assert ctl.json("tokens", "introspect", stdin=token)["token_type"] == "proof"


def test_the_public_half_is_enough_to_bind_to(ctl: Ctl, team: dict[str, str], key_file: Path) -> None:
    jwk = ctl.folder / "mailer.jwk"
    jwk.write_text(json.dumps(read_by_the_client(key_file)))
    for bind in (("--bind", key_file), ("--bind-to", jwk)):
        token = issued(ctl, team["planner"], *bind)["token"]
        run = ctl("enforce", "plan", "api://a", "--proof-key", key_file, ACT_TOKEN=token)
        assert run.code == 3
        assert "no_matching_policy" in run.out, "the proof is good, and the right is not there"


def test_a_bound_token_is_handed_down_with_its_key(ctl: Ctl, team: dict[str, str], key_file: Path) -> None:
    parent = issued(ctl, team["planner"], "--bind", key_file)
    ctl("tokens", "new-key", ctl.folder / "child.key").ok()
    create = ("delegations", "create", team["name"], "--scope", f"execute:{TASKS}")
    bound = ("--bind", ctl.folder / "child.key")
    unproved = ctl(*create, *bound, stdin=parent["token"])
    assert unproved.code == 1
    assert "(proof_required, 403)" in unproved.err
    unbound = ctl(*create, "--proof-key", key_file, stdin=parent["token"])
    assert unbound.code == 1
    assert "/cnf" in unbound.err
    child = ctl.json(*create, *bound, "--proof-key", key_file, stdin=parent["token"])
    ask = ("enforce", "execute", "api://tasks/1", "--token-file", "-", "--proof-key")
    assert ctl(*ask, ctl.folder / "child.key", stdin=child["token"]).code == 0
    assert ctl(*ask, key_file, stdin=child["token"]).code == 3


def test_a_bound_token_is_renewed_with_its_key(ctl: Ctl, team: dict[str, str], key_file: Path) -> None:
    made = issued(ctl, team["planner"], "--bind", key_file)
    key = ctl.json("api-keys", "create", "own", "--scope", "enforce", "--agent", team["planner"])["key"]
    rotate = ("tokens", "rotate", made["tokenId"], "--token-file", "-")
    unproved = ctl(*rotate, stdin=made["token"], ACT_API_KEY=key)
    assert unproved.code == 1
    assert "(proof_required, 403)" in unproved.err
    then = ctl.json(*rotate, "--proof-key", key_file, "--grace", "0", stdin=made["token"], ACT_API_KEY=key)
    assert then["node"] == made["node"]
    assert ctl.json("tokens", "show", then["tokenId"])["boundToKey"] is True
    alone = ctl("tokens", "rotate", then["tokenId"], "--proof-key", key_file)
    assert alone.code == 2
    assert "--token-file" in alone.err


def bad_key(file: Path, what: str, good: Path) -> None:
    """Make `file` something that is no key of ours, or none that may be used."""
    pem = good.read_bytes()
    if what == "readable by others":
        file.write_bytes(pem)
        file.chmod(0o640)
        return
    kinds: dict[str, bytes] = {
        "empty": b"",
        "cut off": pem[:60],
        "a token": b"a.b.c",
        "another kind": ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "encrypted": ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        ),
        "public": serialization.load_pem_private_key(pem, None)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    }
    file.write_bytes(kinds[what])
    file.chmod(0o600)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("readable by others", "can be read by others; run: chmod 600"),
        ("missing", "cannot be read: No such file"),
        ("empty", "not an Ed25519 private key"),
        ("cut off", "not an Ed25519 private key"),
        ("a token", "not an Ed25519 private key"),
        ("another kind", "not an Ed25519 private key"),
        ("encrypted", "not an Ed25519 private key"),
        ("public", "not an Ed25519 private key"),
    ],
)
def test_what_is_no_key_is_not_used(ctl: Ctl, key_file: Path, what: str, said: str) -> None:
    """And nothing is asked: the server of this address would answer nobody."""
    file = ctl.folder / f"{uuid4().hex}.key"
    if what != "missing":
        bad_key(file, what, key_file)
    nowhere = {"ACT_BASE_URL": "http://127.0.0.1:1"}
    for run in (
        ctl("enforce", "a", "b", "--proof-key", file, ACT_TOKEN="a.b.c", **nowhere),
        ctl("tokens", "issue", "mailer", "--bind", file, **nowhere),
        ctl("tokens", "rotate", "tok_1", "--token-file", "-", "--proof-key", file, stdin="a.b.c", **nowhere),
        ctl("delegations", "create", "x", "--scope", "a:b", "--proof-key", file, stdin="a.b.c", **nowhere),
    ):
        assert (run.code, run.out) == (1, "")
        assert said in " ".join(run.err.split())
        assert "BEGIN" not in run.err
