"""Getting past the person who decides: every way in 6-threats, "Approvals", and the races around one approval."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.in_process import InProcess
from tests.support import Api, Server


@dataclass
class ByHand:
    """In the place of a server: a node in this process, whose clock is moved by hand."""

    node: InProcess

    def api(self, key: str) -> Api:
        return self.node.client(key)


@dataclass
class Case:
    """An agent whose action needs a person; `enforcer` is the key it asks with, `one` and `two` are people."""

    server: Server | ByHand
    admin: Api
    enforcer: Api
    one: Api
    two: Api
    agent: str = ""
    policy: str = ""
    token: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    def ask(self, api: Api | None = None, token: str | None = None, **more: Any) -> Any:
        request = {"action": "pay", "resource": "bank://transfers", "arguments": {"amount": 5}} | more
        return (api or self.enforcer).enforce(token or self.token, **request)

    def pending(self, api: Api | None = None, **more: Any) -> str:
        """Ask; the id of the approval that is waited for."""
        decision = self.ask(api, **more)
        assert (decision["decision"], decision["reasonCode"]) == ("pending_approval", "approval_required")
        return str(decision["approval"]["id"])

    def approved(self, **more: Any) -> str:
        approval = self.pending(**more)
        assert self.vote(approval)["status"] == "approved"
        return approval

    def vote(self, approval: str, api: Api | None = None, status: int = 200) -> Any:
        return (api or self.one).post(f"/v1/approvals/{approval}/approve", {}, status=status)

    def reject(self, approval: str, api: Api | None = None, status: int = 200) -> Any:
        return (api or self.one).post(f"/v1/approvals/{approval}/reject", {"reason": "too much"}, status=status)

    def status(self, approval: str) -> str:
        return str(self.one.get(f"/v1/approvals/{approval}")["status"])

    def rule(self, requires: Any = True, **more: Any) -> None:
        """Replace the policy."""
        body = {"name": "pay", "actions": ["pay"], "resources": ["bank://*"], "appliesTo": {"agentIds": [self.agent]}}
        body |= {} if requires is None else {"constraints": {"requiresApproval": requires}}
        self.admin.put(f"/v1/policies/{self.policy}", body | more)


@pytest.fixture
def new_case(server: Server, api: Api) -> Iterator[Callable[..., Case]]:
    made: list[Case] = []

    def make(requires: Any = True) -> Case:
        made.append(case_at(server, api, requires))
        return made[-1]

    yield make
    for case in made:
        for client in (case.enforcer, case.one, case.two):
            client.close()


_KEYS = {"enforcer": ["enforce"], "one": ["approve", "enforce"], "two": ["approve"]}


def case_at(server: Server | ByHand, api: Api, requires: Any = True) -> Case:
    keys = {name: api.key(*scopes, name=name) for name, scopes in _KEYS.items()}
    case = Case(server, api, *(server.api(key["key"]) for key in keys.values()))
    case.keys = {name: key["id"] for name, key in keys.items()}
    case.agent = api.agent()
    constraints = {"requiresApproval": requires}
    policy = api.policy(["pay"], ["bank://*"], appliesTo={"agentIds": [case.agent]}, constraints=constraints)
    case.policy, case.token = policy["id"], api.token(case.agent)
    return case


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    node = InProcess(tmp_path)
    yield ByHand(node)
    node.close()


@pytest.fixture
def case(new_case: Callable[..., Case]) -> Case:
    return new_case()


def codes(*decisions: Any) -> list[str]:
    return [decision["reasonCode"] for decision in decisions]


# --- who may approve --------------------------------------------------------------------------------------------------


def test_the_ordinary_way(case: Case) -> None:
    approval = case.pending()
    assert case.pending() == approval
    case.vote(approval)
    decision = case.ask()
    assert (decision["reasonCode"], decision["approval"]["id"]) == ("allowed", approval)
    assert case.status(approval) == "redeemed"
    assert case.pending() != approval


def test_the_key_that_asked_cannot_decide(case: Case) -> None:
    approval = case.pending(case.one)
    assert case.vote(approval, case.one, status=403)["code"] == "own_request"
    assert case.reject(approval, case.one, status=403)["code"] == "own_request"
    assert case.vote(approval, case.enforcer, status=403)["code"] == "scope_missing"
    assert case.status(approval) == "pending"


def test_an_admin_key_that_asked_cannot_decide(case: Case) -> None:
    approval = case.pending(case.admin)
    assert case.vote(approval, case.admin, status=403)["code"] == "own_request"
    assert case.ask(case.admin)["reasonCode"] == "approval_required"


def test_who_approved_cannot_use_the_approval_with_the_same_key(case: Case) -> None:
    approval = case.approved()
    decision = case.ask(case.one)
    assert (decision["reasonCode"], decision["approval"]["id"] != approval) == ("approval_required", True)
    assert codes(case.ask(), case.ask()) == ["allowed", "approval_required"]


def test_an_agents_key_sees_only_what_it_asked_and_decides_nothing(case: Case) -> None:
    bound = case.server.api(case.admin.key("enforce", agentId=case.agent)["key"])
    with bound:
        approval = case.pending(bound)
        assert bound.get(f"/v1/approvals/{approval}")["status"] == "pending"
        assert bound.get(f"/v1/approvals/{case.pending()}", status=404)["code"] == "not_found"
        assert bound.get("/v1/approvals", status=403)["code"] == "scope_missing"
        assert case.vote(approval, bound, status=403)["code"] == "scope_missing"
        assert case.reject(approval, bound, status=403)["code"] == "scope_missing"


def test_two_people_are_not_one_person_twice(new_case: Callable[..., Case]) -> None:
    case = new_case({"approvers": 2})
    approval = case.pending()
    assert case.vote(approval)["status"] == "pending"
    assert case.vote(approval, status=409)["code"] == "already_approved"
    assert case.ask()["reasonCode"] == "approval_required"
    answer = case.vote(approval, case.two)
    assert (answer["status"], len(answer["approvedBy"])) == ("approved", 2)
    assert codes(case.ask(), case.ask()) == ["allowed", "approval_required"]


def test_one_person_many_times_at_once(new_case: Callable[..., Case]) -> None:
    case = new_case({"approvers": 2})
    approval = case.pending()
    together(8, lambda _: case.one.send("POST", f"/v1/approvals/{approval}/approve", {}))
    shown = case.one.get(f"/v1/approvals/{approval}")
    assert (shown["status"], len(shown["approvedBy"])) == ("pending", 1)
    assert case.ask()["reasonCode"] == "approval_required"


def test_the_word_of_a_key_that_was_revoked_since_does_not_count(case: Case) -> None:
    case.approved()
    case.admin.delete(f"/v1/api-keys/{case.keys['one']}", status=200)
    decision = case.ask()
    assert (decision["decision"], decision["reasonCode"]) == ("pending_approval", "approval_required")


def test_a_decided_approval_is_not_decided_again(case: Case) -> None:
    approval = case.pending()
    case.reject(approval)
    assert case.vote(approval, status=409)["code"] == "approval_decided"
    assert case.reject(approval, case.two, status=409)["code"] == "approval_decided"
    denied = case.ask()
    assert denied["reasonCode"] == "approval_rejected"
    assert "too much" in denied["reason"]
    other = case.approved(arguments={"amount": 6})
    assert case.reject(other, case.two, status=409)["code"] == "approval_decided"
    assert case.ask(arguments={"amount": 6})["reasonCode"] == "allowed"
    assert case.vote(other, case.two, status=409)["code"] == "approval_decided"


def test_a_revoked_key_approves_nothing_more(case: Case) -> None:
    approval = case.pending()
    case.admin.delete(f"/v1/api-keys/{case.keys['one']}", status=200)
    assert case.vote(approval, status=401)["code"] == "api_key_invalid"
    assert case.ask()["reasonCode"] == "approval_required"


def test_the_word_of_a_key_that_has_expired_since_does_not_count(by_hand: ByHand) -> None:
    case = case_at(by_hand, by_hand.node.api)
    with person(case, expiresIn=60) as brief:
        approval = case.pending()
        assert case.vote(approval, brief)["status"] == "approved"
        by_hand.node.clock.move(60)
        assert brief.send("GET", "/v1/approvals").status_code == 401
        decision = case.ask()
        assert (decision["reasonCode"], decision["approval"]["id"] != approval) == ("approval_required", True)
        assert case.vote(decision["approval"]["id"], brief, status=401)["code"] == "api_key_invalid"


# --- who the people are -----------------------------------------------------------------------------------------------


def person(case: Case, *scopes: str, **more: Any) -> Api:
    """Somebody with an API key of their own."""
    return case.server.api(case.admin.key(*(scopes or ["approve"]), **more)["key"])


def test_two_keys_of_one_person_are_one_person(new_case: Callable[..., Case]) -> None:
    case = new_case({"approvers": 2})
    approval = case.pending()
    with person(case, person="ann@example.com") as one, person(case, person="Ann@Example.COM") as two:
        assert case.vote(approval, one)["status"] == "pending"
        assert case.vote(approval, two, status=409)["code"] == "already_approved"
        assert case.ask()["reasonCode"] == "approval_required"
    assert case.vote(approval, case.two)["status"] == "approved"


def test_who_holds_the_key_that_asked_decides_with_no_other_key(case: Case) -> None:
    with person(case, "enforce", person="ann@example.com") as asking, person(case, person="ANN@example.com") as other:
        approval = case.pending(asking)
        assert case.vote(approval, other, status=403)["code"] == "own_request"
        assert case.reject(approval, other, status=403)["code"] == "own_request"
        assert case.status(approval) == "pending"
        assert case.vote(approval)["status"] == "approved"


def test_nobody_approves_what_an_agent_does_for_them(case: Case) -> None:
    token = case.admin.token(case.agent, onBehalfOf="ann@example.com")
    approval = str(case.ask(token=token)["approval"]["id"])
    with person(case, person="Ann@example.com") as ann, person(case, person="bob@example.com") as bob:
        assert case.vote(approval, ann, status=403)["code"] == "own_behalf"
        assert case.reject(approval, ann, status=403)["code"] == "own_behalf"
        assert case.ask(token=token)["reasonCode"] == "approval_required"
        assert case.vote(approval, bob)["status"] == "approved"
    assert case.ask(token=token)["reasonCode"] == "allowed"


def test_who_an_agent_acts_for_is_known_through_the_whole_chain(case: Case) -> None:
    planner = planning(case, "use", "delegate")
    root = case.admin.token(planner, onBehalfOf="ann@example.com")
    of_chain = case.pending(token=handed(case, root))
    of_requester = case.pending(requesterToken=root)
    with person(case, person="ann@example.com") as ann:
        for approval in (of_chain, of_requester):
            assert case.vote(approval, ann, status=403)["code"] == "own_behalf"


def planning(case: Case, *grants: str) -> str:
    """An agent that may hand payments down to the case's."""
    hand = {"to": {"agentIds": [case.agent]}, "maxDepth": 1}
    planner = case.admin.agent()
    which = {"appliesTo": {"agentIds": [planner]}, "grants": list(grants), "delegation": hand}
    case.admin.policy(["pay"], ["bank://*"], **which)
    return planner


def handed(case: Case, root: str) -> str:
    scope = [{"actions": ["pay"], "resources": ["bank://*"]}]
    body = {"parentToken": root, "toAgentId": case.agent, "scope": scope}
    return str(case.admin.post("/v1/delegations", body)["token"])


def test_an_agents_key_does_not_learn_who_people_are(new_case: Callable[..., Case]) -> None:
    case = new_case({"approvers": 2})
    approval = case.pending()
    with person(case, person="ann@example.com") as ann, person(case, person="bob@example.com") as bob:
        case.vote(approval, ann)
        case.reject(approval, bob)
    seen = case.enforcer.send("GET", f"/v1/approvals/{approval}")
    assert (seen.status_code, len(seen.json()["approvedBy"]), seen.json()["reason"]) == (200, 1, "too much")
    assert "example.com" not in seen.text
    assert case.one.get(f"/v1/approvals/{approval}")["approvedBy"][0]["person"] == "ann@example.com"


def test_an_approval_is_not_used_for_who_gave_it(case: Case) -> None:
    """The same agent asks the same executor for the same, first for one user and then for another."""
    planner = case.admin.agent()
    case.admin.policy(["pay"], ["bank://*"], appliesTo={"agentIds": [planner]})
    of_bob, of_ann = (case.admin.token(planner, onBehalfOf=f"{name}@example.com") for name in ("bob", "ann"))
    approval = case.pending(requesterToken=of_bob)
    with person(case, person="ann@example.com") as ann:
        assert case.vote(approval, ann)["status"] == "approved"
    stolen = case.ask(requesterToken=of_ann)
    assert (stolen["reasonCode"], stolen["approval"]["id"] != approval) == ("approval_required", True)


def test_each_policy_has_its_own_people(new_case: Callable[..., Case]) -> None:
    case = new_case({"approvers": 2, "from": ["finance"]})
    constraints = {"requiresApproval": {"from": ["legal"], "expiresIn": 600}}
    case.admin.policy(["*"], appliesTo={"agentIds": [case.agent]}, constraints=constraints)
    asked = case.ask()
    assert "a person from 'legal'" in asked["reason"]
    assert "2 people from 'finance'" in asked["reason"]
    approval = asked["approval"]["id"]
    shown = case.one.get(f"/v1/approvals/{approval}")
    assert shown["approversNeeded"] == 2
    assert shown["demands"] == [
        {"approvers": 2, "from": ["finance"], "given": 0},
        {"approvers": 1, "from": ["legal"], "given": 0},
    ]
    life = datetime.fromisoformat(shown["expiresAt"]) - datetime.fromisoformat(shown["createdAt"])
    assert life.total_seconds() == 600
    assert case.vote(approval, status=403)["code"] == "approver_role_missing"
    assert case.reject(approval, status=403)["code"] == "approver_role_missing"
    with (
        person(case, roles=["finance"]) as one,
        person(case, roles=["finance", "sales"], person="two@example.com") as two,
        person(case, roles=["finance"]) as three,
        person(case, roles=["legal"]) as lawyer,
    ):
        case.vote(approval, one)
        answer = case.vote(approval, two)
        assert (answer["status"], [demand["given"] for demand in answer["demands"]]) == ("pending", [2, 0])
        assert (answer["approvedBy"][1]["person"], answer["approvedBy"][1]["roles"]) == (
            "two@example.com",
            ["finance", "sales"],
        )
        refused = case.vote(approval, three, status=403)
        assert refused["code"] == "approver_role_missing"
        assert "'legal'" in refused["detail"]
        assert "'finance'" not in refused["detail"]
        assert case.ask()["reasonCode"] == "approval_required"
        assert case.vote(approval, lawyer)["status"] == "approved"
    assert codes(case.ask(), case.ask()) == ["allowed", "approval_required"]


def test_one_person_with_all_roles_is_still_one_person(new_case: Callable[..., Case]) -> None:
    case = new_case({"approvers": 2, "from": ["finance", "legal"]})
    approval = case.pending()
    with person(case, roles=["finance", "legal"], person="ann@example.com") as ann:
        assert case.vote(approval, ann)["status"] == "pending"
        assert case.vote(approval, ann, status=409)["code"] == "already_approved"
    with person(case, roles=["legal"], person="ann@example.com") as again:
        assert case.vote(approval, again, status=409)["code"] == "already_approved"
    assert case.ask()["reasonCode"] == "approval_required"


def test_the_policy_wants_other_people_by_now(case: Case) -> None:
    approval = case.approved()
    case.rule({"from": ["finance"]})
    decision = case.ask()
    assert (decision["reasonCode"], decision["approval"]["id"] != approval) == ("approval_required", True)
    pending = decision["approval"]["id"]
    case.rule({"from": ["legal"]})
    with person(case, roles=["finance"]) as one:
        case.vote(pending, one)
    assert case.ask()["reasonCode"] == "approval_required"
    case.rule({"from": ["finance", "legal"]})
    assert case.ask()["reasonCode"] == "approval_required", "another one was asked for meanwhile"


@pytest.mark.parametrize("given", [[], [""], "legal", [["legal"]], {"roles": ["legal"]}, True])
def test_a_list_of_nobody_is_not_a_list_of_everybody(case: Case, given: Any) -> None:
    body = {"name": "p", "actions": ["pay"], "resources": ["*"], "constraints": {"requiresApproval": {"from": given}}}
    problem = case.admin.post("/v1/policies", body, status=422)
    assert any("/constraints/requiresApproval/from" in fault["pointer"] for fault in problem["errors"])


@pytest.mark.parametrize("field", ["person", "roles", "keyId", "approvedBy", "from", "demands"])
def test_nobody_says_who_they_are(case: Case, field: str) -> None:
    approval = case.pending()
    case.one.post(f"/v1/approvals/{approval}/approve", {field: "finance"}, status=422)
    case.one.post(f"/v1/approvals/{approval}/reject", {"reason": "no", field: ["finance"]}, status=422)
    assert case.status(approval) == "pending"
    body = {"name": "mine", "scopes": ["approve"], "roles": ["finance"]}
    assert case.one.post("/v1/api-keys", body, status=403)["code"] == "scope_missing"


def test_a_key_that_is_bound_to_an_agent_can_never_get_the_right(case: Case) -> None:
    body = {"name": "bound", "scopes": ["enforce", "approve"], "agentId": case.agent, "roles": ["finance"]}
    assert case.admin.post("/v1/api-keys", body, status=422)["errors"][0]["pointer"] == "/scopes"


# --- how many can wait ------------------------------------------------------------------------------------------------


def test_an_agent_cannot_bury_people_in_questions(case: Case) -> None:
    ids = [case.pending(arguments={"n": number}) for number in range(100)]
    denied = case.ask(arguments={"n": 100})
    assert (denied["decision"], denied["reasonCode"], denied["approval"]) == ("denied", "approvals_exhausted", None)
    assert case.ask(arguments={"n": 100}, dryRun=True)["reasonCode"] == "approvals_exhausted"
    # What waits is still waited for, whoever else asks is not held up, and every decision makes room.
    assert case.pending(arguments={"n": 99}) == ids[99]
    other = case.admin.agent()
    case.rule(appliesTo={"agentIds": [case.agent, other]})
    assert case.ask(token=case.admin.token(other))["reasonCode"] == "approval_required"
    # Another token is another question of the same agent.
    assert case.ask(token=case.admin.token(case.agent))["reasonCode"] == "approvals_exhausted"
    case.vote(ids[0])
    case.reject(ids[1])
    assert codes(*(case.ask(arguments={"n": number}) for number in (100, 101, 102))) == [
        "approval_required",
        "approval_required",
        "approvals_exhausted",
    ]


def test_what_is_handed_down_counts_for_who_began_it(case: Case) -> None:
    planner = planning(case, "delegate")
    for number in range(2):
        child = handed(case, case.admin.token(planner))
        for each in range(50):
            case.pending(token=child, arguments={"n": number * 50 + each})
    assert case.ask(token=child)["reasonCode"] == "approvals_exhausted"
    assert case.ask()["reasonCode"] == "approval_required"


# --- what an approval is for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"arguments": {"amount": 500}},
        {"arguments": {"amount": "5"}},
        {"arguments": {"amount": 5, "to": "me"}},
        {"arguments": {"Amount": 5}},
        {"arguments": {}},
        {"arguments": {"amount": [5]}},
        {"arguments": {"amount": True}},
        {"resource": "bank://transfers/2"},
        {"resource": "bank://transfers/"},
        {"resource": "bank://Transfers"},
    ],
    ids=str,
)
def test_another_question_is_not_covered(case: Case, changed: dict[str, Any]) -> None:
    approval = case.approved()
    other = case.ask(**changed)
    assert (other["reasonCode"], other["approval"]["id"] != approval) == ("approval_required", True)
    assert case.ask()["reasonCode"] == "allowed"


def test_one_and_true_are_two_arguments(case: Case) -> None:
    case.approved(arguments={"amount": 1})
    assert case.ask(arguments={"amount": True})["reasonCode"] == "approval_required"
    assert case.ask(arguments={"amount": False})["reasonCode"] == "approval_required"


def test_the_order_of_arguments_is_no_difference(case: Case) -> None:
    case.approved(arguments={"a": 1, "b": {"c": 2, "d": 3}})
    assert case.ask(arguments={"b": {"d": 3, "c": 2}, "a": 1})["reasonCode"] == "allowed"


def test_another_action_of_the_same_policy(case: Case) -> None:
    case.rule(actions=["pay", "refund"])
    case.approved()
    assert case.ask(action="refund")["reasonCode"] == "approval_required"


def test_another_agent_and_another_token_of_the_same(case: Case) -> None:
    other = case.admin.agent()
    case.rule(appliesTo={"agentIds": [case.agent, other]})
    approval = case.approved()
    for token in (case.admin.token(other), case.admin.token(case.agent)):
        decision = case.ask(token=token)
        assert (decision["reasonCode"], decision["approval"]["id"] != approval) == ("approval_required", True)
    assert case.ask()["reasonCode"] == "allowed"


def test_another_requester(case: Case) -> None:
    other = case.admin.agent()
    case.rule(appliesTo={"agentIds": [case.agent, other]})
    case.approved()
    assert case.ask(requester=other)["reasonCode"] == "approval_required"
    # Naming oneself as the one who asked is the same question.
    assert case.ask(requester=case.agent)["reasonCode"] == "allowed"


def test_another_key_that_asks(case: Case) -> None:
    case.approved()
    with case.server.api(case.admin.key("enforce")["key"]) as another:
        assert case.ask(another)["reasonCode"] == "approval_required"


# --- how often, and how long ------------------------------------------------------------------------------------------


def test_used_twice(case: Case) -> None:
    case.approved()
    assert codes(case.ask(), case.ask(), case.ask()) == ["allowed", "approval_required", "approval_required"]


def test_a_dry_run_uses_nothing_and_allows_nothing(case: Case) -> None:
    case.approved()
    dry = case.ask(dryRun=True)
    assert (dry["reasonCode"], dry["dryRun"]) == ("allowed", True)
    assert codes(case.ask(), case.ask()) == ["allowed", "approval_required"]
    assert case.admin.post(f"/v1/decisions/{dry['decisionId']}/outcome", {"status": "failed"}, status=409)


def test_a_dry_run_asks_nobody(case: Case) -> None:
    decision = case.ask(dryRun=True)
    assert (decision["reasonCode"], decision["approval"]) == ("approval_required", None)
    listed = case.one.get("/v1/approvals", params={"status": "pending", "limit": 200})["items"]
    assert case.agent not in [approval["agentId"] for approval in listed]


def test_a_reused_request_id_does_not_stretch_an_approval(case: Case) -> None:
    approval = case.pending(requestId="stretch")
    case.vote(approval)
    first = case.ask(requestId="stretch")
    again = case.ask(requestId="stretch")
    assert codes(first, again) == ["allowed", "allowed"]
    assert (again["decisionId"], again["replayed"]) == (first["decisionId"], True)
    assert case.ask(requestId="another")["reasonCode"] == "approval_required"
    changed = {"requestId": "stretch", "capabilityToken": case.token, "action": "pay", "resourceId": "bank://other"}
    assert case.enforcer.post("/v1/enforce", changed, status=409)["decision"] == "denied"
    case.enforcer.post(f"/v1/decisions/{first['decisionId']}/outcome", {"status": "succeeded"}, status=200)
    last = case.ask(requestId="stretch")
    assert (last["reasonCode"], last["decisionId"] != first["decisionId"]) == ("approval_required", True)


def test_expiry_before_and_after_the_approval(by_hand: ByHand) -> None:
    case = case_at(by_hand, by_hand.node.api, {"expiresIn": 60})
    unapproved, approved = case.pending(arguments={"n": 1}), case.approved(arguments={"n": 2})
    by_hand.node.clock.move(59)
    assert (case.status(unapproved), case.status(approved)) == ("pending", "approved")
    by_hand.node.clock.move(1)
    assert (case.status(unapproved), case.status(approved)) == ("expired", "expired")
    assert case.vote(unapproved, status=409)["code"] in ("approval_expired", "approval_decided")
    assert case.reject(approved, status=409)["code"] in ("approval_expired", "approval_decided")
    for arguments in ({"n": 1}, {"n": 2}):
        told = case.ask(arguments=arguments)
        assert told["reasonCode"] in ("approval_expired", "approval_required")
        if told["reasonCode"] == "approval_required":
            assert told["approval"]["id"] not in (unapproved, approved)
    # Nothing of it comes back, however often it is asked.
    assert "allowed" not in codes(*(case.ask(arguments={"n": 2}) for _ in range(3)))


# --- what changed between the approval and its use --------------------------------------------------------------------


def test_the_policy_denies_by_now(case: Case) -> None:
    case.approved()
    deny = case.admin.policy(["pay"], ["*"], effect="deny", appliesTo={"agentIds": [case.agent]})
    assert case.ask()["reasonCode"] == "policy_denied"
    case.admin.delete(f"/v1/policies/{deny['id']}")
    assert codes(case.ask(), case.ask()) == ["allowed", "approval_required"]


def test_the_policy_is_gone_by_now(case: Case) -> None:
    case.approved()
    case.rule(enabled=False)
    assert case.ask()["reasonCode"] == "no_matching_policy"
    case.admin.delete(f"/v1/policies/{case.policy}")
    assert case.ask()["reasonCode"] == "no_matching_policy"


def test_the_policy_wants_more_people_by_now(case: Case) -> None:
    approval = case.approved()
    case.rule({"approvers": 2})
    decision = case.ask()
    assert (decision["reasonCode"], decision["approval"]["id"] != approval) == ("approval_required", True)
    assert case.vote(decision["approval"]["id"])["status"] == "pending"
    assert case.ask()["reasonCode"] == "approval_required"


def test_what_waits_is_joined_only_where_it_asks_for_enough(case: Case) -> None:
    first = case.pending()
    case.rule({"approvers": 2})
    second = case.pending()
    assert second != first
    case.rule({"from": ["finance"]})
    third = case.pending()
    assert third not in (first, second)
    case.rule({"from": ["finance", "legal"]})
    assert case.pending() == third, "whoever is from finance is from one of the two"
    # The first one was for one person, of whom there is one now; nobody waits for it any more.
    case.vote(first)
    assert case.ask()["approval"]["id"] == third


def test_the_policy_gives_less_time_by_now(case: Case) -> None:
    case.approved()
    time.sleep(1.1)
    case.rule({"expiresIn": 1})
    assert case.ask()["reasonCode"] == "approval_required"


def test_another_policy_wants_more_people_by_now(case: Case) -> None:
    case.approved()
    constraints = {"requiresApproval": {"approvers": 3}}
    case.admin.policy(["*"], appliesTo={"agentIds": [case.agent]}, constraints=constraints)
    assert case.ask()["reasonCode"] == "approval_required"


def test_a_limit_is_full_by_now(case: Case) -> None:
    constraints = {"maxConcurrentTasks": 1}
    case.admin.policy(["*"], appliesTo={"agentIds": [case.agent]}, constraints=constraints)
    holder = case.admin.enforce(case.token, "other", "bank://transfers")
    assert holder["reasonCode"] == "allowed"
    # Nobody is asked for what would be denied anyway.
    assert case.ask(arguments={"n": 1})["reasonCode"] == "concurrency_exceeded"
    case.admin.post(f"/v1/decisions/{holder['decisionId']}/outcome", {"status": "succeeded"}, status=200)
    case.approved()
    assert case.admin.enforce(case.token, "other", "bank://transfers")["reasonCode"] == "allowed"
    assert case.ask()["reasonCode"] == "concurrency_exceeded"
    assert case.status(case.ask(dryRun=True)["approval"] or _latest(case)) == "approved"


def _latest(case: Case) -> str:
    listed = case.one.get("/v1/approvals", params={"status": "approved", "limit": 200})["items"]
    return str(next(approval["id"] for approval in listed if approval["agentId"] == case.agent))


def test_revocation_between_approval_and_use(case: Case) -> None:
    case.approved()
    case.admin.post(f"/v1/agents/{case.agent}/suspend", status=200)
    assert case.ask()["reasonCode"] == "agent_suspended"
    case.admin.post(f"/v1/agents/{case.agent}/resume", status=200)
    case.admin.post(f"/v1/agents/{case.agent}/revoke-tokens", status=200)
    assert case.ask()["reasonCode"] == "token_revoked"
    assert case.ask(token=case.admin.token(case.agent))["reasonCode"] == "approval_required"


def test_nobody_is_asked_for_what_is_denied_anyway(case: Case) -> None:
    case.admin.policy(["pay"], ["*"], effect="deny", appliesTo={"agentIds": [case.agent]})
    assert case.ask()["reasonCode"] == "policy_denied"
    listed = case.one.get("/v1/approvals", params={"limit": 200})["items"]
    assert case.agent not in [approval["agentId"] for approval in listed]


def test_an_approval_survives_a_restart_and_is_used_once(tmp_path: Any) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            agent = api.agent()
            api.policy(["pay"], constraints={"requiresApproval": True})
            token, person, enforcer = api.token(agent), api.key("approve")["key"], api.key("enforce")["key"]
        with server.api(enforcer) as caller, server.api(person) as one:
            approval = caller.enforce(token, "pay", "x")["approval"]["id"]
            one.post(f"/v1/approvals/{approval}/approve", {}, status=200)
        server.kill()
        server.start()
        with server.api(enforcer) as caller:
            decisions = [caller.enforce(token, "pay", "x") for _ in range(3)]
        assert codes(*decisions) == ["allowed", "approval_required", "approval_required"]
        server.kill()
        server.start()
        with server.api(enforcer) as caller:
            assert caller.enforce(token, "pay", "x")["approval"]["id"] == decisions[1]["approval"]["id"]


# --- races ------------------------------------------------------------------------------------------------------------


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """`work` in so many threads, begun at one moment."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def wait_until(done: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_two_who_redeem_at_once(case: Case) -> None:
    clients = [case.server.api(str(case.enforcer.client.headers["X-Api-Key"])) for _ in range(4)]
    for number in range(25):
        arguments = {"round": number}
        case.approved(arguments=arguments)
        decisions = together(4, lambda at, a=arguments: case.ask(clients[at], arguments=a))
        assert sorted(codes(*decisions)) == ["allowed"] + ["approval_required"] * 3, number
        assert len({decision["decisionId"] for decision in decisions}) == 4
    for client in clients:
        client.close()


def test_two_who_redeem_at_once_with_one_request_id(case: Case) -> None:
    clients = [case.server.api(str(case.enforcer.client.headers["X-Api-Key"])) for _ in range(4)]
    for number in range(10):
        arguments = {"round": number}
        case.approved(arguments=arguments)
        once = f"once-{number}"
        decisions = together(4, lambda at, a=arguments, r=once: case.ask(clients[at], arguments=a, requestId=r))
        allowed = {decision["decisionId"] for decision in decisions if decision["decision"] == "allowed"}
        assert len(allowed) == 1, number
        assert all(decision["replayed"] for decision in decisions if decision["decision"] == "allowed") is False
    for client in clients:
        client.close()


def test_many_who_ask_at_once_ask_one_question(case: Case) -> None:
    clients = [case.server.api(str(case.enforcer.client.headers["X-Api-Key"])) for _ in range(6)]
    for number in range(5):
        decisions = together(6, lambda at, n=number: case.ask(clients[at], arguments={"round": n}))
        assert codes(*decisions) == ["approval_required"] * 6
        assert len({decision["approval"]["id"] for decision in decisions}) == 1
    for client in clients:
        client.close()


def test_approve_and_reject_at_once(case: Case) -> None:
    for number in range(12):
        arguments = {"round": number}
        approval = case.pending(arguments=arguments)
        answers = together(
            2,
            lambda at, a=approval: (case.one, case.two)[at].send(
                "POST", f"/v1/approvals/{a}/{('approve', 'reject')[at]}", {} if at == 0 else {"reason": "no"}
            ),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        expected = "allowed" if answers[0].status_code == 200 else "approval_rejected"
        assert case.ask(arguments=arguments)["reasonCode"] == expected


def test_approve_and_expire_at_once(new_case: Callable[..., Case]) -> None:
    """Votes that come about when the time is up: each counts or does not, and none is used after its time."""
    case = new_case({"expiresIn": 1})
    decisions = [case.ask(arguments={"n": number}) for number in range(24)]
    ends = [datetime.fromisoformat(decision["approval"]["expiresAt"]) for decision in decisions]

    def race(number: int) -> tuple[int, str, datetime]:
        with case.server.api(str(case.one.client.headers["X-Api-Key"])) as one:
            offset = -0.06 + number * 0.005
            left = (ends[number] - datetime.now(ends[number].tzinfo)).total_seconds() + offset
            time.sleep(max(left, 0))
            path = f"/v1/approvals/{decisions[number]['approval']['id']}/approve"
            voted = one.send("POST", path, {})
        with case.server.api(str(case.enforcer.client.headers["X-Api-Key"])) as enforcer:
            used = case.ask(enforcer, arguments={"n": number})
        return voted.status_code, used["reasonCode"], datetime.fromisoformat(used["evaluatedAt"])

    with ThreadPoolExecutor(24) as pool:
        results = list(pool.map(race, range(24)))
    for (status, code, at), end in zip(results, ends, strict=True):
        assert status in (200, 409)
        assert code in ("allowed", "approval_expired", "approval_required")
        if code == "allowed":
            assert status == 200
            assert at < end
    lost = [d["approval"]["id"] for d, (_, code, _) in zip(decisions, results, strict=True) if code != "allowed"]
    wait_until(lambda: all("approval.expired" in steps(case).get(approval, ()) for approval in lost))
    for decision in decisions:
        told = steps(case).get(decision["approval"]["id"], [])
        assert len(told) == len(set(told)), "a step was taken twice"
        assert ("approval.expired" in told) is (decision["approval"]["id"] in lost)


def steps(case: Case) -> dict[str, list[str]]:
    """What the log says became of each approval."""
    found: dict[str, list[str]] = {}
    for item in case.admin.get("/v1/audit", params={"agent": case.agent, "limit": 200})["items"]:
        record = item["record"]
        if record["kind"].startswith("approval."):
            found.setdefault(record["approvalId"], []).append(record["kind"])
    return found
