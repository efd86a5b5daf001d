"""Tokens that are narrowed, rotated, looked at, and handed down, from the command line."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

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
    parent = issued(ctl, team["planner"], "--expires-in", "600", "--task", "t7")
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
