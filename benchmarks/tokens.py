"""`make bench-tokens`: what a token costs to make and to check, alone, in a chain and among many others.

The tokens are issued and handed down over HTTP by a real server. What is measured are the server's own parts on the
rows that it left, in this process and without the commit. The peers run one after the other, each in an environment of
its own, and do what they can of the same: PyJWT decodes the same tokens; Biscuit and macaroons have a block or a caveat
for each agent that a chain has beyond the first. They look at no policies, agents or revocations, and are not asked to.
"""

from __future__ import annotations

import gc
import json
import platform
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import insert

from act.agents.live import LiveAgents
from act.database.clock import SystemClock
from act.database.engine import reading_engine, writing_engine
from act.database.ids import new_id
from act.database.keyfiles import KeyFiles
from act.database.tables import nodes as node_table
from act.database.tables import tokens as token_table
from act.enforcement.decide import decide
from act.models import ReasonCode
from act.policies.live import LivePolicies
from act.policies.match import Call
from act.tenants.live import LiveApiKeys, LiveTenants
from act.tenants.tenant import DEFAULT_TENANT as TENANT
from act.tokens.chain import Link
from act.tokens.claims import Claims
from act.tokens.codec import HEADER, MAX_LENGTH, TYPE, Verified, read, sign
from act.tokens.compact import split
from act.tokens.live import LiveTokens
from act.tokens.live_keys import LiveKeys
from act.tokens.nodes import LiveNodes
from act.tokens.verify import Accepted, Verifier
from benchmarks.engine import peers
from benchmarks.http import KEY, serving
from benchmarks.peers.measure import Ask, measured

DEPTHS = range(6)
ALGORITHMS = ("RS256", "EdDSA", "ES256")
CROWDS = ((100, 10), (100_000, 10_000))  # live and, of these, revoked
SHOWN = 90  # as many of both crowds, so that it is the crowd that makes the difference
TIMES = 1_000
SERVICE = "api://service-1/"
PEERS = {
    "PyJWT": ("jwts.py", "pyjwt[crypto]==2.15.1"),
    "Biscuit": ("biscuits.py", "biscuit-python==0.4.0"),
    "macaroons": ("macaroons.py", "pymacaroons==0.13.0"),
}

Row = tuple[str, dict[str, Any] | str]


@dataclass(frozen=True)
class Issued:
    """`chain` has a token of each depth; `by_algorithm` one of depth 0 signed with each algorithm."""

    chain: list[str]
    by_algorithm: dict[str, str]


def issue(database: str) -> Issued:
    """Six agents, each of which may read and let the next one read, and their tokens."""
    with (
        serving(database) as at,
        httpx2.Client(base_url=f"http://{at.host}:{at.port}", headers={"X-Api-Key": KEY}) as client,
    ):

        def post(path: str, **body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.is_success, answer.text
            return answer.json()

        agents = [post("/v1/agents", name=f"agent-{depth}", roles=["chain"])["id"] for depth in DEPTHS]
        right = {"actions": ["read"], "resources": [f"{SERVICE}*"]}
        everyone = {"roles": ["chain"], "agentIds": []}
        further = {"grants": ["use", "delegate"], "delegation": {"to": everyone, "maxDepth": 8}}
        post("/v1/policies", name="chain", appliesTo=everyone, **right, **further)
        by_algorithm = {}
        for algorithm in ALGORITHMS:
            post("/v1/keys/rotate", algorithm=algorithm)
            by_algorithm[algorithm] = post("/v1/tokens", agentId=agents[0])["token"]
        chain = [by_algorithm[ALGORITHMS[-1]]]
        for depth in DEPTHS[1:]:
            handing = {"grants": ["use", "delegate"], "maxDepth": 8 - depth}
            body = {"parentToken": chain[-1], "toAgentId": agents[depth], "scope": [right], **handing}
            chain.append(post("/v1/delegations", **body)["token"])
        return Issued(chain, by_algorithm)


class Parts:
    """What a server holds in memory to answer a request, loaded from the file that another one has left."""

    def __init__(self, path: Path, token: str) -> None:
        clock = SystemClock()
        self._tenants, self._agents, self._policies = LiveTenants(), LiveAgents(), LivePolicies()
        self._tokens, self._nodes, api_keys = LiveTokens(clock), LiveNodes(clock), LiveApiKeys()
        self.keys = LiveKeys(KeyFiles(path.with_name(path.name + ".keys")))
        followers = (self._tenants, self._agents, self._policies, self._tokens, self._nodes, api_keys, self.keys)
        engine = reading_engine(path)
        with engine.connect() as connection:
            for follower in followers:
                follower.load(connection)
        engine.dispose()
        self._now = clock.now()
        key = api_keys.find(KEY, self._now)
        assert key is not None
        self._key = key
        self.claims = self.read(token)
        self._warm = self._verifier()

    def _verifier(self) -> Verifier:
        names = {"issuer": self.claims.issuer, "audience": self.claims.audience}
        return Verifier(self._tenants, self._agents, self._tokens, self._nodes, self.keys, **names)

    def read(self, token: str) -> Claims:
        found = read(token, self.keys.verifying)
        assert isinstance(found, Verified), found
        return found.claims

    def verify(self, token: str) -> tuple[Link, ...]:
        """As for a token that was seen before."""
        found = self._warm.verify(token, self._key, None, self._now.timestamp())
        assert isinstance(found, Accepted), found
        return found.links

    def verify_cold(self, token: str) -> ReasonCode:
        """As for a token that is seen for the first time."""
        found = self._verifier().verify(token, self._key, None, self._now.timestamp())
        return ReasonCode.ALLOWED if isinstance(found, Accepted) else found.code

    def decide(self, token: str) -> bool:
        """Token, chain and policies, as for a request; written nowhere."""
        links = self.verify(token)
        call = Call("read", f"{SERVICE}item", self._now, {"id": 1}, {}, links[-1].seen)
        return decide(self._policies.of_tenant(TENANT), links, call).permitted


def crowd(path: Path, parts: Parts, live: int, revoked: int) -> tuple[list[str], str]:
    """Store so many tokens, each with a node of its own. Answers some of those in force, and a revoked one."""
    now = datetime.now(UTC)
    kid, algorithm, key = parts.keys.signing(TENANT)
    mixed = random.Random(live)
    ended = set(mixed.sample(range(live), revoked))
    shown = mixed.sample([number for number in range(live) if number not in ended], SHOWN)
    strings: dict[int, str] = {}
    stored: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for number in range(live):
        claims = parts.claims._replace(token_id=new_id("tok"), node=new_id("nod"), sequence=live * 10 + number)
        dates = {"expires_at": datetime.fromtimestamp(claims.expires_at, UTC)}
        beside = {"tenant_id": TENANT, "agent_id": claims.agent_id, "sequence": claims.sequence, **dates}
        node = {"id": claims.node, "path": [], "grants": ["use"], "max_depth": 0, "created_at": now}
        ends = now if number in ended else None
        stored[0].append({**beside, **node, "renew_until": now + timedelta(days=1), "revoked_at": ends})
        stored[1].append({**beside, "id": claims.token_id, "node": claims.node, "issued_at": now})
        if number in shown or number == min(ended):
            strings[number] = sign(claims, kid, algorithm, key)
    engine = writing_engine(path)
    with engine.begin() as connection:
        connection.execute(insert(node_table), stored[0])
        connection.execute(insert(token_table), stored[1])
    engine.dispose()
    return [strings[number] for number in shown], strings[min(ended)]


def repeated(ask: Ask, tokens: list[str]) -> dict[str, Any]:
    """Measured on the tokens in turns; every answer must be a yes."""
    row = measured(ask, [{"token": tokens[number % len(tokens)]} for number in range(TIMES)])
    assert all(row["allowed"])
    return row


def rows(path: Path, issued: Issued) -> Iterator[Row]:
    parts = Parts(path, issued.chain[0])
    for algorithm, token in issued.by_algorithm.items():
        compact = split(token, members=HEADER, typ=TYPE, max_length=MAX_LENGTH)
        assert not isinstance(compact, str)
        check = parts.keys.verifying[compact.header["kid"]].check
        yield (
            f"{algorithm}: the signature alone",
            repeated(lambda _, check=check, it=compact: check(it.signature, it.signed), [token]),
        )
        yield (
            f"{algorithm}: verify, first time",
            repeated(lambda request: parts.verify_cold(request["token"]) is ReasonCode.ALLOWED, [token]),
        )
    kid, algorithm, key = parts.keys.signing(TENANT)
    yield f"{algorithm}: sign", repeated(lambda _: bool(sign(parts.claims, kid, algorithm, key)), [""])
    for depth, token in enumerate(issued.chain):
        yield f"verify again, depth {depth}", repeated(lambda request: bool(parts.verify(request["token"])), [token])
    for depth, token in enumerate(issued.chain):
        yield (
            f"verify again and decide, depth {depth}",
            repeated(lambda request: parts.decide(request["token"]), [token]),
        )
    for live, revoked in CROWDS:
        shown, ended = crowd(path, parts, live, revoked)
        among = Parts(path, issued.chain[0])
        assert among.verify_cold(ended) is ReasonCode.TOKEN_REVOKED
        for token in shown:
            among.verify(token)
        gc.collect()
        gc.freeze()  # as the server does when it has loaded
        name = f"among {live:,}, {revoked:,} revoked"
        yield f"verify again, {name}", repeated(lambda request, by=among: bool(by.verify(request["token"])), shown)
        yield f"verify again and decide, {name}", repeated(lambda request, by=among: by.decide(request["token"]), shown)
        yield (
            f"verify, first time, {name}",
            repeated(lambda request, by=among: by.verify_cold(request["token"]) is ReasonCode.ALLOWED, shown),
        )


def for_peers(path: Path, issued: Issued) -> dict[str, Any]:
    """What the peers are given: the same tokens, and the public keys that they hold under, as PEM."""
    parts = Parts(path, issued.chain[0])
    public = {
        key.algorithm: key.key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        for key in parts.keys.verifying.values()
        if read(issued.by_algorithm[key.algorithm], {key.kid: key}).__class__ is Verified
    }
    names = {"issuer": parts.claims.issuer, "audience": parts.claims.audience}
    requests = [{} for _ in range(TIMES)]
    return {"tokens": issued.by_algorithm, "keys": public, **names, "depths": len(DEPTHS), "requests": requests}


def main() -> None:
    print(f"Tokens, in process, microseconds; Python {platform.python_version()}, {platform.machine()}.")
    print("Depth is the number of agents a chain has beyond the first; for Biscuit that of blocks, for macaroons of")
    print("caveats beyond the first.")
    print(f"{'':<60} {'p50':>9} {'p99':>9}")
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder:
        path = Path(folder) / "act.db"
        issued = issue(f"sqlite:///{path}")
        given = Path(folder) / "tokens.json"
        given.write_text(json.dumps(for_peers(path, issued)))
        for found in (rows(path, issued), peers(given, PEERS)):
            for name, row in found:
                if isinstance(row, str):
                    print(f"{name:<60} {row}", flush=True)
                else:
                    print(f"{name:<60} {row['p50']:>9.2f} {row['p99']:>9.2f}", flush=True)
    print()


if __name__ == "__main__":
    main()
