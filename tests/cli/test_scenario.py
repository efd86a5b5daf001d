"""The reference scenario (1-product), typed as a newcomer would type it, with `actctl` alone."""

from __future__ import annotations

import time

import pytest

from .conftest import Ctl, Run


class Desk:
    """What the operator has at hand after setting the scene; `secrets` must turn up nowhere else."""

    def __init__(self, ctl: Ctl) -> None:
        self.ctl = ctl
        for name in ("planner", "executor"):
            ctl("agents", "create", f"{name.title()} Agent", "--metadata", f"role={name}").ok()
        self.planner_policy = ctl(
            *("policies", "create", "--name", "Planner Capabilities", "--action", "read", "--action", "list"),
            *("--action", "plan", "--resource", "api://tasks/*", "--resource", "api://workflows/*"),
        ).ok()
        self.executor_policy = ctl(
            *("policies", "create", "--name", "Executor Capabilities", "--action", "execute", "--action", "update"),
            *("--resource", "api://tasks/execute/*", "--require-approval", "--max-concurrent", "5"),
        ).ok()
        self.planner = ctl("tokens", "issue", "Planner Agent", "--expires-in", "3600").ok().out.strip()
        self.executor = ctl("tokens", "issue", "Executor Agent", "--expires-in", "3600").ok().out.strip()
        ctl("api-keys", "create", "a person", "--scope", "approve", "--save", "person.key").ok()
        self.handed_out = len(ctl.runs)
        self.secrets = [self.planner, self.executor, (ctl.folder / "person.key").read_text().strip()]

    def ask(self, token: str, action: str, resource: str, *more: str) -> Run:
        return self.ctl("enforce", action, resource, *more, "-o", "json", ACT_TOKEN=token)

    def approve(self, run: Run) -> None:
        id = run.json()["approval"]["id"]
        self.ctl("approvals", "approve", id, "--api-key-file", "person.key").ok()


@pytest.fixture(scope="module")
def desk(ctl: Ctl) -> Desk:
    return Desk(ctl)


def code(run: Run) -> tuple[int, str]:
    return run.code, run.json()["reasonCode"]


def test_the_policies_say_whom_they_were_bound_to(desk: Desk) -> None:
    assert "Applies to roles planner: inferred from the policy's name." in desk.planner_policy.err
    assert "Applies to roles executor: inferred from the policy's name." in desk.executor_policy.err
    assert "Warning" not in desk.planner_policy.err + desk.executor_policy.err


def test_the_planner_plans_and_cannot_execute(desk: Desk) -> None:
    assert code(desk.ask(desk.planner, "plan", "api://workflows/plan")) == (0, "allowed")
    assert code(desk.ask(desk.planner, "execute", "api://tasks/execute/42")) == (3, "no_matching_policy")


def test_the_executor_waits_for_a_person_five_times_and_has_no_sixth_place(desk: Desk) -> None:
    held = []
    for number in range(5):
        task, arguments = f"api://tasks/execute/{number}", ("--arguments", f'{{"amount": {number}}}')
        asked = desk.ask(desk.executor, "execute", task, *arguments)
        assert code(asked) == (4, "approval_required")
        desk.approve(asked)
        done = desk.ask(desk.executor, "execute", task, *arguments)
        assert code(done) == (0, "allowed")
        held.append(done.json()["decisionId"])
    sixth = desk.ask(desk.executor, "execute", "api://tasks/execute/5")
    assert code(sixth) == (3, "concurrency_exceeded")

    recorded = desk.ctl("outcome", held[0], "succeeded").ok()
    assert "succeeded" in recorded.out
    # A place is free again; and what was approved was good for once.
    again = desk.ask(desk.executor, "execute", "api://tasks/execute/0", "--arguments", '{"amount": 0}')
    assert code(again) == (4, "approval_required")


def test_a_rejection_reaches_the_agent(desk: Desk) -> None:
    asked = desk.ask(desk.executor, "update", "api://tasks/execute/9").json()["approval"]["id"]
    rejected = desk.ctl("approvals", "reject", asked, "--reason", "not today", "--api-key-file", "person.key").ok()
    assert "not today" in rejected.out
    told = desk.ask(desk.executor, "update", "api://tasks/execute/9")
    assert code(told) == (3, "approval_rejected")
    assert "not today" in told.json()["reason"]


def test_a_revoked_and_an_expired_token_are_denied_at_once(desk: Desk) -> None:
    ctl = desk.ctl
    issued = ctl.json("tokens", "issue", "Planner Agent", "--expires-in", "1")
    brief = ctl.json("tokens", "issue", "Planner Agent")
    desk.secrets += [issued["token"], brief["token"]]
    desk.handed_out = len(ctl.runs)
    assert code(desk.ask(brief["token"], "plan", "api://tasks/1")) == (0, "allowed")
    ctl("tokens", "revoke", brief["tokenId"], "--yes").ok()
    assert code(desk.ask(brief["token"], "plan", "api://tasks/1")) == (3, "token_revoked")
    time.sleep(2)
    assert code(desk.ask(issued["token"], "plan", "api://tasks/1")) == (3, "token_expired")
    ctl("agents", "suspend", "Planner Agent").ok()
    assert code(desk.ask(desk.planner, "plan", "api://tasks/1")) == (3, "agent_suspended")
    ctl("agents", "resume", "Planner Agent").ok()
    assert code(desk.ask(desk.planner, "plan", "api://tasks/1")) == (0, "allowed")


def test_all_of_it_stands_in_the_log(desk: Desk) -> None:
    # What has to be there is asked here once more, so that this test does not rest on the others.
    desk.ask(desk.planner, "plan", "api://workflows/story")
    desk.ask(desk.planner, "execute", "api://workflows/story")
    found = desk.ctl.json("audit", "list", "--agent", "Planner Agent", "--resource", "api://workflows/story")
    assert [line["record"]["reasonCode"] for line in found] == ["no_matching_policy", "allowed"]


def test_no_output_carries_a_secret_but_the_one_that_hands_it_out(desk: Desk) -> None:
    ctl = desk.ctl
    for command in (
        ("agents", "list"),
        ("agents", "show", "Planner Agent"),
        ("policies", "list"),
        ("tokens", "list"),
        ("api-keys", "list"),
        ("keys", "list"),
        ("approvals", "list"),
        ("audit", "list", "--all"),
        ("audit", "export"),
        ("doctor",),
    ):
        ctl(*command, "-o", "json").ok()
    desk.ask(desk.executor, "plan", desk.executor[:40])
    later = "".join(run.out + run.err for run in ctl.runs[desk.handed_out :])
    assert "Planner Agent" in later
    for secret in [*desk.secrets, ctl.environment["ACT_API_KEY"]]:
        assert secret not in later
        assert secret.rpartition(".")[2] not in later
