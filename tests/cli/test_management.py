"""Agents, policies, tokens, keys and approvals: what is printed, and how people are told what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Ctl


def new_agent(ctl: Ctl, **more: Any) -> dict[str, Any]:
    return dict(ctl.json("agents", "create", f"agent {uuid4().hex}", **more))


def new_policy(ctl: Ctl, action: str, resource: str, *more: str) -> dict[str, Any]:
    name = f"policy {uuid4().hex}"
    return dict(ctl.json("policies", "create", "--name", name, "--action", action, "--resource", resource, *more))


# --- agents ---


def test_an_agent_from_birth_to_death_by_name(ctl: Ctl) -> None:
    name = f"Agent {uuid4().hex}"
    made = ctl.json(
        *("agents", "create", name, "--role", "one", "--role", "two", "--metadata", "team=blue"),
        *("--description", "What it does."),
    )
    assert made["roles"] == ["one", "two"]
    assert made["metadata"] == {"team": "blue"}
    assert made["description"] == "What it does."
    assert ctl.json("agents", "show", name) == ctl.json("agents", "show", made["id"]) == made

    changed = ctl.json("agents", "update", name, "--role", "three", "--no-metadata")
    assert changed["roles"] == ["three"]
    assert changed["metadata"] == {}
    assert changed["description"] == "What it does."
    assert ctl.json("agents", "suspend", name)["status"] == "suspended"
    assert ctl.json("agents", "resume", name)["status"] == "active"
    ctl("tokens", "issue", name).ok()
    assert ctl.json("agents", "revoke-tokens", name, "--yes")["revoked"] == 1
    assert [token["status"] for token in ctl.json("tokens", "list", "--agent", name)] == ["revoked"]

    assert ctl.json("agents", "delete", name, "--yes") == {"id": made["id"], "deleted": True}
    gone = ctl("agents", "show", made["id"])
    assert gone.code == 1
    assert "(not_found, 404)" in gone.err


def test_a_table_in_a_pipe_is_plain_and_complete(ctl: Ctl) -> None:
    made = ctl.json("agents", "create", f"{'long name ' * 9}{uuid4().hex}", "--role", "role")
    table = ctl("agents", "list").ok()
    heading, *lines = table.out.splitlines()
    assert heading.split() == ["ID", "NAME", "ROLES", "STATUS"]
    (line,) = (line for line in lines if line.startswith(made["id"]))
    assert made["name"] in line
    assert "\x1b" not in table.out
    assert line[heading.index("ROLES") :].split() == ["role", "active"]


def test_shared_options_may_stand_anywhere_and_the_last_wins(ctl: Ctl) -> None:
    name = new_agent(ctl)["name"]
    for arguments in (
        ("-o", "json", "agents", "show", name),
        ("agents", "--output", "json", "show", name),
        ("-o", "table", "--url", "http://127.0.0.1:9", "agents", "show", name, "-o", "json", "--url", ctl.url),
    ):
        assert ctl(*arguments).ok().json()["name"] == name


def test_faults_are_all_listed_with_their_pointers(ctl: Ctl) -> None:
    run = ctl("agents", "create", "x" * 200, "--id", "-bad-", "--role", " r")
    assert run.code == 1
    assert run.out == ""
    assert run.err.startswith("Error: ")
    for pointer in ("/name: ", "/id: ", "/roles/0: "):
        assert f"\n  {pointer}" in run.err


def test_a_conflict_is_told(ctl: Ctl) -> None:
    made = new_agent(ctl)
    run = ctl("agents", "create", made["name"])
    assert run.code == 1
    assert ", 409)" in run.err


@pytest.mark.parametrize(
    "wrong",
    [
        ("agents", "update", "a"),
        ("agents", "update", "a", "--role", "r", "--no-roles"),
        ("agents", "create", "a", "--metadata", "no-equals"),
        ("agents", "fly"),
        ("policies", "create"),
        ("policies", "create", "-", "--name", "n"),
        ("api-keys", "create", "k"),
        ("api-keys", "create", "k", "--scope", "everything"),
        ("keys", "rotate", "--algorithm", "HS256"),
        ("approvals", "reject", "apr_x"),
        ("enforce", "a", "b", "--token-file", "/does/not/exist"),
        ("outcome", "dec_x", "fine"),
    ],
)
def test_wrong_usage_exits_with_2(ctl: Ctl, wrong: tuple[str, ...]) -> None:
    run = ctl(*wrong)
    assert run.code == 2
    assert run.out == ""
    assert "Usage: actctl " in run.err


@pytest.mark.parametrize(
    ("group", "verb"), [("agents", "delete"), ("agents", "revoke-tokens"), ("tokens", "revoke"), ("policies", "delete")]
)
def test_what_cannot_be_undone_is_not_done_without_a_yes(ctl: Ctl, group: str, verb: str) -> None:
    agent = new_agent(ctl)["id"]
    id = {
        "agents": lambda: agent,
        "tokens": lambda: ctl.json("tokens", "issue", agent)["tokenId"],
        "policies": lambda: new_policy(ctl, "a", "r", "--agent", agent)["id"],
    }[group]()
    run = ctl(group, verb, id)
    assert run.code == 2
    assert "--yes" in run.err
    assert ctl.json(group, "show", id).get("status", "active") == "active"


# --- policies ---


def test_a_policy_from_a_file_and_its_versions(ctl: Ctl, tmp_path: Path) -> None:
    document = {
        "name": f"policy {uuid4().hex}",
        "actions": ["read"],
        "resources": ["api://a/*"],
        "appliesTo": {"roles": ["reader"]},
    }
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(document))
    made = ctl("policies", "create", file, "-o", "json").ok()
    assert made.json()["binding"] == "explicit"
    assert "Warning: " in made.err
    assert "(applies_to_nobody)" in made.err
    id = made.json()["id"]

    next_one = json.dumps(document | {"actions": ["read", "list"], "constraints": {"maxConcurrentTasks": 2}})
    replaced = ctl.json("policies", "replace", id, "-", stdin=next_one)
    assert replaced["version"] == 2
    assert replaced["constraints"] == {"maxConcurrentTasks": 2}
    assert ctl.json("policies", "show", id) == replaced
    ctl("policies", "delete", id, "--yes").ok()
    assert [policy["version"] for policy in ctl.json("policies", "versions", id)] == [1, 2]
    assert id not in ctl("policies", "list").ok().out


def test_a_policy_by_options(ctl: Ctl) -> None:
    agent = new_agent(ctl)
    made = ctl.json(
        *("policies", "create", "--name", f"policy {uuid4().hex}", "--action", "a", "--action", "b"),
        *("--resource", "r", "--role", "one", "--agent", agent["name"], "--effect", "allow", "--description", "why"),
        *("--require-approval", "--max-concurrent", "3"),
    )
    assert made["actions"] == ["a", "b"]
    assert made["appliesTo"] == {"roles": ["one"], "agentIds": [agent["id"]]}
    assert made["constraints"] == {"requiresApproval": True, "maxConcurrentTasks": 3}
    assert made["description"] == "why"
    assert new_policy(ctl, "x", "y", "--effect", "deny", "--role", "nobody-has-it")["effect"] == "deny"


def test_a_policy_for_everybody_is_warned_of_on_stderr(ctl: Ctl) -> None:
    id = f"id-{uuid4().hex}"
    run = ctl("policies", "create", "--id", id, "--name", "zzz", "--action", "none", "--resource", "none").ok()
    ctl("policies", "delete", id, "--yes").ok()
    assert "Applies to every agent: the policy names nobody." in run.err
    assert "(applies_to_everybody)" in run.err
    assert "Warning" not in run.out


def test_a_policy_that_is_no_json_names_what_is_wrong(ctl: Ctl) -> None:
    assert "Invalid value" in ctl("policies", "create", "-", stdin="{").err
    twice = ctl("policies", "create", "-", stdin='{"name": "a", "name": "b"}')
    assert twice.code == 2
    assert "/name: The key occurs twice" in twice.err
    unknown = ctl("policies", "create", "-", stdin='{"name": "a", "actions": ["a"], "resources": ["r"], "wenn": "x"}')
    assert unknown.code == 1
    assert "\n  /wenn: " in unknown.err


def test_a_policy_in_yaml(ctl: Ctl, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f'name: policy {uuid4().hex}\nactions: [read]\nresources: ["api://a/*"]\neffect: deny\n')
    made = ctl.json("policies", "create", file)
    assert (made["effect"], made["actions"]) == ("deny", ["read"])
    file.write_text(file.read_text().replace("[read]", "[read, list]"))
    assert ctl.json("policies", "replace", made["id"], file)["actions"] == ["read", "list"]
    ctl("policies", "delete", made["id"], "--yes").ok()
    for text, fault in (("a: 1\na: 2", "/a: Line 2"), ("- a", "name: value"), ("a: [", "cannot be read")):
        file.write_text(text)
        run = ctl("policies", "create", file)
        assert (run.code, fault in run.err) == (2, True), run.err


# --- tokens and keys ---


def test_a_token_stands_alone_on_stdout(ctl: Ctl) -> None:
    agent = new_agent(ctl)
    run = ctl("tokens", "issue", agent["name"]).ok()
    token, end = run.out.split("\n")
    assert end == ""
    assert len(token.split(".")) == 3
    assert token not in run.err
    assert "(no_policies)" in run.err
    (shown,) = ctl.json("tokens", "list", "--agent", agent["id"])
    assert shown["status"] == "active"
    assert ctl.json("tokens", "show", shown["id"]) == shown
    assert ctl("tokens", "issue", "nobody").err == (
        "Error: There is no agent with the id or the name 'nobody' in this tenant.\n"
    )


def test_a_saved_token_is_its_owners_alone(ctl: Ctl, tmp_path: Path) -> None:
    agent, file = new_agent(ctl), tmp_path / "token"
    file.write_text("the former one")
    file.chmod(0o644)
    run = ctl("tokens", "issue", agent["id"], "--save", file, "-o", "json").ok()
    assert "token" not in run.json()
    assert file.stat().st_mode & 0o777 == 0o600
    token = file.read_text().strip()
    assert token not in run.out + run.err
    assert list(tmp_path.iterdir()) == [file]
    asked = ctl("enforce", "a", "b", "--token-file", file, "-o", "json")
    assert (asked.code, asked.json()["agentId"]) == (3, agent["id"])
    piped = ctl("enforce", "a", "b", "--token-file", "-", "-o", "json", stdin=token)
    assert piped.json()["reasonCode"] == asked.json()["reasonCode"] == "no_matching_policy"


def test_a_token_is_not_issued_when_it_could_not_be_saved(ctl: Ctl, tmp_path: Path) -> None:
    agent = new_agent(ctl)["id"]
    for place in (tmp_path / "no" / "folder", tmp_path):
        run = ctl("tokens", "issue", agent, "--save", place)
        assert run.code == 1
        assert str(place) in run.err
    assert ctl.json("tokens", "list", "--agent", agent) == []


def test_a_key_does_what_its_scopes_say_until_it_is_revoked(ctl: Ctl, tmp_path: Path) -> None:
    agent, file = new_agent(ctl), tmp_path / "key"
    made = ctl.json("api-keys", "create", "reader", "--scope", "audit", "--scope", "tokens", "--save", file)
    bound = ctl.json(
        "api-keys", "create", "bound", "--scope", "enforce", "--agent", agent["name"], "--expires-in", "60"
    )
    assert bound["agentId"] == agent["id"]
    assert bound["key"].startswith(f"act_{bound['prefix']}_")
    assert made["scopes"] == ["audit", "tokens"]
    assert "key" not in made

    ctl("audit", "list", "--api-key-file", file, "--limit", "1").ok()
    # It may not look names up, and an id needs no look.
    ctl("tokens", "issue", agent["id"], "--api-key-file", file).ok()
    refused = ctl("agents", "list", "--api-key-file", file)
    assert refused.code == 1
    assert "(scope_missing, 403)" in refused.err
    ctl("api-keys", "revoke", made["id"], "--yes").ok()
    gone = ctl("audit", "list", "--api-key-file", file)
    assert gone.code == 1
    assert "(api_key_invalid, 401)" in gone.err
    assert "ACT_API_KEY" in gone.err
    assert {made["id"], bound["id"]} <= {key["id"] for key in ctl.json("api-keys", "list")}
    assert bound["key"] not in ctl("api-keys", "list").out


def test_signing_keys_are_listed_rotated_and_revoked(ctl: Ctl) -> None:
    def statuses() -> dict[str, str]:
        return {key["kid"]: key["status"] for key in ctl.json("keys", "list") if key["use"] == "token"}

    following = next(kid for kid, status in statuses().items() if status == "next")
    rotated = ctl.json("keys", "rotate")
    assert (rotated["kid"], rotated["status"]) == (following, "active")
    chosen = ctl.json("keys", "rotate", "--algorithm", "EdDSA")
    assert chosen["algorithm"] == "EdDSA"
    assert (statuses()[following], statuses()[chosen["kid"]]) == ("retiring", "active")

    refused = ctl("keys", "revoke", chosen["kid"])
    assert refused.code == 2
    assert statuses()[chosen["kid"]] == "active"
    assert ctl.json("keys", "revoke", chosen["kid"], "--yes")["kid"] == chosen["kid"]
    assert statuses()[chosen["kid"]] == "gone"
    assert list(statuses().values()).count("active") == 1
    unknown = ctl("keys", "revoke", "0000", "--yes")
    assert unknown.code == 1
    assert "(not_found, 404)" in unknown.err


# --- decisions and approvals ---


def test_an_approver_sees_exactly_what_would_run(ctl: Ctl, tmp_path: Path) -> None:
    agent = new_agent(ctl)["id"]
    new_policy(ctl, "run", "x", "--require-approval", "--agent", agent)
    token = ctl("tokens", "issue", agent).ok().out.strip()
    arguments = {"command": "rm \u202etxt.exe\u001b[2K\u200b\r", "fine": "Grüße"}
    file = tmp_path / "arguments.json"
    file.write_text(json.dumps(arguments, ensure_ascii=False))
    asked = ctl("enforce", "run", "x", "--arguments", f"@{file}", "--context", '{"why": "test"}', ACT_TOKEN=token)
    assert asked.code == 4
    (approval,) = ctl.json("approvals", "list", "--status", "pending")
    assert f"actctl approvals show {approval['id']}" in asked.err

    shown = ctl("approvals", "show", approval["id"]).ok().out
    assert '"command": "rm \\u202etxt.exe\\u001b[2K\\u200b\\r"' in shown
    assert '"fine": "Grüße"' in shown
    assert '"why": "test"' in shown
    assert not set(shown) & set("\u202e\u001b\u200b\r")
    assert ctl.json("approvals", "show", approval["id"])["arguments"] == arguments

    own = ctl("approvals", "approve", approval["id"])
    assert own.code == 1
    assert "(own_request, 403)" in own.err


def test_a_dry_run_says_that_nothing_may_run(ctl: Ctl) -> None:
    agent = new_agent(ctl)["id"]
    new_policy(ctl, "go", "x", "--max-concurrent", "1", "--agent", agent)
    token = ctl("tokens", "issue", agent).ok().out.strip()
    for _ in range(2):
        run = ctl("enforce", "go", "x", "--dry-run", "-o", "json", ACT_TOKEN=token)
        assert (run.code, run.json()["reasonCode"], run.json()["dryRun"]) == (0, "allowed", True)
        assert "nothing may run on it" in run.err
    real = ctl("enforce", "go", "x", "--request-id", "mine", ACT_TOKEN=token)
    assert real.code == 0
    assert "actctl outcome dec_" in real.err
    same = ctl("enforce", "go", "x", "--request-id", "mine", "-o", "json", ACT_TOKEN=token).json()
    assert same["replayed"] is True


def test_without_a_decision_the_answer_is_an_error_and_never_0(ctl: Ctl) -> None:
    nobody = ctl("--url", "http://127.0.0.1:9", "enforce", "a", "b", ACT_TOKEN="x.y.z")
    assert nobody.code == 1
    assert "http://127.0.0.1:9" in nobody.err
    assert ctl("enforce", "a", "b", ACT_TOKEN="").code == 2
    assert ctl("enforce", "a", "b", "--arguments", "[1]", ACT_TOKEN="x.y.z").code == 2
    bad_key = ctl("enforce", "a", "b", ACT_TOKEN="x.y.z", ACT_API_KEY="wrong")
    assert bad_key.code == 1
    assert "(api_key_invalid, 401)" in bad_key.err
