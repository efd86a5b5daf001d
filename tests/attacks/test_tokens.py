"""Hostile capability tokens through HTTP; every one is denied with its own reason code (6-threats, "Tokens")."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks import lines
from tests.attacks.conftest import OTHER_KEY, OTHER_TENANT
from tests.attacks.forge import Forger, b64, dump, unb64
from tests.in_process import InProcess
from tests.support import Api, Server

MAX_TTL = 86400


@dataclass(frozen=True)
class Subject:
    """An agent that may do everything, so that only its token stands between it and the action."""

    api: Api
    agent: str
    forger: Forger

    def code(self, token: str, **more: Any) -> str:
        """The reason code for a token; `allowed` comes only with `allowed`."""
        decision = self.api.enforce(token, "execute", "api://tasks/1", **more)
        assert (decision["decision"] == "allowed") is (decision["reasonCode"] == "allowed")
        assert decision["decision"] != "pending_approval"
        return str(decision["reasonCode"])


@pytest.fixture(scope="module")
def subject(server: Server) -> Iterator[Subject]:
    with server.api() as api:
        yield new_subject(server, api)


def new_subject(server: Server, api: Api) -> Subject:
    agent = api.agent()
    api.policy(["execute"], ["api://tasks/*"], appliesTo={"agentIds": [agent]})
    return Subject(api, agent, Forger(server.database, api.token(agent)))


def test_what_the_forger_makes_without_changes_is_accepted(subject: Subject) -> None:
    assert subject.code(subject.forger.token) == "allowed"
    assert subject.code(subject.forger.make()) == "allowed"
    assert subject.code(subject.forger.claiming()) == "allowed"
    assert subject.code(subject.forger.headed()) == "allowed"


# --- algorithms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AA"])
def test_alg_none(subject: Subject, name: str, signature: str) -> None:
    forger = subject.forger
    token = f"{b64(dump(forger.header | {'alg': name}))}.{b64(dump(forger.payload))}.{signature}"
    assert subject.code(token) == "token_algorithm_not_allowed"


@pytest.mark.parametrize(
    "secret",
    [
        lambda key: key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        lambda key: key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        lambda key: key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        lambda key: b64(key.public_numbers().n.to_bytes(256, "big")).encode(),
    ],
    ids=["spki-pem", "pkcs1-pem", "spki-der", "jwk-n"],
)
@pytest.mark.parametrize("alg", ["HS256", "RS256"])
def test_hmac_with_the_public_key(subject: Subject, secret: Callable[[Any], bytes], alg: str) -> None:
    forger = subject.forger
    signed = f"{b64(dump(forger.header | {'alg': alg}))}.{b64(dump(forger.payload))}"
    mac = hmac.digest(secret(forger.key.public_key()), signed.encode(), "sha256")
    expected = "token_algorithm_not_allowed" if alg == "HS256" else "token_signature_invalid"
    assert subject.code(f"{signed}.{b64(mac)}") == expected


@pytest.mark.parametrize(("alg", "digest"), [("RS384", SHA384()), ("RS512", SHA512())])
def test_another_algorithm_with_the_right_key(subject: Subject, alg: str, digest: Any) -> None:
    header = subject.forger.header | {"alg": alg}
    assert subject.code(subject.forger.make(header=header, hash_algorithm=digest)) == "token_algorithm_not_allowed"


@pytest.mark.parametrize(
    ("alg", "code"), [("PS256", "token_algorithm_not_allowed"), ("RS256", "token_signature_invalid")]
)
def test_another_padding_with_the_right_key(subject: Subject, alg: str, code: str) -> None:
    forger = subject.forger
    signed = f"{b64(dump(forger.header | {'alg': alg}))}.{b64(dump(forger.payload))}"
    signature = forger.key.sign(signed.encode(), padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    assert subject.code(f"{signed}.{b64(signature)}") == code


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "rs256", "", "RS256 "])
def test_an_algorithm_that_is_not_the_keys(subject: Subject, alg: str) -> None:
    assert subject.code(subject.forger.headed(alg=alg)) == "token_algorithm_not_allowed"


# --- keys -------------------------------------------------------------------------------------------------------------

KIDS = [
    "../../../../dev/null",
    "/dev/null",
    "' OR '1'='1",
    "x' UNION SELECT 'key' --",
    "https://evil.example/jwks.json",
    "file:///etc/passwd",
    "| whoami",
    "",
    "\x00",
    "unknown",
]


@pytest.mark.parametrize("kid", KIDS)
def test_kid_is_looked_up_and_nothing_else(subject: Subject, kid: str) -> None:
    assert subject.code(subject.forger.headed(kid=kid)) == "token_key_unknown"


def test_kid_of_the_audit_key_or_in_another_spelling(subject: Subject) -> None:
    forger = subject.forger
    jwks = {key["kid"] for key in subject.api.get("/.well-known/jwks.json")["keys"]}
    audit_kids = forger.other_kids() - jwks
    assert len(audit_kids) == 2  # one a tenant; they sign checkpoints and are no token keys
    for kid in [*audit_kids, forger.header["kid"].upper() + " ", f"./{forger.header['kid']}"]:
        assert subject.code(forger.headed(kid=kid)) == "token_key_unknown"


def test_kid_of_another_tenant(subject: Subject, server: Server, stranger: Api) -> None:
    forger = subject.forger
    foreign = Forger(server.database, stranger.token(stranger.agent()))
    kid = foreign.header["kid"]
    assert subject.code(foreign.token) == "token_tenant_mismatch"
    # The other tenant's key, used rightly, over claims of this tenant.
    assert subject.code(foreign.make(forger.payload)) == "token_tenant_mismatch"
    # This tenant's key under the other's name, and the other way round.
    assert subject.code(forger.headed(kid=kid)) == "token_signature_invalid"
    assert subject.code(forger.make(key=foreign.key)) == "token_signature_invalid"
    assert subject.code(forger.claiming(tid=OTHER_TENANT)) == "token_tenant_mismatch"


def test_a_key_of_the_attackers_own(subject: Subject) -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert subject.code(subject.forger.make(key=key)) == "token_signature_invalid"
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB"}
    header = subject.forger.header | {"jwk": jwk}
    assert subject.code(subject.forger.make(header=header, key=key)) == "token_malformed"


# --- headers ----------------------------------------------------------------------------------------------------------

EXTRA_HEADERS = {
    "jku": "https://evil.example/jwks.json",
    "x5u": "https://evil.example/cert.pem",
    "jwk": {"kty": "oct", "k": "AA"},
    "x5c": ["MIIB"],
    "crit": ["exp"],
    "b64": False,
    "zip": "DEF",
    "cty": "JWT",
    "enc": "A128GCM",
    "nonce": "1",
}


@pytest.mark.parametrize("name", EXTRA_HEADERS)
def test_a_header_field_too_many(subject: Subject, name: str) -> None:
    assert subject.code(subject.forger.headed(**{name: EXTRA_HEADERS[name]})) == "token_malformed"


@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
@pytest.mark.parametrize("value", [..., None, 1, ["RS256"], {"a": "b"}, True])
def test_a_header_field_missing_or_of_another_type(subject: Subject, name: str, value: Any) -> None:
    assert subject.code(subject.forger.headed(**{name: value})) == "token_malformed"


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "AT+JWT", "application/at+jwt", "at+jwt ", "", "dpop+jwt"])
def test_another_typ(subject: Subject, typ: str) -> None:
    assert subject.code(subject.forger.headed(typ=typ)) == "token_malformed"


# --- the string itself ------------------------------------------------------------------------------------------------


def _spared(token: str, part: int) -> str:
    """The same bytes in a part, spelled with another last character."""
    parts = token.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in alphabet:
        spelled = parts[part][:-1] + last
        if spelled != parts[part] and unb64(spelled) == unb64(parts[part]):
            return ".".join([*parts[:part], spelled, *parts[part + 1 :]])
    pytest.fail("this part has no spare bits")


def _with_spare_bits(forger: Forger, part: int) -> str:
    # A length that is no multiple of three leaves spare bits; white space in JSON makes one.
    header, payload = dump(forger.header), dump(forger.payload)
    header += b" " * ((1 - len(header)) % 3)
    payload += b" " * ((1 - len(payload)) % 3)
    token = forger.make(payload, header)
    return _spared(token, part)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_base64_that_is_not_canonical(subject: Subject, part: int) -> None:
    assert subject.code(_with_spare_bits(subject.forger, part)) == "token_malformed"


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize(
    "padded", ["{}=", "{}==", "={}", "{} ", " {}", "{}\n", "\n{}", "{}\r\n", "{}\t", "{}\x00", "{}\u00a0"]
)
def test_padding_and_white_space(subject: Subject, part: int, padded: str) -> None:
    parts = subject.forger.token.split(".")
    parts[part] = padded.format(parts[part])
    assert subject.code(".".join(parts)) == "token_malformed"


def test_the_other_base64_alphabet(subject: Subject) -> None:
    signed, _, signature = subject.forger.token.rpartition(".")
    standard = base64.b64encode(unb64(signature)).decode().rstrip("=")
    assert standard != signature
    assert subject.code(f"{signed}.{standard}") == "token_malformed"


@pytest.mark.parametrize(
    "spell",
    [
        lambda token: "",
        lambda token: "garbage",
        lambda token: "..",
        lambda token: f"Bearer {token}",
        lambda token: f"{token}.",
        lambda token: f".{token}",
        lambda token: f"{token}.{token}",
        lambda token: token.rpartition(".")[0],
        lambda token: token.replace(".", "%2e"),
        lambda token: token.replace(".", "．"),
        lambda token: f"{token}\u200b",
        lambda token: f'{{"payload":"{token.split(".")[1]}","signatures":[]}}',
        lambda token: "é" * 100,
    ],
)
def test_what_is_not_three_parts_of_ascii(subject: Subject, spell: Callable[[str], str]) -> None:
    assert subject.code(spell(subject.forger.token)) == "token_malformed"


def test_sixteen_kilobytes_and_one(subject: Subject) -> None:
    def of_length(length: int) -> str:
        # Every byte more in the claims is a character and a third in the token.
        for size in range((length - len(subject.forger.token)) * 3 // 4 - 50, length):
            token = subject.forger.claiming(x="x" * size)
            if len(token) >= length:
                return token
        pytest.fail("not reached")

    longest = 16 * 1024
    token = next(t for n in range(longest, longest - 4, -1) if len(t := of_length(n)) <= longest)
    decision = subject.api.enforce(token, "execute", "api://tasks/1")
    assert (decision["reasonCode"], "longer" in decision["reason"]) == ("token_malformed", False)
    decision = subject.api.enforce(of_length(longest + 1), "execute", "api://tasks/1")
    assert (decision["reasonCode"], "longer" in decision["reason"]) == ("token_malformed", True)


def test_duplicate_keys(subject: Subject) -> None:
    forger = subject.forger
    header = dump(forger.header)[:-1] + b',"alg":"none"}'
    assert subject.code(forger.make(header=header)) == "token_malformed"
    payload = dump(forger.payload)[:-1] + b',"exp":9999999999}'
    assert subject.code(forger.make(payload)) == "token_malformed"
    nested = dump(forger.payload).replace(b'"depth":0', b'"depth":7,"depth":0')
    assert nested != dump(forger.payload)
    assert subject.code(forger.make(nested)) == "token_malformed"


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b'"text"',
        b"1",
        b"null",
        b"{}",
        b"{",
        b"\xff\xfe",
        b"[" * 6000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"exp":NaN}',
    ],
)
def test_a_payload_that_is_no_claims(subject: Subject, payload: bytes) -> None:
    assert subject.code(subject.forger.make(payload)) == "token_malformed"


def test_signatures_that_do_not_hold(subject: Subject) -> None:
    forger = subject.forger
    signed, _, signature = forger.token.rpartition(".")
    raw = unb64(signature)
    flipped = bytes([raw[0] ^ 1]) + raw[1:]
    for other in (flipped, raw[:-1], raw + b"\x00", b"", bytes(256), raw[::-1]):
        assert subject.code(f"{signed}.{b64(other)}") == "token_signature_invalid"
    header, _, _ = forger.token.split(".")
    widened = b64(dump(forger.payload | {"exp": forger.payload["exp"] + 60}))
    assert subject.code(f"{header}.{widened}.{signature}") == "token_signature_invalid"


# --- claims, signed with the right key --------------------------------------------------------------------------------

DATES: list[Any] = [1.5, 1e300, "1900000000", "now", True, None, [1], {}, -1, -(2**53), 2**53 + 1, 2**64, ...]


@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", DATES, ids=repr)
def test_dates_that_are_no_integers(subject: Subject, claim: str, value: Any) -> None:
    assert subject.code(subject.forger.claiming(**{claim: value})) == "token_malformed"


def test_a_date_of_five_thousand_digits(subject: Subject) -> None:
    payload = dump(subject.forger.payload | {"exp": 0}).replace(b'"exp":0', b'"exp":' + b"9" * 5000)
    assert subject.code(subject.forger.make(payload)) == "token_malformed"
    payload = dump(subject.forger.payload | {"exp": 0}).replace(b'"exp":0', b'"exp":1e400')
    assert subject.code(subject.forger.make(payload)) == "token_malformed"


def test_dates_against_the_clock(subject: Subject) -> None:
    now = int(time.time())
    claiming = subject.forger.claiming
    cases = {
        "token_expired": [
            claiming(iat=now - 100, nbf=now - 100, exp=now - 1),  # no leeway after the end
            claiming(iat=1, nbf=1, exp=2),
            claiming(iat=0, nbf=0, exp=1),
        ],
        "token_not_yet_valid": [claiming(nbf=now + 60), claiming(iat=now + 60, nbf=now, exp=now + 120)],
        "token_ttl_exceeded": [
            claiming(iat=now, exp=now + MAX_TTL + 1),
            claiming(iat=now - MAX_TTL, exp=now + 60),
            claiming(exp=2**53 - 1),
            claiming(iat=now, exp=now),
            claiming(iat=now, exp=now - 10),
        ],
    }
    for code, tokens in cases.items():
        for token in tokens:
            assert subject.code(token) == code


def test_issuer_audience_and_tenant(subject: Subject) -> None:
    claiming, real = subject.forger.claiming, subject.forger.payload
    assert subject.code(claiming(iss="urn:act:other")) == "token_issuer_mismatch"
    assert subject.code(claiming(iss=real["iss"] + "/")) == "token_issuer_mismatch"
    assert subject.code(claiming(aud="urn:act:other")) == "token_audience_mismatch"
    assert subject.code(claiming(aud=[real["aud"]])) == "token_malformed"
    assert subject.code(claiming(tid="nowhere")) == "token_tenant_mismatch"
    assert subject.code(subject.forger.token, tenantId=OTHER_TENANT) == "token_tenant_mismatch"
    assert subject.code(subject.forger.token, tenantId="") == "token_tenant_mismatch"
    assert subject.code(subject.forger.token, tenantId="default-tenant") == "allowed"


def test_claims_that_name_what_is_not_on_record(subject: Subject) -> None:
    claiming, api = subject.forger.claiming, subject.api
    other = api.agent()
    other_token = api.post("/v1/tokens", {"agentId": other})["tokenId"]
    assert subject.code(claiming(jti="tok_" + "0" * 32)) == "token_revoked"
    assert subject.code(claiming(jti=other_token)) == "token_revoked"
    assert subject.code(claiming(client_id=other, sub=other)) == "token_revoked"
    assert subject.code(claiming(sq=0)) == "token_revoked"
    assert subject.code(claiming(client_id="nobody")) == "agent_deleted"


CLAIMS = ("iss", "aud", "jti", "iat", "nbf", "exp", "tid", "sub", "client_id", "sq", "dlg", "ver")


def test_the_claims_are_all_listed(subject: Subject) -> None:
    assert set(CLAIMS) == subject.forger.payload.keys()


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("value", [..., None, "", [], 0.5], ids=repr)
def test_a_claim_missing_or_of_another_type(subject: Subject, claim: str, value: Any) -> None:
    assert subject.code(subject.forger.claiming(**{claim: value})) == "token_malformed"


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "admin"},
        {"roles": ["admin"]},
        {"authorization_details": []},
        {"cnf": {"jkt": "x"}},
        {"act": {"sub": "x"}},
        {"ver": 2},
        {"ver": "1"},
        {"ver": True},
        {"ver": 1.0},
        {"sq": -1},
        {"dlg": {"node": "n", "path": ["x"], "depth": 1}},
        {"dlg": {"node": "n", "path": [], "depth": False}},
        {"dlg": {"node": "n", "path": [], "depth": 0, "grants": ["use"]}},
    ],
    ids=str,
)
def test_a_claim_that_this_version_does_not_know(subject: Subject, claims: dict[str, Any]) -> None:
    assert subject.code(subject.forger.claiming(**claims)) == "token_malformed"


# --- what changed since, with a warm signature cache ------------------------------------------------------------------


@pytest.fixture
def fresh(server: Server, api: Api) -> Subject:
    """An agent of its own, whose token was verified before."""
    subject = new_subject(server, api)
    assert subject.code(subject.forger.token) == "allowed"
    return subject


def test_revoked(fresh: Subject) -> None:
    token, token_id = fresh.forger.token, fresh.forger.payload["jti"]
    other = fresh.api.token(fresh.agent)
    fresh.api.post(f"/v1/tokens/{token_id}/revoke", status=200)
    assert fresh.code(token) == "token_revoked"
    assert fresh.code(fresh.forger.make()) == "token_revoked"
    assert fresh.code(other) == "allowed"


def test_the_agents_mark(fresh: Subject) -> None:
    before = [fresh.forger.token, fresh.api.token(fresh.agent)]
    assert fresh.api.post(f"/v1/agents/{fresh.agent}/revoke-tokens", status=200)["revoked"] == 2
    after = fresh.api.token(fresh.agent)
    assert [fresh.code(token) for token in before] == ["token_revoked"] * 2
    assert fresh.code(after) == "allowed"
    # A raised counter in a token with the right signature is still no token on record.
    assert fresh.code(fresh.forger.claiming(sq=2**50, jti="tok_" + "1" * 32)) == "token_revoked"


def test_suspended_resumed_deleted(fresh: Subject) -> None:
    fresh.api.post(f"/v1/agents/{fresh.agent}/suspend", status=200)
    assert fresh.code(fresh.forger.token) == "agent_suspended"
    assert fresh.api.post("/v1/tokens", {"agentId": fresh.agent}, status=409)["code"] == "agent_suspended"
    fresh.api.post(f"/v1/agents/{fresh.agent}/resume", status=200)
    assert fresh.code(fresh.forger.token) == "allowed"
    fresh.api.delete(f"/v1/agents/{fresh.agent}")
    assert fresh.code(fresh.forger.token) == "agent_deleted"
    assert fresh.api.post("/v1/tokens", {"agentId": fresh.agent}, status=404)["code"] == "not_found"


def test_a_name_given_again_does_not_revive_the_tokens_of_its_first_owner(server: Server, api: Api) -> None:
    name = f"twice-{time.time_ns()}"
    first = api.agent(name)
    token = api.token(first)
    api.delete(f"/v1/agents/{first}")
    second = api.agent(name)
    api.policy(["execute"], appliesTo={"agentIds": [first, second]})
    assert api.enforce(token, "execute", "x")["reasonCode"] == "agent_deleted"
    assert api.enforce(api.token(second), "execute", "x")["reasonCode"] == "allowed"
    assert api.post("/v1/agents", {"id": first, "name": f"{name}-3"}, status=409)["code"] == "agent_id_taken"


def test_expired_while_in_the_cache(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    made = lines.line(node.api, 1, root={"expiresIn": 60})
    for seconds, expected in ((0, "allowed"), (59, "allowed"), (1, "token_expired")):
        node.clock.move(seconds)
        assert lines.code(node.api, made.leaf) == expected
    node.close()


def test_a_replay_does_not_outlive_a_revocation(fresh: Subject) -> None:
    decision = fresh.api.enforce(fresh.forger.token, "execute", "api://tasks/1", requestId="again")
    again = fresh.api.enforce(fresh.forger.token, "execute", "api://tasks/1", requestId="again")
    assert (again["decisionId"], again["replayed"]) == (decision["decisionId"], True)
    fresh.api.post(f"/v1/tokens/{fresh.forger.payload['jti']}/revoke", status=200)
    denied = fresh.api.enforce(fresh.forger.token, "execute", "api://tasks/1", requestId="again")
    assert (denied["reasonCode"], denied["replayed"]) == ("token_revoked", False)


def test_a_key_that_is_bound_to_an_agent(fresh: Subject, server: Server) -> None:
    other = fresh.api.agent()
    key = fresh.api.key("enforce", agentId=fresh.agent)["key"]
    with server.api(key) as bound:
        assert bound.enforce(fresh.forger.token, "execute", "api://tasks/1")["reasonCode"] == "allowed"
        denied = bound.enforce(fresh.api.token(other), "execute", "api://tasks/1")
        assert denied["reasonCode"] == "token_agent_mismatch"


# --- secrets stay secret ----------------------------------------------------------------------------------------------


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.suffix != ".pem"}


def test_tokens_and_keys_are_nowhere_but_in_the_one_answer(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.api() as api:
        agent = api.agent()
        api.policy(["execute"], constraints={"requiresApproval": True})
        token, expired = api.token(agent), api.token(agent, expiresIn=1)
        issued = api.key("enforce", "approve")
        with server.api(issued["key"]) as caller:
            approval = caller.enforce(token, "execute", "x", arguments={"amount": 1})["approval"]["id"]
            caller.post(f"/v1/approvals/{approval}/approve", status=403)
        answers = [
            api.send("POST", "/v1/enforce", {"capabilityToken": token}),
            api.send("POST", "/v1/enforce", {"requestId": "r", "capabilityToken": [token], "action": 1}),
            api.send("POST", "/v1/tokens", {"agentId": agent, "token": token}),
            api.send("GET", f"/v1/tokens/{token}"),
            api.send("POST", f"/v1/tokens/{token}/revoke"),
            api.send("GET", "/v1/agents", headers={"X-Api-Key": issued["key"] + "x"}),
            api.send("DELETE", f"/v1/api-keys/{issued['id']}"),
            api.send("GET", "/v1/agents", headers={"X-Api-Key": issued["key"]}),
            api.send("GET", "/v1/tokens"),
            api.send("GET", "/v1/api-keys"),
        ]
        api.enforce(expired[:-1], "execute", "x")
        api.post(f"/v1/tokens/{api.get('/v1/tokens')['items'][0]['id']}/revoke", status=200)
        export = api.client.get("/v1/audit/export").content
        secrets = {
            "token": token.rpartition(".")[2].encode(),
            "expired token": expired.rpartition(".")[2].encode(),
            "admin key": server.admin_key.encode(),
            "issued key": issued["key"].encode(),
            "secret of the issued key": issued["key"].split("_", 2)[2].encode(),
        }
        places = _files(tmp_path) | {"export": export}
        places |= {f"{a.request.method} {a.request.url.path[:40]}": a.content for a in answers}
    assert b"act-wal" in b" ".join(name.replace(".db", "").encode() for name in places)
    for what, secret in secrets.items():
        found = [place for place, content in places.items() if secret in content]
        assert found == [], what


@pytest.mark.parametrize("place", ["action", "resourceId", "requester"])
def test_a_token_in_the_wrong_field_does_not_enter_the_log(subject: Subject, place: str) -> None:
    token = subject.api.token(subject.agent)
    body = {"requestId": f"wrong-{place}", "capabilityToken": "x", "action": "execute", "resourceId": "x"}
    subject.api.post("/v1/enforce", body | {"capabilityToken": subject.forger.token, place: token}, status=200)
    found = token.rpartition(".")[2].encode() in subject.api.client.get("/v1/audit/export").content
    assert not found, "the log has the token"


def test_an_unknown_path_is_not_given_back(subject: Subject) -> None:
    answer = subject.api.send("GET", f"/v1/nowhere/{subject.forger.token}")
    assert answer.status_code == 404
    found = subject.forger.token.rpartition(".")[2] in answer.text
    assert not found, "the answer has the token"


def test_the_other_tenants_key_cannot_use_a_good_token(subject: Subject, server: Server) -> None:
    with server.api(OTHER_KEY) as stranger:
        decision = stranger.enforce(subject.forger.token, "execute", "api://tasks/1")
        assert decision["reasonCode"] == "token_tenant_mismatch"
        assert decision["agentId"] is None
