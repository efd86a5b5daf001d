"""Tokens that were good a moment ago, with the signature cache warm: replaced, bound, introspected (6-threats)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.attacks.conftest import OTHER_KEY
from tests.attacks.forge import Forger, b64, dump
from tests.attacks.lines import SCOPE, TASK, Line, claims_of, code, delegated, holder, line, outlive
from tests.in_process import InProcess
from tests.support import Api, Server


@pytest.fixture
def enforcer(server: Server, api: Api) -> Iterator[Api]:
    with server.api(api.key("enforce")["key"]) as enforcer:
        yield enforcer


def api_of(api: Api, *scopes: str) -> Api:
    """A key of its own, which has its own request ids."""
    return Api(str(api.client.base_url), api.key(*scopes)["key"])


def rotate(api: Api, issued: Any, *, status: int = 201, **more: Any) -> Any:
    return api.post(f"/v1/tokens/{issued['tokenId']}/rotate", more, status=status)


def replaced(api: Api, length: int = 1) -> tuple[Line, Any]:
    """A line whose root has another token by now, without grace; both were accepted before."""
    made = line(api, length)
    assert made.codes() == ["allowed"] * length
    return made, rotate(api, made.issued[0], grace=0)


def test_whose_token_it_was_that_was_refused(server: Server, api: Api) -> None:
    """Once the signature holds the record says it; before, nobody knows."""
    made = line(api, 1)
    api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/revoke", status=200)
    decision = api.enforce(made.leaf, "run", TASK)
    record = api.get(f"/v1/audit/{decision['audit']['index']}")["record"]
    assert (decision["agentId"], record["agentId"]) == (made.agents[0], made.agents[0])
    assert record["tokenId"] == made.issued[0]["tokenId"]
    forged = f"{made.leaf.rpartition('.')[0]}.{b64(bytes(256))}"
    decision = api.enforce(forged, "run", TASK)
    assert (decision["reasonCode"], decision["agentId"]) == ("token_signature_invalid", None)


# --- replaced ---------------------------------------------------------------------------------------------------------


def test_within_the_grace_both_are_good_and_after_it_the_old_one_ends_both(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    api, made = node.api, line(node.api, 2)
    new = rotate(api, made.issued[0], grace=30)
    assert (code(api, new["token"]), new["node"]) == ("allowed", made.issued[0]["node"])
    for seconds, expected in ((0, "allowed"), (29, "allowed"), (2, "token_superseded")):
        node.clock.move(seconds)
        assert code(api, made.tokens[0]) == expected
    assert [code(api, token) for token in (new["token"], made.leaf)] == ["token_revoked"] * 2
    assert code(api, made.tokens[0]) == "token_superseded"
    node.close()


def use(api: Api, made: Line, how: str) -> str:
    """Use the replaced token in some way; the code of the answer."""
    old, working = made.tokens[0], line(api, 1)
    if how == "enforce":
        return code(api, old)
    if how == "dry run":
        return code(api, old, dryRun=True)
    if how == "requester":
        decision = api.enforce(working.leaf, "run", TASK, requesterToken=old)
        assert "token_superseded" in decision["reason"]
        return str(decision["reasonCode"])
    if how == "delegate":
        return str(delegated(api, old, made.agent(), status=422)["code"])
    assert how == "rotate by the holder"
    return str(rotate(api, made.issued[0], token=old, status=422)["code"])


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("enforce", "token_superseded"),
        ("dry run", "token_superseded"),
        ("requester", "requester_not_permitted"),
        ("delegate", "token_superseded"),
        ("rotate by the holder", "token_superseded"),
    ],
)
def test_the_use_of_a_replaced_token_ends_its_node_and_all_below(api: Api, how: str, told: str) -> None:
    made, new = replaced(api, 3)
    other = api.token(made.agents[0])
    assert [code(api, token) for token in (new["token"], made.leaf, other)] == ["allowed"] * 3
    assert use(api, made, how) == told
    assert [code(api, token) for token in (new["token"], made.tokens[1], made.leaf)] == ["token_revoked"] * 3
    assert code(api, other) == "allowed"


def test_an_operator_who_names_a_replaced_token_ends_nothing(api: Api) -> None:
    """Nobody has shown the string; an answer that was lost may be asked for again."""
    made, new = replaced(api)
    assert rotate(api, made.issued[0], status=409)["code"] == "token_superseded"
    assert code(api, new["token"]) == "allowed"


def test_a_replaced_token_in_a_strangers_hands_ends_nothing(server: Server, api: Api) -> None:
    """Who may not ask about it at all cannot end it either."""
    made, new = replaced(api)
    with server.api(OTHER_KEY) as stranger:
        assert code(stranger, made.leaf) == "token_tenant_mismatch"
        delegated(stranger, made.leaf, made.agents[0], status=422)
        rotate(stranger, made.issued[0], status=404)
    forger = Forger(server.database, made.leaf)
    header, payload, _ = made.leaf.split(".")
    assert code(api, f"{header}.{payload}.{b64(bytes(256))}") == "token_signature_invalid"
    assert code(api, forger.claiming(iss="urn:other")) == "token_issuer_mismatch"
    assert code(api, new["token"]) == "allowed"


def test_rotated_twice_from_the_same_token(api: Api, enforcer: Api) -> None:
    """A thief and the owner both renew the same token: whoever comes later ends the other's, and then both."""
    made = line(api, 1)
    thief = rotate(enforcer, made.issued[0], token=made.leaf, grace=30)
    owner = rotate(enforcer, made.issued[0], token=made.leaf, grace=0)
    assert code(api, thief["token"]) == "token_superseded"
    assert code(api, owner["token"]) == "token_revoked"


def test_a_renewal_by_the_holder_ends(server: Server, api: Api, enforcer: Api) -> None:
    """No later than its issuer said, however often it is renewed."""
    issued = api.post("/v1/tokens", {"agentId": line(api, 1).agents[0], "expiresIn": 60, "renewFor": 100})
    latest = claims_of(issued["token"])["iat"] + 100
    for _ in range(3):
        issued = rotate(enforcer, issued, token=issued["token"], grace=0, expiresIn=86400)
        assert claims_of(issued["token"])["exp"] == latest
    problem = rotate(enforcer, issued, token=issued["token"], expiresIn=86401, status=422)
    assert problem["code"] == "document_invalid"
    assert rotate(enforcer, issued, token=issued["token"], grace=31, status=422)["errors"][0]["pointer"] == "/grace"


@pytest.mark.parametrize("more", [{"expiresIn": 60}, {"expiresIn": 60, "renewFor": 30}], ids=str)
def test_an_end_that_is_written_is_the_end(api: Api, enforcer: Api, more: dict[str, int]) -> None:
    """Who says a minute means a minute, of a token and of what is handed down."""
    made = line(api, 2)
    parent = api.post("/v1/tokens", {"agentId": made.agents[0]})
    child = delegated(api, parent["token"], made.agents[1], **more)
    for issued in (api.post("/v1/tokens", {"agentId": made.agents[0], **more}), child):
        end = claims_of(issued["token"])["exp"]
        answer = enforcer.send(
            "POST", f"/v1/tokens/{issued['tokenId']}/rotate", {"token": issued["token"], "expiresIn": 3600}
        )
        assert answer.status_code == 201
        assert claims_of(answer.json()["token"])["exp"] <= end
    assert rotate(enforcer, parent, token=parent["token"], expiresIn=7200)  # nothing was said of its end


def test_what_was_handed_down_ends_with_what_it_came_from(api: Api) -> None:
    made = line(api, 2)
    parent = api.post("/v1/tokens", {"agentId": made.agents[0]})
    child = delegated(api, parent["token"], made.agents[1])["token"]
    assert code(api, child) == "allowed"
    outlive(rotate(api, parent, grace=0, expiresIn=1)["token"])
    assert code(api, child) == "token_revoked"


@pytest.mark.parametrize("token", ["", "x", "{other}", "{forged}"])
def test_who_does_not_hold_the_token_does_not_renew_it(server: Server, api: Api, enforcer: Api, token: str) -> None:
    made = line(api, 1)
    other = api.token(made.agents[0])
    forged = Forger(server.database, other).claiming(jti=made.issued[0]["tokenId"])
    shown = token.format(other=other, forged=forged)
    answer = enforcer.send("POST", f"/v1/tokens/{made.issued[0]['tokenId']}/rotate", {"token": shown})
    expected = {"{other}": (403, "token_mismatch"), "{forged}": (422, "token_revoked")}
    assert (answer.status_code, answer.json()["code"]) == expected.get(token, (422, "token_malformed"))


def test_rotation_keeps_what_narrows(api: Api) -> None:
    own = holder(api)
    narrow = [{"actions": ["run"], "resources": [TASK]}]
    made = line(
        api, 1, root={"scope": narrow, "cnf": own.cnf, "onBehalfOf": "ann", "task": {"id": "t", "facts": {"a": 1}}}
    )
    before, after = (claims_of(token) for token in (made.leaf, rotate(api, made.issued[0])["token"]))
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= {"jti", "sq", "iat", "nbf", "exp"}
    assert {"jti", "sq"} <= changed


# --- bound to a key ---------------------------------------------------------------------------------------------------


def test_a_bound_token_without_its_key(server: Server, api: Api) -> None:
    own, eve = holder(api), holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    assert own.code(made.leaf) == "allowed"
    assert code(api, made.leaf) == "proof_required"
    assert eve.code(made.leaf) == "proof_invalid"
    assert code(api, made.leaf, proof="") == "proof_invalid"
    # Taking the key out of the token breaks its signature; another key in it as well.
    header, _, signature = made.leaf.split(".")
    for cnf in (None, eve.cnf):
        claims = claims_of(made.leaf) | {"cnf": cnf}
        changed = {name: value for name, value in claims.items() if value is not None}
        assert code(api, f"{header}.{b64(dump(changed))}.{signature}") == "token_signature_invalid"


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "walk"},
        {"resource": TASK + "0"},
        {"arguments": {"amount": 2}},
        {"arguments": {"amount": True}},
        {"arguments": {}},
        {"arguments": {"amount": 1, "more": None}},
        {"requestId": "another"},
    ],
    ids=str,
)
def test_a_proof_for_another_request(api: Api, enforcer: Api, changed: dict[str, Any]) -> None:
    own = holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    id = uuid4().hex
    proof = own.proof(made.leaf, "run", TASK, id, {"amount": 1})
    asked = {"action": "run", "resource": TASK, "arguments": {"amount": 1}, "requestId": id, "proof": proof}
    assert code(api, made.leaf, **(asked | changed)) == "proof_invalid"
    other = api.token(made.agents[0], cnf=own.cnf)
    with api_of(api, "enforce") as third:
        assert code(third, other, **asked) == "proof_invalid"
    # Each API key has its own request ids.
    assert code(enforcer, made.leaf, **asked) == "allowed"


def test_a_proof_is_not_ignored_with_a_token_that_is_not_bound(api: Api) -> None:
    own = holder(api)
    made = line(api, 1)
    id = uuid4().hex
    for proof in ("", "x", own.proof(made.leaf, "run", TASK, id)):
        with api_of(api, "enforce") as other:
            assert code(other, made.leaf, requestId=id, proof=proof) == "proof_invalid"


def test_a_proof_that_was_used_for_a_denial_is_used(server: Server, api: Api) -> None:
    own = holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    id = uuid4().hex
    proof = own.proof(made.leaf, "walk", TASK, id)
    assert code(api, made.leaf, "walk", requestId=id, proof=proof) == "no_matching_policy"
    made.policy(["walk"], ["*"], 0)
    with server.api(api.key("enforce")["key"]) as other:
        assert code(other, made.leaf, "walk", requestId=id, proof=proof) == "proof_replayed"


def test_a_bound_token_is_not_renewed_without_its_key(api: Api, enforcer: Api) -> None:
    own, eve = holder(api), holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    resource = f"token://{made.issued[0]['tokenId']}"
    assert rotate(enforcer, made.issued[0], token=made.leaf, status=403)["code"] == "proof_required"
    for key, arguments in ((eve, {"grace": 5}), (own, {}), (own, {"grace": 6})):
        proof = key.proof(made.leaf, "rotate", resource, "r", arguments)
        asked = {"token": made.leaf, "proof": proof, "requestId": "r", "grace": 5}
        assert rotate(enforcer, made.issued[0], status=403, **asked)["code"] == "proof_invalid"
    proof = own.proof(made.leaf, "rotate", resource, "r", {"grace": 5})
    asked = {"token": made.leaf, "proof": proof, "requestId": "r", "grace": 5}
    new = rotate(enforcer, made.issued[0], **asked)["token"]
    assert code(api, new) == "proof_required"
    assert own.code(new) == "allowed"
    assert rotate(enforcer, made.issued[0], status=403, **asked)["code"] == "proof_replayed"


def test_a_proof_for_a_question_is_none_for_the_deed(api: Api) -> None:
    """What proves "may I hand this down" does not hand it down a second time."""
    own = holder(api)
    made = line(api, 1, root={"cnf": own.cnf})
    to, theirs = made.agent(), holder(api)
    asked = own.handing(made.leaf, to, cnf=theirs.cnf)
    arguments = {"toAgentId": to, "scope": SCOPE, "cnf": theirs.cnf}
    shown = {"requestId": asked["requestId"], "proof": asked["proof"], "arguments": arguments}
    assert code(api, made.leaf, "delegate", f"agent://{to}", **shown) == "no_matching_policy"
    assert delegated(api, made.leaf, to, status=403, **asked)["code"] == "proof_replayed"


PRIVATE = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        PRIVATE | {"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"},
        PRIVATE | {"kid": "x"},
        PRIVATE | {"x": ""},
        PRIVATE | {"x": b64(bytes(32))},
        PRIVATE | {"x": b64(b"\x01" + bytes(31))},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))},
        {"kty": "EC", "crv": "secp256k1", "x": b64(bytes(32)), "y": b64(bytes(32))},
    ],
    ids=str,
)
def test_keys_that_no_token_is_bound_to(api: Api, jwk: dict[str, Any]) -> None:
    made = line(api, 1)
    problem = api.post("/v1/tokens", {"agentId": made.agents[0], "cnf": {"jwk": jwk}}, status=422)
    assert [error["pointer"] for error in problem["errors"]] == ["/cnf/jwk"]
    problem = delegated(api, made.leaf, made.agent(), cnf={"jwk": jwk}, status=422)
    assert [error["pointer"] for error in problem["errors"]] == ["/cnf/jwk"]


# --- introspection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    ["revoked", "mark", "ancestor", "suspended", "deleted", "replaced", "expired", "garbage", "foreign", "forged"],
)
def test_a_dead_token_introspected(server: Server, api: Api, stranger: Api, how: str) -> None:
    made = line(api, 2, root={"expiresIn": 6} if how == "expired" else None)
    token, agent = made.leaf, f"/v1/agents/{made.agents[1]}"
    if how != "expired":
        told = api.post("/v1/tokens/introspect", {"token": token}, status=200)
        assert (told["active"], told["client_id"]) == (True, made.agents[1])
    if how == "revoked":
        api.post(f"/v1/tokens/{made.issued[1]['tokenId']}/revoke", status=200)
    elif how == "ancestor":
        api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/revoke", status=200)
    elif how == "mark":
        api.post(f"{agent}/revoke-tokens", status=200)
    elif how == "suspended":
        api.post(f"{agent}/suspend", status=200)
    elif how == "deleted":
        api.delete(agent)
    elif how == "replaced":
        rotate(api, made.issued[1], grace=0)
    elif how == "expired":
        outlive(token)
    elif how == "garbage":
        token = "x" * 100
    elif how == "foreign":
        token = stranger.token(stranger.agent())
    else:
        token = Forger(server.database, token).claiming(exp=int(time.time()) + 10**6)
    assert api.post("/v1/tokens/introspect", {"token": token}, status=200) == {"active": False}


def test_introspection_is_for_who_may_see_tokens(api: Api, enforcer: Api) -> None:
    made = line(api, 1)
    assert enforcer.post("/v1/tokens/introspect", {"token": made.leaf}, status=403)["code"] == "scope_missing"


@pytest.mark.parametrize(
    "other",
    [
        {"task": {"id": "another", "facts": {}}},
        {"task": {"id": "ours", "facts": {"cleared": True}}},
        {"authorization_details": [{"type": "act", "actions": ["*"], "resources": ["*"]}]},
        {"sub": "somebody"},
    ],
    ids=str,
)
def test_claims_that_are_not_those_of_the_node(server: Server, api: Api, other: dict[str, Any]) -> None:
    """Signed with a stolen key, for a node that there is: a token says what its node says, or nothing."""
    token = api.token(line(api, 1).agents[0], task={"id": "ours"})
    assert code(api, token) == "allowed"
    assert code(api, Forger(server.database, token).claiming(**other)) == "token_revoked"
