"""Request ids after a restart: the same decision, no second place under a limit, and no way around what changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act.enforcement.replays import MAX_KEPT, ROOM, WINDOW, Key, Replays
from tests.in_process import InProcess
from tests.support import Api, Server


class Story:
    """An agent that may `run` one task at a time, `count`, `ask` and be told how many rows; its own ids of requests."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.agent = api.agent()
        to = {"appliesTo": {"agentIds": [self.agent]}}
        self.policies = {
            action: api.policy([action], **to, constraints=constraints)["id"]
            for action, constraints in (
                ("run", {"maxConcurrentTasks": 1}),
                ("rows", {"maxRows": 7}),
                ("count", {"rateLimit": "2 per hour"}),
                ("pay", {"budget": {"argument": "/amount", "max": 10, "per": "day", "unit": "USD"}}),
                ("ask", {"requiresApproval": True}),
                ("walk", {}),
            )
        }
        self.issued = api.post("/v1/tokens", {"agentId": self.agent})
        self.bodies: dict[str, dict[str, Any]] = {}

    def ask(self, action: str, id: str | None = None, status: int = 200, **more: Any) -> Any:
        """One request; the same body again under the same id, unless `more` says otherwise."""
        body = self.bodies.get(id or "")
        if body is None:
            body = {"requestId": id or uuid4().hex, "capabilityToken": self.issued["token"], "action": action}
            body |= {"resourceId": "x", "arguments": {"amount": 4}}
            self.bodies.setdefault(body["requestId"], body)
        return self.api.post("/v1/enforce", body | more, status=status)

    def code(self, action: str, id: str | None = None, **more: Any) -> tuple[str, bool]:
        decision = self.ask(action, id, **more)
        return decision["reasonCode"], decision["replayed"]


class Restarted:
    """A real node in this process, on a clock that is moved by hand, and its next lives on the same file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.node = InProcess(folder)
        self.story = Story(self.node.api)

    def restart(self, seconds: float = 0) -> None:
        """Start again `seconds` later."""
        self.node.close()
        self.node = InProcess(self._folder, self.node.clock.at + timedelta(seconds=seconds))
        self.story.api = self.node.api

    def move(self, seconds: float) -> None:
        self.node.clock.move(seconds)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Restarted]:
    here = Restarted(tmp_path)
    yield here
    here.node.close()


def test_killed_and_asked_again(tmp_path: Path) -> None:
    """Over HTTP, with SIGKILL: the lease that was taken is held, by the same decision."""
    with Server(tmp_path) as server, server.api() as api:
        story = Story(api)
        first = {action: story.ask(action, action) for action in ("run", "rows", "count", "pay", "walk")}
        denied = story.ask("fly", "fly")
        assert {decision["reasonCode"] for decision in first.values()} == {"allowed"}
        server.kill()
        server.start()
        with server.api() as again:
            story.api = again
            for action, decision in first.items():
                assert story.ask(action, action) == decision | {"replayed": True}, action
            anew = story.ask("fly", "fly")
            assert (anew["reasonCode"], anew["replayed"]) == ("no_matching_policy", False)
            assert anew["decisionId"] != denied["decisionId"]
            assert story.code("run") == ("concurrency_exceeded", False)
            assert story.code("count") == ("allowed", False)
            assert story.code("count") == ("rate_limited", False)  # the replay was not counted
            for id in ("run", "fly"):
                problem = story.ask("walk", id, status=409, resourceId="y")
                assert (problem["code"], problem["decision"]) == ("request_id_reused", "denied")
            again.post(f"/v1/decisions/{first['run']['decisionId']}/outcome", {"status": "succeeded"}, status=200)
            assert story.code("run") == ("allowed", False)
            assert story.code("run", "run") == ("concurrency_exceeded", False)


def test_twice_restarted(here: Restarted) -> None:
    first = here.story.ask("run", "run")
    for _ in range(2):
        here.restart(20)
        assert here.story.ask("run", "run") == first | {"replayed": True}


def test_two_minutes_count_from_the_decision(here: Restarted) -> None:
    first = here.story.ask("walk", "walk")
    here.restart(WINDOW - 2)
    assert here.story.ask("walk", "walk") == first | {"replayed": True}
    here.move(2)
    assert here.story.code("walk", "walk") == ("allowed", False)


def test_after_two_minutes_nothing_is_known(here: Restarted) -> None:
    here.story.ask("walk", "walk")
    here.restart(WINDOW)
    assert here.story.code("walk", "walk") == ("allowed", False)
    here.story.bodies.clear()
    here.story.ask("walk", "late")
    here.restart(WINDOW)
    assert here.story.code("walk", "late", resourceId="y") == ("allowed", False)


def test_a_clock_that_was_put_back_makes_no_window_longer(here: Restarted) -> None:
    first = here.story.ask("walk", "walk")
    here.restart(-20)
    here.move(WINDOW - 1)
    assert here.story.ask("walk", "walk") == first | {"replayed": True}
    here.move(1)
    assert here.story.code("walk", "walk") == ("allowed", False)


class TestWhatIsNotGivenAgain:
    def test_what_is_over(self, here: Restarted) -> None:
        first = here.story.ask("run", "run")
        here.story.api.post(f"/v1/decisions/{first['decisionId']}/outcome", {"status": "failed"}, status=200)
        here.restart()
        again = here.story.ask("run", "run")
        assert (again["reasonCode"], again["replayed"]) == ("allowed", False)
        assert again["decisionId"] != first["decisionId"]

    def test_what_was_revoked_before_the_end(self, here: Restarted) -> None:
        here.story.ask("walk", "walk")
        here.story.api.post(f"/v1/tokens/{here.story.issued['tokenId']}/revoke", status=200)
        here.restart()
        assert here.story.code("walk", "walk") == ("token_revoked", False)

    def test_what_is_revoked_after_it(self, here: Restarted) -> None:
        here.story.ask("walk", "walk")
        here.restart()
        here.story.api.post(f"/v1/agents/{here.story.agent}/suspend", status=200)
        assert here.story.code("walk", "walk") == ("agent_suspended", False)

    @pytest.mark.parametrize("before", [True, False])
    def test_what_another_policy_says(self, here: Restarted, before: bool) -> None:
        story = here.story
        story.ask("walk", "walk")
        if not before:
            here.restart()
        draft = {"name": "new", "actions": ["walk"], "resources": ["*"], "appliesTo": {"agentIds": [story.agent]}}
        story.api.put(f"/v1/policies/{story.policies['walk']}", draft)
        if before:
            here.restart()
        again = story.ask("walk", "walk")
        assert (again["reasonCode"], again["replayed"]) == ("allowed", False)
        assert again["policies"][0]["version"] == 2

    def test_a_question_to_a_person(self, here: Restarted) -> None:
        first = here.story.ask("ask", "ask")
        here.restart()
        again = here.story.ask("ask", "ask")
        assert (again["reasonCode"], again["replayed"]) == ("approval_required", False)
        assert again["approval"] == first["approval"]

    def test_a_dry_run(self, here: Restarted) -> None:
        here.story.ask("walk", "walk", dryRun=True)
        here.restart()
        assert here.story.code("walk", "walk") == ("allowed", False)

    def test_an_earlier_answer_of_the_same_id(self, here: Restarted) -> None:
        """What counts is the last one, though it was one that is never given twice."""
        story = here.story
        first = story.ask("walk", "walk")
        rules = {"appliesTo": {"agentIds": [story.agent]}, "constraints": {"requiresApproval": True}}
        guard = story.api.policy(["walk"], **rules)
        assert story.code("walk", "walk") == ("approval_required", False)
        story.api.delete(f"/v1/policies/{guard['id']}")
        here.restart()
        again = story.ask("walk", "walk")
        assert (again["reasonCode"], again["replayed"]) == ("allowed", False)
        assert again["decisionId"] != first["decisionId"]

    def test_an_id_that_looks_like_a_secret(self, here: Restarted) -> None:
        """The log does not hold such an id, so it is known to no one after a restart; nor is any other taken for it."""
        ids = [f"act_test_{uuid4().hex}", f"act_test_{uuid4().hex}"]
        for id in ids:
            here.story.ask("walk", id)
        here.restart()
        assert [here.story.code("walk", id) for id in (*ids, "[secret]")] == [("allowed", False)] * 3


def test_an_approval_that_was_used_is_not_asked_for_again(here: Restarted) -> None:
    story = here.story
    approval = story.ask("ask")["approval"]["id"]
    person = here.node.client(story.api.key("approve")["key"])
    person.post(f"/v1/approvals/{approval}/approve", status=200)
    first = story.ask("ask", "ask")
    assert first["reasonCode"] == "allowed"
    here.restart()
    assert story.ask("ask", "ask") == first | {"replayed": True}
    assert story.code("ask") == ("approval_required", False)


def test_ids_belong_to_their_api_key(here: Restarted) -> None:
    story = here.story
    key = story.api.key("enforce")["key"]
    story.ask("walk", "walk")
    here.restart()
    story.api = here.node.client(key)
    assert story.code("walk", "walk", resourceId="y") == ("allowed", False)


def test_the_log_says_what_is_needed_and_stays_whole(here: Restarted) -> None:
    decision = here.story.ask("rows", "rows")
    record = here.story.api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    assert (record["evaluatedAt"], record["obligations"]) == (decision["evaluatedAt"], {"maxRows": 7})
    assert len(bytes.fromhex(record["requestDigest"])) == 32


def _key(request_id: str, tenant_id: str = "t") -> Key:
    return Key(tenant_id, "k", request_id)


class TestRunning:
    """What is under way is not forgotten, whatever else happens: a second one would spend twice."""

    def test_it_outlives_the_window(self) -> None:
        replays = Replays()
        entry = replays.begin(_key("r"), b"d", 0.0)
        replays.begin(_key("other"), b"d", 10 * WINDOW)
        assert replays.find(_key("r"), 10 * WINDOW) is entry
        replays.finish(_key("r"), entry, None, 0.0)
        assert replays.find(_key("r"), 10 * WINDOW) is None

    def test_it_is_not_driven_out_by_others(self) -> None:
        replays = Replays()
        first = replays.begin(_key("first"), b"d", 0.0)
        for n in range(MAX_KEPT + 10):
            replays.recall(_key(str(n)), b"d", 0.0, None)
        replays.begin(_key("last"), b"d", 0.0)
        assert replays.find(_key("first"), 1.0) is first
        assert replays.find(_key("0"), 1.0) is None
        assert replays.find(_key(str(MAX_KEPT + 9)), 1.0) is not None


class TestFairness:
    """No tenant can have the answers of another forgotten."""

    def test_who_asks_most_loses_its_oldest(self) -> None:
        replays = Replays()
        for n in range(1000):
            replays.recall(_key(str(n), "quiet"), b"d", 0.0, None)
        for n in range(2 * MAX_KEPT):
            replays.begin(_key(str(n), "loud"), b"d", 1.0)
            replays.recall(_key(str(n), "loud"), b"d", 1.0, None)
        assert all(replays.find(_key(str(n), "quiet"), 2.0) for n in range(1000))
        kept = [n for n in range(2 * MAX_KEPT) if _kept(replays, _key(str(n), "loud"))]
        assert MAX_KEPT - 2 * ROOM - 1000 <= len(kept) <= MAX_KEPT
        assert kept == list(range(2 * MAX_KEPT - len(kept), 2 * MAX_KEPT))

    def test_what_is_too_old_goes_first_whoever_has_it(self) -> None:
        replays = Replays()
        for n in range(MAX_KEPT - 10):
            replays.recall(_key(str(n), "gone"), b"d", 0.0, None)
        for n in range(20):
            replays.recall(_key(str(n), "here"), b"d", WINDOW, None)
        replays.begin(_key("next", "here"), b"d", WINDOW)
        assert replays._kept == 20
        assert all(replays.find(_key(str(n), "here"), WINDOW) for n in range(20))

    def test_many_tenants_share(self) -> None:
        replays = Replays()
        for n in range(MAX_KEPT + 1):
            replays.recall(_key(str(n), f"t{n % 500}"), b"d", 0.0, None)
        replays.begin(_key("next", "new"), b"d", 1.0)
        left = [len(mine) for mine in replays._answered.values()]
        assert MAX_KEPT - 2 * ROOM <= sum(left) == replays._kept <= MAX_KEPT - ROOM
        assert min(left) >= MAX_KEPT // 500 // 2


def _kept(replays: Replays, key: Key) -> bool:
    return key in replays._answered.get(key.tenant_id, {})


def test_only_the_latest_records_are_looked_through(here: Restarted, monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = here.story.ask("walk", "early"), here.story.ask("walk", "late")
    monkeypatch.setattr("act.enforcement.recall.MAX_READ", 1)
    here.restart()
    assert here.story.code("walk", "early") == ("allowed", False)
    assert here.story.ask("walk", "late") == late | {"replayed": True}
    assert early["decisionId"] != late["decisionId"]
