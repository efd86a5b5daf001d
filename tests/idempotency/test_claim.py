"""What is sealed opens for the same caller and the same request, and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.idempotency.claim import MAX_KEPT, SALT, Answer, Claim, claim, well_formed

API_KEY = "act_test_admin_0123456789abcdef0123456789abcdef"
SECRET = b'{"token":"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"}'
ANSWER = Answer(201, ((b"content-type", b"application/json"), (b"etag", b'"v1"'), (b"location", b"/v1/x")), SECRET)


def asked(**changes: Any) -> Claim:
    request: dict[str, Any] = {
        "tenant_id": "t",
        "key_id": "key_1",
        "api_key": API_KEY,
        "name": "once",
        "method": "POST",
        "path": "/v1/tokens",
        "query": b"a=1",
        "if_match": (b'"v1"',),
        "body": b'{"agentId":"a"}',
    }
    return claim(**(request | changes))


OTHERS = [
    {"api_key": API_KEY + "x"},
    {"name": "twice"},
    {"method": "PUT"},
    {"path": "/v1/tokens/"},
    {"query": b"a=2"},
    {"if_match": ()},
    {"if_match": (b'"v1"', b'"v1"')},
    {"body": b'{"agentId":"b"}'},
    # What belongs to one part cannot be moved to the next.
    {"path": "/v1/toke", "query": b"nsa=1"},
    {"if_match": (b'"v1"],"', b"")},
    {"query": b'a=1", ["\\"v1\\""]]\n'},
]


@given(st.integers(200, 399), st.binary(max_size=500), st.binary(min_size=SALT, max_size=SALT))
def test_what_was_sealed_is_opened(status: int, body: bytes, salt: bytes) -> None:
    answer = Answer(status, ANSWER.headers, body)
    sealed = asked().seal(answer, salt)
    assert sealed is not None
    assert asked().unseal(sealed, salt) == answer


def test_nothing_of_it_shows() -> None:
    sealed = asked().seal(ANSWER, bytes(SALT))
    assert sealed is not None
    assert b"eyJ" not in sealed
    for shown in (repr(asked()), repr(ANSWER)):
        assert "eyJ" not in shown
        assert "0123456789abcdef" not in shown
        assert "once" not in shown


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_no_other_caller_and_no_other_request_opens_it(changes: dict[str, Any]) -> None:
    salt = bytes(range(SALT))
    sealed = asked().seal(ANSWER, salt)
    other = asked(**changes)
    assert sealed is not None
    assert other.unseal(sealed, salt) is None
    assert (other.hash, other.fingerprint) != (asked().hash, asked().fingerprint)


def test_a_changed_byte_and_another_salt_open_nothing() -> None:
    salt = bytes(range(SALT))
    sealed = asked().seal(ANSWER, salt)
    assert sealed is not None
    assert asked().unseal(sealed, bytes(SALT)) is None
    for place in (0, len(sealed) // 2, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert asked().unseal(bytes(changed), salt) is None
    assert asked().unseal(sealed[:-1], salt) is None


def test_two_salts_make_two_texts() -> None:
    assert asked().seal(ANSWER, bytes(SALT)) != asked().seal(ANSWER, bytes(range(SALT)))


def test_only_what_is_about_the_answer_is_kept() -> None:
    headers = (*ANSWER.headers, (b"x-request-id", b"r"), (b"content-length", b"1"), (b"set-cookie", b"c"))
    sealed = asked().seal(Answer(200, headers, b""), bytes(SALT))
    assert sealed is not None
    assert asked().unseal(sealed, bytes(SALT)) == Answer(200, ANSWER.headers, b"")


def test_the_size_is_bounded() -> None:
    assert asked().seal(Answer(200, (), bytes(MAX_KEPT)), bytes(SALT)) is not None
    assert asked().seal(Answer(200, (), bytes(MAX_KEPT + 1)), bytes(SALT)) is None


@pytest.mark.parametrize(
    ("name", "good"),
    [("a", True), ("~" * 255, True), ("!", True), ("", False), ("~" * 256, False), ("a b", False), ("a\n", False)],
)
def test_the_form_of_a_key(name: str, good: bool) -> None:
    assert well_formed(name) is good
