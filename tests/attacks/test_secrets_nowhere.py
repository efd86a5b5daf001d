"""A whole story with tokens, proofs and keys, and many refusals: then no secret of it is found anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from act.client.proof import ProofKey
from tests.attacks.conftest import OTHER_KEY, make_second_tenant
from tests.attacks.forge import Forger, b64
from tests.attacks.lines import SCOPE, TASK, Holder, delegated, line
from tests.support import Api, Server

WINDOW = 20
"""So many characters of a secret in a row are a find."""

LOGGED = {"ACT_LOG_FORMAT": "json", "ACT_ACCESS_LOG": "true"}
"""As much is logged as can be."""

# Answers that carry a secret because they are its one appearance.
ONCE = re.compile(r"^(/v1/(tokens|delegations|api-keys)|/v1/tokens/[^/]+/rotate)$")


@dataclass
class Story:
    """Secrets, each with what it is, and every answer that came, but the one that shows a secret its one time."""

    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[str, bytes]] = field(default_factory=list)

    def keep(self, what: str, secret: str) -> None:
        self.secrets[f"{what} {len(self.secrets)}"] = secret

    def heard(self, response: httpx2.Response) -> None:
        request = response.request
        sent = json.loads(request.content) if request.content else {}
        for name in ("proof", "requesterProof"):
            if isinstance(sent, dict) and str(sent.get(name)).count(".") == 2:
                self.keep("proof", sent[name])
        response.read()
        place = f"{request.method} {request.url.path[:60]} {response.status_code}"
        if response.status_code == 201 and ONCE.match(request.url.path):
            told = response.json()
            for name in ("token", "key"):
                if name in told:
                    self.keep(name, told.pop(name))
            self.answers.append((place, json.dumps(told).encode()))
        else:
            self.answers.append((place, response.content + repr(sorted(response.headers.items())).encode()))


def windows(secret: str) -> Iterator[bytes]:
    """All pieces of a secret; of a token those of the claims and of the signature, because the header is none."""
    parts = secret.split(".")[1:] if secret.count(".") == 2 else [secret.split("_", 2)[-1]]
    for part in parts:
        for at in range(len(part) - WINDOW + 1):
            yield part[at : at + WINDOW].encode()


def finds(secrets: dict[str, str], places: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Where something of a secret stands: the place, and what it is."""
    pieces = {piece: what for what, secret in secrets.items() for piece in windows(secret)}
    found = {}
    for place, content in places:
        for run in re.findall(rb"[\w.=+/-]{%d,}" % WINDOW, content):
            for at in range(len(run) - WINDOW + 1):
                if what := pieces.get(run[at : at + WINDOW]):
                    found[place] = what
                    break
    return found


def test_a_piece_of_a_secret_is_found() -> None:
    token = f"eyJhbGciOiJub25lIn0.{'ab' * 30}.{b64(bytes(range(64)))}"
    secrets = {"token": token, "key": "act_abc_" + "0123456789" * 4}
    good = [("header", token.split(".")[0].encode()), ("short", token.split(".")[1][:19].encode())]
    assert finds(secrets, good) == {}
    bad = [("claims", b"x" + token[25:45].encode()), ("end", token[-20:].encode()), ("key", b"='01234567890123456789'")]
    assert finds(secrets, bad) == {"claims": "token", "end": "token", "key": "key"}


@pytest.fixture
def story(tmp_path: Path) -> Iterator[tuple[Story, Server, Api]]:
    make_second_tenant(tmp_path)
    told = Story()
    told.keep("admin key", "act_test_admin_0123456789abcdef0123456789abcdef")
    told.keep("other admin key", OTHER_KEY)
    with Server(tmp_path, LOGGED) as server, listening(server, told) as api:
        yield told, server, api


def listening(server: Server, told: Story, key: str | None = "") -> Api:
    api = server.api(key)
    api.client.event_hooks["response"].append(told.heard)
    return api


def ordinary(api: Api, point: Api, own: Holder) -> list[str]:
    """Issue, hand down, renew, use, prove, ask a person, revoke; the tokens."""
    made = line(api, 3, root={"task": {"id": uuid4().hex, "facts": {"to": "ann"}}, "onBehalfOf": "ann"})
    bound = line(api, 1, root={"cnf": own.cnf})
    child = delegated(api, bound.leaf, bound.agent(), **own.handing(bound.leaf, bound.agent(), cnf=own.cnf), status=403)
    assert child["code"] == "proof_invalid"
    to = bound.agent()
    below = delegated(point, bound.leaf, to, **own.handing(bound.leaf, to, cnf=own.cnf))["token"]
    for token in (bound.leaf, below):
        id = uuid4().hex
        proof = own.proof(token, "run", TASK, id)
        assert point.enforce(token, "run", TASK, requestId=id, proof=proof)["reasonCode"] == "allowed"
        assert api.enforce(token, "run", TASK, requestId=id, proof=proof)["reasonCode"] == "proof_replayed"
        point.enforce(made.leaf, "run", TASK, requesterToken=token, requesterProof=proof)
    made.policy(["ask"], ["*"], 0, constraints={"requiresApproval": True})
    asked = point.enforce(made.tokens[0], "ask", TASK, arguments={"amount": 1}, requesterToken=made.leaf)
    approved = point.enforce(made.tokens[0], "ask", TASK, arguments={"amount": 1})
    api.post(f"/v1/approvals/{approved['approval']['id']}/approve", {}, status=200)
    api.get(f"/v1/approvals/{approved['approval']['id']}")
    assert asked["decision"] == "denied"
    old = made.issued[1]
    path = f"/v1/tokens/{old['tokenId']}/rotate"
    renewed = point.post(path, {"token": old["token"], "grace": 0})["token"]
    point.enforce(renewed, "run", TASK)
    api.post("/v1/tokens/introspect", {"token": renewed}, status=200)
    point.enforce(old["token"], "run", TASK)
    point.post(path, {"token": old["token"]}, status=422)
    api.get(f"/v1/delegations/{made.issued[0]['tokenId']}/tree")
    api.get("/v1/tokens?limit=200")
    api.get(f"/v1/agents/{made.agents[1]}/permissions")
    api.post(f"/v1/tokens/{made.issued[0]['tokenId']}/revoke", status=200)
    api.post("/v1/keys/rotate", {"algorithm": "ES256"}, status=200)
    return [*made.tokens, bound.leaf, below, renewed]


def misused(api: Api, token: str, proof: str, key: str) -> None:
    """Secrets where they do not belong: in every field of every kind of body, in paths, headers, query strings."""
    agent = api.agent()
    for secret in (
        token,
        token[:140],
        token.rpartition(".")[0],
        proof,
        key,
        f"Bearer {token}",
        f"x{token}",
        token[::1] + "x",
    ):
        for body in (
            # What is no longer than an id may be comes back as the id, and is recorded nowhere.
            {"requestId": secret * 3, "capabilityToken": secret, "action": secret, "resourceId": secret},
            {"requestId": uuid4().hex, "capabilityToken": secret, "action": "run", "resourceId": "x"},
            {"requestId": uuid4().hex, "capabilityToken": token, "action": secret, "resourceId": "x"},
            {"requestId": uuid4().hex, "capabilityToken": token, "action": "run", "resourceId": secret},
            {"requestId": uuid4().hex, "capabilityToken": token, "action": "run", "resourceId": f"api://x?t={secret}"},
            {"requestId": uuid4().hex, "capabilityToken": token, "action": "run", "resourceId": "x", "proof": secret},
            {
                "requestId": uuid4().hex,
                "capabilityToken": token,
                "action": "run",
                "resourceId": "x",
                "tenantId": secret,
            },
            {"requestId": uuid4().hex, "capabilityToken": token, "action": "run", "resourceId": "x", secret: secret},
            {"requestId": uuid4().hex, "capabilityToken": [secret], "action": {secret: 1}, "resourceId": 1},
            {
                "requestId": uuid4().hex,
                "capabilityToken": token,
                "action": "run",
                "resourceId": "x",
                "requester": secret,
                "requesterToken": secret,
                "requesterProof": secret,
            },
            {
                "requestId": uuid4().hex,
                "capabilityToken": token,
                "action": "run",
                "resourceId": "x",
                "requester": secret,
                "context": {"conversationId": secret, secret: secret},
                "arguments": {secret: secret},
            },
        ):
            api.send("POST", "/v1/enforce", body)
        for path, body in (
            ("/v1/tokens", {"agentId": secret}),
            ("/v1/tokens", {"agentId": agent, "token": secret}),
            ("/v1/tokens", {"agentId": agent, "policyIds": [secret]}),
            ("/v1/tokens", {"agentId": agent, "cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "x", "d": secret}}}),
            ("/v1/tokens", {"agentId": agent, "cnf": secret}),
            ("/v1/tokens", {"agentId": agent, "task": {"id": secret}}),
            ("/v1/tokens/introspect", {"token": secret}),
            ("/v1/tokens/introspect", {"token": [secret]}),
            ("/v1/tokens/x/rotate", {"token": secret, "proof": secret, "requestId": secret}),
            ("/v1/delegations", {"parentToken": secret, "toAgentId": agent, "scope": SCOPE, "proof": secret}),
            ("/v1/delegations", {"parentToken": token, "toAgentId": secret, "scope": SCOPE}),
            ("/v1/delegations", {"parentToken": token, "toAgentId": agent, "scope": secret}),
            ("/v1/delegations", {"parentToken": token, "toAgentId": agent, "scope": SCOPE, secret: 1}),
            ("/v1/agents", {"name": 1, "metadata": secret}),
            ("/v1/policies", {"name": "x", "actions": [1], "resources": [secret], "when": f"'{secret}"}),
            ("/v1/policies", {"name": "x", "actions": ["x"], "resources": ["x"], "when": secret}),
            ("/v1/agents", {"id": secret, "name": "x"}),
            ("/v1/agents", {"name": secret}),
            ("/v1/tokens", {"agentId": agent, "onBehalfOf": secret}),
            ("/v1/decisions/x/outcome", {"status": secret}),
            ("/v1/approvals/x/reject", {"reason": secret}),
            (f"/v1/tokens/{secret}/revoke", {}),
            (f"/v1/tokens/{secret}/rotate", {}),
            (f"/v1/agents/{secret}/suspend", {}),
            (f"/v1/nowhere/{secret}", {}),
        ):
            api.send("POST", path, body)
        for path in (
            f"/v1/tokens/{secret}",
            f"/v1/tokens?cursor={secret}",
            f"/v1/tokens?agentId={secret}",
            f"/v1/tokens?limit={secret}",
            f"/v1/delegations/{secret}/tree",
            f"/v1/audit?requestId={secret}",
            f"/v1/audit/{secret}",
            f"/healthz?token={secret}",
        ):
            api.send("GET", path)
        for headers in (
            {"X-Api-Key": secret},
            {"X-Api-Key": "x", "Authorization": f"Bearer {secret}"},
            {"X-Request-ID": secret},
            {"traceparent": secret},
            {"X-Api-Key": secret, "Cookie": secret, "User-Agent": secret, "Content-Type": secret},
        ):
            api.send("GET", "/v1/agents", headers=headers)
            api.send("POST", "/v1/enforce", {"requestId": "r", "capabilityToken": "x"}, headers=headers)


def places(server: Server, api: Api) -> Iterator[tuple[str, bytes]]:
    """Everything that stays: all files but those of the keys, what was logged, the export of the audit log."""
    folder = server.database.parent
    assert any(file.suffix == ".pem" for file in folder.rglob("*"))
    for file in sorted(folder.rglob("*")):
        if file.is_file() and ".keys" not in file.parent.name:
            yield file.name, file.read_bytes()
    yield "export", api.client.get("/v1/audit/export").content
    yield "export as CSV", api.client.get("/v1/audit/export?format=csv").content
    yield "metrics", api.client.get("/metrics").content


def test_no_secret_stands_anywhere(story: tuple[Story, Server, Api]) -> None:
    told, server, api = story
    private = Ed25519PrivateKey.generate()
    own = Holder(ProofKey(private), api)
    told.keep("private key", b64(private.private_bytes_raw()))
    key = api.key("enforce")["key"]
    with listening(server, told, key) as point, listening(server, told, OTHER_KEY) as stranger:
        tokens = ordinary(api, point, own)
        agent = api.agent()
        token = api.token(agent)
        proof = own.proof(token, "run", TASK, "r")
        told.keep("proof", proof)
        misused(api, token, proof, key)
        misused(stranger, token, proof, key)
        forger = Forger(server.database, claims_free(api, agent))
        for forged in (forger.claiming(iss="x"), forger.claiming(exp=1), forger.headed(kid="x"), forger.make(b"{}")):
            told.keep("forged token", forged)
            point.enforce(forged, "run", TASK)
        for dead in tokens:
            stranger.enforce(dead, "run", TASK)
    api.delete(f"/v1/agents/{agent}")
    for file in server.database.parent.rglob("*.pem"):
        told.keep(f"file of the key {file.stem}", "".join(file.read_text().splitlines()[1:-1]))
    assert {what.rpartition(" ")[0].split(" of ")[0] for what in told.secrets} >= {"token", "key", "proof", "file"}
    assert len(told.answers) > 800
    assert "Traceback" not in server.log
    assert server.log.count('"act.access"') > 800
    assert finds(told.secrets, [*told.answers, *places(server, api)]) == {}


def claims_free(api: Api, agent: str) -> str:
    """An RS256 token: the forger has the key of no other."""
    api.post("/v1/keys/rotate", {"algorithm": "RS256"}, status=200)
    return api.token(agent)
