"""Approvals by role from the command line: keys that say whose they are, and who is still missing."""

from __future__ import annotations

from tests.support import Api, Server

from .conftest import Ctl


def test_people_and_their_roles(server: Server, ctl: Ctl) -> None:
    for name, role in (("ann", "finance"), ("bob", "legal")):
        made = ctl(
            *("api-keys", "create", name, "--scope", "approve", "--role", role, "--role", "staff"),
            *("--person", f"{name}@example.com", "--save", f"{name}.key"),
        ).ok()
        assert f"{name}@example.com" in made.out
        assert f"{role}, staff" in made.out
    listed = {key["name"]: key for key in ctl.json("api-keys", "list")}
    assert (listed["ann"]["roles"], listed["ann"]["person"]) == (["finance", "staff"], "ann@example.com")
    (line,) = [line for line in ctl("api-keys", "list", "-o", "jsonl").ok().out.splitlines() if '"name": "bob"' in line]
    assert '"person": "bob@example.com"' in line

    with Api(server.url) as api:
        agent = api.agent()
        which = {"appliesTo": {"agentIds": [agent]}}
        for approvers, role in ((1, "finance"), (1, "legal")):
            demand = {"requiresApproval": {"approvers": approvers, "from": [role]}}
            api.policy(["pay"], **which, constraints=demand)
        approval = api.enforce(api.token(agent), "pay", "bank://x")["approval"]["id"]

    shown = ctl("approvals", "show", approval).ok().out
    assert "0 of 1 person from finance, 0 of 1 person from legal" in shown
    first = ctl("approvals", "approve", approval, "--api-key-file", "ann.key").ok()
    assert "Others must approve, too: 0 of 1 person from legal." in first.err
    assert "ann@example.com" in first.out
    again = ctl("approvals", "approve", approval, "--api-key-file", "ann.key")
    assert (again.code, "already_approved" in again.err) == (1, True)
    second = ctl("approvals", "approve", approval, "--api-key-file", "bob.key").ok()
    assert "Others" not in second.err
    assert ctl.json("approvals", "show", approval)["status"] == "approved"


def test_who_has_no_such_role_is_told_which(server: Server, ctl: Ctl) -> None:
    with Api(server.url) as api:
        agent, key = api.agent(), api.key("approve", roles=["sales"])["key"]
        demand = {"requiresApproval": {"from": ["board", "legal"]}}
        api.policy(["pay"], appliesTo={"agentIds": [agent]}, constraints=demand)
        approval = api.enforce(api.token(agent), "pay", "bank://x")["approval"]["id"]
    refused = ctl("approvals", "approve", approval, ACT_API_KEY=key)
    assert refused.code == 1
    assert "approver_role_missing" in refused.err
    assert "'board', 'legal'" in refused.err
