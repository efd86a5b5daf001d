"""`actctl templates`: what the role templates allow, and what applying one writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from act.cli.templates import NAMES, template, template_text
from act.policies.bundle import all_warnings, read_bundle
from tests.conformance.bearers import Bearer
from tests.conformance.targets import PureEngine
from tests.support import ADMIN_KEY, Server

from .conftest import Ctl

RIGHTS = {
    "workflow-automation": {
        "planner": {"read", "plan"},
        "executor": {"execute", "update"},
        "monitor": {"read"},
    },
    "data-pipeline": {
        "validator": {"read", "validate"},
        "processor": {"read", "process"},
        "writer": {"write", "append"},
    },
    "customer-service": {
        "triage": {"read", "categorize"},
        "resolver": {"read", "update", "resolve"},
        "manager": {"escalate", "override"},
    },
}
RESOURCES = {
    "workflow-automation": "api://tasks/7",
    "data-pipeline": "data://set/7",
    "customer-service": "tickets://7",
}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Ctl]:
    """`actctl` at a server of the test's own."""
    with Server(tmp_path) as server:
        yield Ctl({"ACT_BASE_URL": server.url, "ACT_API_KEY": ADMIN_KEY}, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_each_role_may_do_its_own_and_nothing_else(name: str) -> None:
    engine = PureEngine()
    roles = RIGHTS[name]
    for role in roles:
        engine.register({"name": role, "roles": [role]})
    engine.register({"name": "stranger", "roles": ["stranger"]})
    for policy in template(name)["policies"]:
        engine.write(policy)
    every = set().union(*(actions for rights in RIGHTS.values() for actions in rights.values())) | {"delete"}
    for agent in (*roles, "stranger"):
        for action in every:
            for resource in (RESOURCES[name], "api://elsewhere/7"):
                answer = engine.ask(Bearer(({"agent": agent},)), action, resource, None, None)
                may = action in roles.get(agent, set()) and resource == RESOURCES[name]
                assert answer.reason_code == ("allowed" if may else "no_matching_policy"), (agent, action, resource)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_has_neither_faults_nor_warnings(name: str) -> None:
    bundle = read_bundle(template(name))
    assert bundle.faults == []
    assert len(bundle.policies) == len(RIGHTS[name])
    assert all_warnings(bundle.policies) == []


def test_list_and_show_need_no_server(tmp_path: Path) -> None:
    ctl = Ctl({"ACT_BASE_URL": "http://127.0.0.1:9"}, tmp_path)
    listed = ctl.json("templates", "list")
    assert {row["name"]: set(row["roles"]) for row in listed} == {name: set(rights) for name, rights in RIGHTS.items()}
    for name in NAMES:
        shown = ctl("templates", "show", name).ok().out
        assert shown == template_text(name)
        assert yaml.safe_load(shown) == template(name) == ctl.json("templates", "show", name)
    assert ctl("templates", "show", "other").code == 2


def test_apply_writes_once_and_leaves_alone_what_is_there(fresh: Ctl) -> None:
    name = "customer-service"
    planned = fresh("templates", "apply", name, "--dry-run").ok()
    assert planned.out.count("would be written") == 3
    assert fresh.json("policies", "list") == []

    applied = fresh.json("templates", "apply", name)
    assert [row["what"] for row in applied] == ["written"] * 3
    stored = {policy["id"]: policy for policy in fresh.json("policies", "list")}
    assert {row["id"] for row in applied} == stored.keys()
    for row, policy in zip(applied, template(name)["policies"], strict=True):
        one = stored[row["id"]]
        assert one["actions"] == policy["actions"]
        assert one["appliesTo"] == {"roles": policy["appliesTo"]["roles"], "agentIds": []}

    again = fresh.json("templates", "apply", name)
    assert [row["what"] for row in again] == ["there already"] * 3

    changed = dict(template(name)["policies"][1], actions=["read"])
    path = fresh.folder / "changed.json"
    path.write_text(json.dumps(changed))
    fresh("policies", "replace", applied[1]["id"], path).ok()
    fresh("policies", "delete", applied[2]["id"], "--yes").ok()
    third = fresh("templates", "apply", name, "-o", "json").ok()
    assert [row["what"] for row in third.json()] == ["there already", "differs", "written"]
    assert "'Customer service: resolver' is there and differs from the template at /actions" in third.err
    assert fresh.json("policies", "show", applied[1]["id"])["actions"] == ["read"]
