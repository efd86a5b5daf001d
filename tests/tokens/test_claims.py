"""Claims, read strictly: each missing, each of every other type, and any that is not known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.models import ReasonCode
from act.tokens.claims import LEEWAY, MAX_DATE, Claims, check_dates, check_expiry, check_issuer, parse
from act.tokens.refusal import Refusal
from act.tokens.scope import scope_of
from tests.tokens.forge import CLAIMS

PAYLOAD = CLAIMS.to_payload()
TEXTS = ("iss", "aud", "jti", "tid", "sub", "client_id")
INTEGERS = ("iat", "nbf", "exp", "sq")
NOW = CLAIMS.issued_at + 60
ODD: list[Any] = [None, True, False, 1.0, -1, "", "1", [], ["x"], {}, {"a": 1}, float("nan")]


def code(outcome: Claims | Refusal | None) -> ReasonCode | None:
    assert not isinstance(outcome, Claims), "the claims were accepted"
    return outcome.code if outcome else None


texts = st.text(min_size=1, max_size=10)
integers = st.integers(0, MAX_DATE)


BEGUN = st.tuples(texts, texts, texts, integers, integers, integers, texts, texts, texts, integers, texts, st.just(()))


@given(BEGUN.map(lambda begun: Claims(*begun)))
def test_round_trip(claims: Claims) -> None:
    claims = claims._replace(actors=(claims.agent_id,))
    assert parse(claims.to_payload()) == claims


@st.composite
def delegated(draw: st.DrawFn) -> Claims:
    """Claims of a token that was handed down, with everything that they may say."""
    agents = draw(st.lists(texts, min_size=2, max_size=9, unique=True))
    nodes = draw(st.lists(texts, min_size=len(agents), max_size=len(agents), unique=True))
    patterns = st.lists(st.sampled_from(["*", "a", "api://*", "a*b"]), min_size=1, max_size=3, unique=True)
    ids = draw(st.none() | st.sets(texts, min_size=1, max_size=3))
    return CLAIMS._replace(
        subject=draw(texts),
        agent_id=agents[-1],
        actors=tuple(agents),
        node=nodes[-1],
        path=tuple(nodes[:-1]),
        grants=draw(st.sampled_from([("use",), ("delegate",), ("use", "delegate")])),
        hand_to=draw(st.none() | st.just({"roles": ["executor"], "agentIds": []})),
        max_depth=draw(st.integers(0, 8)),
        scope=scope_of(draw(st.lists(st.tuples(patterns, patterns), min_size=1, max_size=3)), ids),
        task_id=draw(texts),
        facts=draw(st.dictionaries(texts, texts, max_size=2)),
        confirmation={"kty": "OKP"},
    )


@given(delegated())
def test_round_trip_of_a_chain(claims: Claims) -> None:
    assert parse(claims.to_payload()) == claims


CHAIN = CLAIMS._replace(
    agent_id="agt_3", actors=("agt_1", "agt_2", "agt_3"), path=("nod_a", "nod_b"), task_id="t", facts={"a": 1}
).to_payload()
ACT = CHAIN["act"]


def test_the_chain_that_the_next_tests_break() -> None:
    assert isinstance(parse(CHAIN), Claims)
    assert ACT == {"sub": "agt_3", "act": {"sub": "agt_2", "act": {"sub": "agt_1"}}}


@pytest.mark.parametrize(
    "act",
    [
        *ODD,
        ACT["act"],
        {"sub": "agt_3"},
        {"sub": "agt_3", "act": {"sub": "agt_2"}},
        {"sub": "agt_3", "act": ACT},
        {"sub": "agt_x", "act": ACT["act"]},
        ACT | {"iss": "x"},
        {"act": ACT["act"]},
        {"sub": "agt_3", "act": ACT["act"] | {"act": {"sub": ""}}},
        {"sub": "agt_3", "act": ACT["act"] | {"act": {"sub": 1}}},
        {"sub": "agt_3", "act": ACT["act"] | {"act": "agt_1"}},
    ],
    ids=str,
)
def test_agents_that_are_not_the_chain(act: Any) -> None:
    assert code(parse(CHAIN | {"act": act})) is ReasonCode.TOKEN_MALFORMED


def test_a_chain_without_its_agents_and_agents_without_a_chain() -> None:
    assert code(parse({name: value for name, value in CHAIN.items() if name != "act"})) is ReasonCode.TOKEN_MALFORMED
    assert code(parse(PAYLOAD | {"act": {"sub": PAYLOAD["client_id"]}})) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "path",
    [["nod_a", ""], ["nod_a", 1], ["nod_a", None], ["nod_a", []], ["nod_a", "nod_a"], ["nod_a", "nod_1"]],
    ids=str,
)
def test_a_way_through_the_tree_that_is_none(path: list[Any]) -> None:
    assert (CHAIN["dlg"]["node"], CHAIN["dlg"]["depth"]) == ("nod_1", 2)
    assert code(parse(CHAIN | {"dlg": CHAIN["dlg"] | {"path": path}})) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "task",
    [*ODD, {"id": "t"}, {"facts": {}}, {"id": "", "facts": {}}, {"id": 1, "facts": {}}]
    + [{"id": "t", "facts": facts} for facts in ([], None, "x")]
    + [{"id": "t", "facts": {}, "more": 1}],
    ids=str,
)
def test_a_task_that_is_none(task: Any) -> None:
    assert code(parse(CHAIN | {"task": task})) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize("cnf", [*ODD, {"jwk": None}, {"jwk": []}, {"jwk": {}, "kid": "x"}, {"jkt": "x"}], ids=str)
def test_a_confirmation_that_is_none(cnf: Any) -> None:
    assert code(parse(CHAIN | {"cnf": cnf})) is ReasonCode.TOKEN_MALFORMED


PART = {"type": "act", "actions": ["*"], "resources": ["*"]}


@pytest.mark.parametrize(
    "details",
    [
        *ODD,
        [PART, "x"],
        [PART | {"type": "other"}],
        [PART | {"actions": []}],
        [PART | {"resources": []}],
        [PART | {"actions": [1]}],
        [PART | {"resources": ["a" * 2000]}],
        [PART | {"policyIds": []}],
        [PART | {"policyIds": ["p"]}, PART],
        [PART | {"more": 1}],
        [{"type": "act", "actions": ["*"]}],
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_scope_that_is_none(details: Any) -> None:
    assert code(parse(CHAIN | {"authorization_details": details})) is ReasonCode.TOKEN_MALFORMED


def test_the_claims_are_all_that_the_standard_asks_for() -> None:
    """RFC 9068, section 2.2, and what 2-semantics adds."""
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= PAYLOAD.keys()
    assert PAYLOAD.keys() == {*TEXTS, *INTEGERS, "dlg", "ver"}


@pytest.mark.parametrize("name", sorted(PAYLOAD))
def test_a_missing_claim(name: str) -> None:
    payload = {key: value for key, value in PAYLOAD.items() if key != name}
    assert code(parse(payload)) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize("name", ["admin", "scope", "act", "cnf", "authorization_details", "Sub", "exp ", ""])
def test_an_unknown_claim(name: str) -> None:
    assert code(parse(PAYLOAD | {name: "x"})) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize("value", [odd for odd in ODD if odd != "1"], ids=repr)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_another_type(name: str, value: Any) -> None:
    assert code(parse(PAYLOAD | {name: value})) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize("value", [*ODD, MAX_DATE + 1, 10**30], ids=repr)
@pytest.mark.parametrize("name", INTEGERS)
def test_an_integer_of_another_type_or_size(name: str, value: Any) -> None:
    assert code(parse(PAYLOAD | {name: value})) is ReasonCode.TOKEN_MALFORMED


@pytest.mark.parametrize("value", [*ODD, 0, 2], ids=repr)
def test_another_version(value: Any) -> None:
    assert code(parse(PAYLOAD | {"ver": value})) is ReasonCode.TOKEN_MALFORMED


DELEGATION = PAYLOAD["dlg"]


@pytest.mark.parametrize(
    "value",
    [
        *ODD,
        *({key: value for key, value in DELEGATION.items() if key != name} for name in DELEGATION),
        DELEGATION | {"maxDepth": 9},
        DELEGATION | {"maxDepth": -1},
        DELEGATION | {"maxDepth": True},
        DELEGATION | {"grants": []},
        DELEGATION | {"grants": ["delegate", "use"]},
        DELEGATION | {"grants": "use"},
        DELEGATION | {"to": []},
        DELEGATION | {"to": {"roles": []}},
        DELEGATION | {"to": {"roles": [""], "agentIds": []}},
        DELEGATION | {"node": ""},
        DELEGATION | {"node": 7},
        DELEGATION | {"node": None},
        DELEGATION | {"path": ["nod_0"]},
        DELEGATION | {"path": None},
        DELEGATION | {"path": {}},
        DELEGATION | {"depth": 1},
        DELEGATION | {"depth": False},
        DELEGATION | {"depth": 0.0},
        DELEGATION | {"depth": None},
    ],
    ids=repr,
)
def test_a_place_in_the_tree_that_is_none(value: Any) -> None:
    assert code(parse(PAYLOAD | {"dlg": value})) is ReasonCode.TOKEN_MALFORMED


def test_the_root_is_where_the_chain_began() -> None:
    assert CLAIMS.root == CLAIMS.node
    assert CLAIMS._replace(path=("nod_0", "nod_9")).root == "nod_0"


def test_a_chain_of_eight_is_read_and_one_of_nine_is_not() -> None:
    for depth in (8, 9):
        path = tuple(f"nod_{number}" for number in range(depth))
        actors = tuple(f"agt_{number}" for number in range(depth))
        chain = CLAIMS._replace(path=path, node="nod_x", actors=(*actors, CLAIMS.agent_id))
        assert isinstance(parse(chain.to_payload()), Claims) == (depth == 8)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"not_before": NOW + LEEWAY, "issued_at": NOW + LEEWAY}, None),
        ({"not_before": NOW + LEEWAY + 1}, ReasonCode.TOKEN_NOT_YET_VALID),
        ({"issued_at": NOW + LEEWAY + 1}, ReasonCode.TOKEN_NOT_YET_VALID),
        ({"not_before": MAX_DATE}, ReasonCode.TOKEN_NOT_YET_VALID),
        ({"expires_at": CLAIMS.issued_at + 7200}, None),
        ({"expires_at": CLAIMS.issued_at + 7201}, ReasonCode.TOKEN_TTL_EXCEEDED),
        ({"expires_at": MAX_DATE}, ReasonCode.TOKEN_TTL_EXCEEDED),
        ({"issued_at": 0}, ReasonCode.TOKEN_TTL_EXCEEDED),
        ({"expires_at": CLAIMS.issued_at}, ReasonCode.TOKEN_TTL_EXCEEDED),
        ({"expires_at": CLAIMS.issued_at - 1}, ReasonCode.TOKEN_TTL_EXCEEDED),
    ],
)
def test_dates(changed: dict[str, Any], expected: ReasonCode | None) -> None:
    assert code(check_dates(CLAIMS._replace(**changed), NOW, 7200)) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (CLAIMS.expires_at - 0.001, None),
        (CLAIMS.expires_at, ReasonCode.TOKEN_EXPIRED),
        (CLAIMS.expires_at + LEEWAY - 1, ReasonCode.TOKEN_EXPIRED),
    ],
)
def test_nothing_is_allowed_after_the_expiry(now: float, expected: ReasonCode | None) -> None:
    assert code(check_expiry(CLAIMS, now)) is expected


@pytest.mark.parametrize(
    ("issuer", "audience", "expected"),
    [
        (CLAIMS.issuer, CLAIMS.audience, None),
        (CLAIMS.issuer + "/", CLAIMS.audience, ReasonCode.TOKEN_ISSUER_MISMATCH),
        (CLAIMS.issuer.upper(), CLAIMS.audience, ReasonCode.TOKEN_ISSUER_MISMATCH),
        (CLAIMS.issuer, CLAIMS.audience + "x", ReasonCode.TOKEN_AUDIENCE_MISMATCH),
        ("other", "other", ReasonCode.TOKEN_ISSUER_MISMATCH),
    ],
)
def test_issuer_and_audience(issuer: str, audience: str, expected: ReasonCode | None) -> None:
    assert code(check_issuer(CLAIMS, issuer, audience)) is expected
