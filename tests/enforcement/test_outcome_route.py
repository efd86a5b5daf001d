"""An outcome is reported in two ways, past FastAPI and, with an `Idempotency-Key`, through it: the same answers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support import Api, Server

KEYED = "Idempotency-Key"


@pytest.fixture
def allowed(api: Api) -> Any:
    """A fresh decision that holds a place."""
    agent = api.agent()
    api.policy(appliesTo={"agentIds": [agent]}, constraints={"maxConcurrentTasks": 1})
    return api.enforce(api.token(agent), "read", "x")


def told(api: Api, id: str, body: Any, *, keyed: bool, **more: Any) -> tuple[int, Any]:
    """Status and body of the answer, without what no two answers share."""
    headers = {KEYED: uuid4().hex} if keyed else {}
    response = api.send("POST", f"/v1/decisions/{id}/outcome", body, headers=headers, **more)
    assert response.headers["cache-control"] == "no-store"
    assert len(response.headers.get_list("x-request-id")) == 1
    return response.status_code, {name: value for name, value in response.json().items() if name != "requestId"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"status": "done"},
        {"status": None},
        {"status": "succeeded", "labels": None},
        {"status": "succeeded", "labels": ["a"] * 33},
        {"status": "succeeded", "labels": [""], "created": [1]},
        {"status": "succeeded", "created": ["act://x"] * 257},
        {"status": "succeeded", "more": 1},
    ],
    ids=lambda body: str(body)[:40],
)
def test_the_same_faults(api: Api, allowed: Any, body: Any) -> None:
    plain, keyed = (told(api, allowed["decisionId"], body, keyed=keyed) for keyed in (False, True))
    if body is not None:
        assert plain == keyed
    assert (plain[0], plain[1]["type"].rpartition(":")[2]) in (
        (422, "document_invalid"),
        (415, "media_type_unsupported"),
    )
    assert (
        api.post(f"/v1/decisions/{allowed['decisionId']}/outcome", {"status": "failed"}, status=200)["repeated"]
        is False
    )


def test_the_same_report(api: Api, allowed: Any) -> None:
    body = {"status": "succeeded", "labels": ["b", "a"], "created": ["x"]}
    first, again, keyed = (told(api, allowed["decisionId"], body, keyed=keyed) for keyed in (False, False, True))
    assert (first[0], first[1]["repeated"]) == (200, False)
    assert again == keyed == (200, first[1] | {"repeated": True})
    for keyed in (False, True):
        status, problem = told(api, allowed["decisionId"], body | {"status": "failed"}, keyed=keyed)
        assert (status, problem["code"]) == (409, "outcome_reported")


@pytest.mark.parametrize("keyed", [False, True])
def test_who_may_report(server: Server, api: Api, allowed: Any, keyed: bool) -> None:
    body, id = {"status": "succeeded"}, allowed["decisionId"]
    with server.api(None) as nobody, server.api("act_wrong") as wrong, server.api(api.key("audit")["key"]) as reader:
        assert [told(one, id, body, keyed=keyed)[0] for one in (nobody, wrong, reader)] == [401, 401, 403]
    with server.api(api.key("enforce", agentId=api.agent())["key"]) as other:
        assert told(other, id, body, keyed=keyed)[0] == 404
    assert told(api, "dec_unknown", body, keyed=keyed)[0] == 404


def test_other_paths_and_methods_are_not_outcomes(api: Api, allowed: Any) -> None:
    path = f"/v1/decisions/{allowed['decisionId']}/outcome"
    assert api.send("GET", path).status_code == 405
    assert api.send("PUT", path, {"status": "succeeded"}).status_code == 405
    for other in (f"{path}/", f"/v1/decisions/a{path}", "/v1/decisions//outcome", f"{path}s"):
        assert api.send("POST", other, {"status": "succeeded"}).status_code == 404, other
    assert api.post(path, {"status": "succeeded"}, status=200)["repeated"] is False


def test_an_empty_key_is_a_key(api: Api, allowed: Any) -> None:
    """Who sends one wants what it promises; a malformed one is refused and not passed over."""
    path, body = f"/v1/decisions/{allowed['decisionId']}/outcome", {"status": "succeeded"}
    assert api.send("POST", path, body, headers={KEYED: ""}).json()["code"] == "idempotency_key_malformed"
    assert api.post(path, body, status=200)["repeated"] is False
