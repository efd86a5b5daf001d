"""A frozen tenant: everything is denied from the next request on, no token is made, people can still work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.attacks.conftest import OTHER_TENANT
from tests.attacks.log import caused, size
from tests.support import Api, Server
from tests.tenants.conftest import TENANT, able, able_agent, code


def freeze(api: Api, body: Any = None) -> Any:
    return api.post(f"{TENANT}/freeze", body, status=200)


def unfreeze(api: Api, body: Any = None) -> Any:
    return api.post(f"{TENANT}/unfreeze", body, status=200)


# --- what it stops ----------------------------------------------------------------------------------------------------


def test_everything_is_denied_from_the_next_request_on_until_the_end(api: Api) -> None:
    token = able(api)
    assert code(api, token) == "allowed"
    frozen = freeze(api, {"reason": "incident 42"})
    for more in ({}, {"dryRun": True}, {"requesterToken": token}, {"tenantId": "default-tenant"}):
        decision = api.enforce(token, "run", "x", minRevision=frozen["revision"], **more)
        assert (decision["decision"], decision["reasonCode"]) == ("denied", "tenant_frozen")
        assert decision["revision"] >= frozen["revision"]
        assert "incident" not in decision["reason"]  # what people wrote for people is not for agents
    assert code(api, "no token at all") == "tenant_frozen"
    assert api.enforce(token, "..", "a/../b")["reasonCode"] == "tenant_frozen"
    unfreeze(api)
    assert code(api, token) == "allowed"


def test_a_frozen_answer_is_in_the_log(api: Api) -> None:
    token = able(api)
    freeze(api)
    decision = api.enforce(token, "run", "x")
    record = api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    assert (record["decision"], record["reasonCode"]) == ("denied", "tenant_frozen")
    assert record["action"] == "run"


def test_an_earlier_answer_does_not_stand_in_a_frozen_tenant(api: Api) -> None:
    token, id = able(api), uuid4().hex
    allowed = api.enforce(token, "run", "x", requestId=id)
    assert api.enforce(token, "run", "x", requestId=id) == allowed | {"replayed": True}
    freeze(api)
    denied = [api.enforce(token, "run", "x", requestId=id) for _ in range(2)]
    assert [(d["reasonCode"], d["replayed"]) for d in denied] == [("tenant_frozen", False)] * 2
    unfreeze(api)
    again = api.enforce(token, "run", "x", requestId=id)
    assert (again["reasonCode"], again["replayed"]) == ("allowed", False)


def test_an_approval_is_not_used_up_by_a_denial(api: Api, server: Server) -> None:
    agent = api.agent()
    api.policy(["run"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    token, key = api.token(agent), api.key("enforce")["key"]
    with server.api(key) as caller:
        approval = caller.enforce(token, "run", "x")["approval"]["id"]
        freeze(api)
        api.post(f"/v1/approvals/{approval}/approve", {}, status=200)  # people can still say yes; it has no effect yet
        assert code(caller, token) == "tenant_frozen"
        unfreeze(api)
        assert code(caller, token) == "allowed"
        assert code(caller, token) == "approval_required"


def test_no_token_is_made_and_nothing_is_recorded_of_it(api: Api) -> None:
    agent = api.agent()
    freeze(api)
    before = size(api)
    problem = api.post("/v1/tokens", {"agentId": agent}, status=409)
    assert problem["code"] == "tenant_frozen"
    assert caused(api, before) == []
    assert api.get("/v1/tokens", params={"agentId": agent})["items"] == []
    unfreeze(api)
    api.token(agent)


def test_permissions_say_that_nothing_holds(api: Api) -> None:
    agent = api.agent()
    assert api.get(f"/v1/agents/{agent}/permissions")["canAct"] is True
    freeze(api)
    assert api.get(f"/v1/agents/{agent}/permissions")["canAct"] is False


def test_it_outlives_the_server(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            token = able(api)
            freeze(api, {"reason": "why"})
        server.kill()
        server.start()
        with server.api() as api:
            assert code(api, token) == "tenant_frozen"
            assert api.get(TENANT)["frozenReason"] == "why"
            unfreeze(api)
            assert code(api, token) == "allowed"


# --- what it leaves ---------------------------------------------------------------------------------------------------


def test_people_can_still_work(api: Api) -> None:
    token = able(api)
    policy = api.policy(["lease"], appliesTo={"roles": ["worker"]}, constraints={"maxConcurrentTasks": 1})
    worker = api.agent(None, "worker")
    leased = api.enforce(api.token(worker), "lease", "x")
    freeze(api)
    report = api.post(f"/v1/decisions/{leased['decisionId']}/outcome", {"status": "failed"}, status=200)
    assert report["status"] == "failed"
    api.delete(f"/v1/policies/{policy['id']}")
    other = able_agent(api)
    api.post(f"/v1/agents/{other}/suspend", status=200)
    issued = next(t for t in api.get("/v1/tokens", params={"agentId": worker})["items"])
    api.post(f"/v1/tokens/{issued['id']}/revoke", status=200)
    api.key("audit")
    assert code(api, token) == "tenant_frozen"


def test_another_tenant_goes_on(api: Api, stranger: Api) -> None:
    token = able(stranger)
    freeze(api)
    assert code(stranger, token) == "allowed"
    stranger.token(stranger.agent())
    assert stranger.get(f"/v1/tenants/{OTHER_TENANT}")["frozen"] is False


def test_only_an_admin_of_the_tenant_has_the_switch(api: Api, server: Server, stranger: Api) -> None:
    token = able(api)
    for verb in ("freeze", "unfreeze"):
        problem = stranger.post(f"{TENANT}/{verb}", status=404)
        assert problem["code"] == "not_found"
        nobody = stranger.post(f"/v1/tenants/nobody/{verb}", status=404)
        assert nobody["detail"] == problem["detail"].replace("default-tenant", "nobody")
    others = ("agents", "policies", "tokens", "enforce", "approve", "audit", "analysis")
    with server.api(api.key(*others)["key"]) as caller:
        assert caller.post(f"{TENANT}/freeze", status=403)["code"] == "scope_missing"
    assert code(api, token) == "allowed"
    freeze(api)
    with server.api(api.key(*others)["key"]) as caller:
        assert caller.post(f"{TENANT}/unfreeze", status=403)["code"] == "scope_missing"
    assert code(api, token) == "tenant_frozen"


# --- the switch itself ------------------------------------------------------------------------------------------------


def test_freezing_and_unfreezing_twice_is_no_error(api: Api) -> None:
    before = size(api)
    first, second = freeze(api, {"reason": "first"}), freeze(api, {"reason": "second"})
    assert first == {
        "tenantId": "default-tenant",
        "frozen": True,
        "frozenAt": first["frozenAt"],
        "reason": "first",
        "revision": first["revision"],
    }
    assert first["frozenAt"] is not None
    assert second == first | {"revision": first["revision"] + 1}
    shown = api.get(TENANT)
    assert (shown["frozen"], shown["frozenAt"], shown["frozenReason"]) == (True, first["frozenAt"], "first")

    open_again = [unfreeze(api, {"reason": "over"}), unfreeze(api)]
    for answer in open_again:
        assert (answer["frozen"], answer["frozenAt"], answer["reason"]) == (False, None, None)
    records = caused(api, before)
    told = [(record["kind"], record.get("reason"), record["revision"]) for record in records]
    assert told == [
        ("tenant.frozen", "first", first["revision"]),
        ("tenant.frozen", "second", second["revision"]),
        ("tenant.unfrozen", "over", open_again[0]["revision"]),
        ("tenant.unfrozen", None, open_again[1]["revision"]),
    ]
    assert all(record["keyId"].startswith("key_") for record in records)


@pytest.mark.parametrize("verb", ["freeze", "unfreeze"])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"reason": ""}, "/reason"),
        ({"reason": "x" * 501}, "/reason"),
        ({"reason": 1}, "/reason"),
        ({"why": "x"}, "/why"),
    ],
)
def test_a_body_with_a_fault_changes_nothing(api: Api, verb: str, body: Any, pointer: str) -> None:
    before = api.get(TENANT)
    problem = api.post(f"{TENANT}/{verb}", body, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert api.get(TENANT) == before


# --- at the same moment -----------------------------------------------------------------------------------------------


def test_no_answer_after_the_freeze_allows(api: Api, server: Server) -> None:
    token = able(api)
    begun, frozen, denied, stop = (threading.Event() for _ in range(4))

    def ask() -> list[tuple[bool, Any]]:
        found = []
        with server.api() as caller:
            while not stop.is_set():
                late = frozen.is_set()
                found.append((late, caller.enforce(token, "run", "x")))
                (denied if late else begun).set()
        return found

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        assert begun.wait(30)
        revision = freeze(api)["revision"]
        frozen.set()
        assert denied.wait(30)
        threading.Event().wait(0.5)
        stop.set()
        answers = [answer for future in asking for answer in future.result()]
    allowed = [decision for _, decision in answers if decision["reasonCode"] == "allowed"]
    late = [decision for was_late, decision in answers if was_late]
    assert allowed
    assert late
    assert all(decision["revision"] < revision for decision in allowed)
    assert {decision["reasonCode"] for decision in late} == {"tenant_frozen"}


def test_no_token_slips_past_a_freeze_under_way(api: Api, server: Server) -> None:
    agent = api.agent()
    before = size(api)

    for _ in range(5):
        issued = threading.Event()

        def issue(issued: threading.Event = issued) -> int:
            with server.api() as caller:
                while (answer := caller.send("POST", "/v1/tokens", {"agentId": agent})).status_code == 201:
                    issued.set()
            return answer.status_code

        with ThreadPoolExecutor(4) as pool:
            issuing = [pool.submit(issue) for _ in range(4)]
            assert issued.wait(30)
            freeze(api)
            assert [future.result(30) for future in issuing] == [409] * 4
        unfreeze(api)
    kinds = [line["record"]["kind"] for line in records_since(api, before)]
    assert kinds.count("token.issued") >= 5
    open_now = True
    for kind in kinds:
        open_now = {"tenant.frozen": False, "tenant.unfrozen": True}.get(kind, open_now)
        assert open_now or kind != "token.issued"


def records_since(api: Api, index: int) -> list[Any]:
    found, cursor = [], None
    while True:
        page = api.get("/v1/audit", params={"limit": 200, "order": "asc"} | ({"cursor": cursor} if cursor else {}))
        found += [item for item in page["items"] if item["index"] >= index]
        if not page["hasMore"]:
            return found
        cursor = page["nextCursor"]
