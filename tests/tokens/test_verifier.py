"""What the verifier finds on record, taken away or changed piece by piece, with and without a warm cache.

Over HTTP most of this cannot happen, because other parts of ACT see to it. The verifier does not rely on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from act.agents.agent import Agent
from act.agents.live import LiveAgents
from act.database.clock import SystemClock
from act.database.keyfiles import KeyFiles
from act.models import ReasonCode, Scope
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey, Tenant
from act.tokens.live import LiveToken, LiveTokens
from act.tokens.live_keys import LiveKeys
from act.tokens.nodes import LiveNodes, Node, seen
from act.tokens.refusal import Refusal
from act.tokens.verify import Accepted, Verifier
from tests.tokens.forge import CLAIMS, KEYS, KID, token

NOW = CLAIMS.issued_at + 10.0
END = float(CLAIMS.expires_at)
CALLER = ApiKey("key_1", "t1", "key", b"", frozenset([Scope.ENFORCE]), None, None)
CHILD = CLAIMS._replace(path=("nod_0",), actors=("agt_0", "agt_1"), sequence=8)
COORDINATES = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def node(id: str, agent_id: str, path: tuple[str, ...] = (), sequence: int = 7, **more: Any) -> Node:
    fields: dict[str, Any] = {"scope": None, "hand_to": None, "max_depth": 8, "usable": True, "confirmation": None}
    fields |= {"expires_at": END, "revoked": False, "seen": seen({}, None, None, len(path))}
    return Node(id, path, agent_id, sequence, **(fields | more))


@dataclass
class Record:
    """What is on record: an agent with a token, to which another has handed something down."""

    files: Path
    tenants: LiveTenants = field(default_factory=LiveTenants)
    agents: LiveAgents = field(default_factory=LiveAgents)
    tokens: LiveTokens = field(default_factory=lambda: LiveTokens(SystemClock()))
    nodes: LiveNodes = field(default_factory=lambda: LiveNodes(SystemClock()))

    def __post_init__(self) -> None:
        self.keys = LiveKeys(KeyFiles(self.files))
        self.keys.verifying.update(KEYS)
        self.tenants._tenants["t1"] = Tenant("t1", "t1", 86400, 3600, False)
        for id in ("agt_0", "agt_1"):
            self.agent(Agent(id, id, ("r",), "active", 0))
        self.tokens._tokens["tok_1"] = LiveToken("agt_1", "nod_1", END, None, False)
        self.nodes._put(node("nod_0", "agt_0", sequence=7))
        self.nodes._put(node("nod_1", "agt_1", ("nod_0",), sequence=8))
        self.verifier = Verifier(
            self.tenants,
            self.agents,
            self.tokens,
            self.nodes,
            self.keys,
            issuer=CLAIMS.issuer,
            audience=CLAIMS.audience,
        )

    def agent(self, agent: Agent) -> None:
        self.agents._by_id["t1", agent.id] = agent

    def ask(self, text: str, now: float = NOW) -> Accepted | Refusal:
        return self.verifier.verify(text, CALLER, None, now)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path)


TOKEN = token(payload=CHILD.to_payload())

Change = Callable[[Record], object]


def _node(id: str, **more: Any) -> Change:
    return lambda record: record.nodes._put(replace(record.nodes._nodes[id], **more))


def _token(**more: Any) -> Change:
    return lambda record: record.tokens._tokens.update(tok_1=replace(record.tokens._tokens["tok_1"], **more))


def _agent(id: str, **more: Any) -> Change:
    return lambda record: record.agent(replace(record.agents._by_id["t1", id], **more))


GONE = ReasonCode.TOKEN_REVOKED
CHANGES: dict[str, tuple[Change, ReasonCode]] = {
    "the key is not known any more": (lambda record: record.keys.verifying.pop(KID), ReasonCode.TOKEN_KEY_UNKNOWN),
    "the key is gone": (
        lambda record: record.keys.verifying.update({KID: replace(KEYS[KID], status="gone")}),
        ReasonCode.TOKEN_KEY_UNKNOWN,
    ),
    "the token is not on record": (lambda record: record.tokens._tokens.clear(), GONE),
    "the token is on record for another agent": (_token(agent_id="agt_0"), GONE),
    "the token is on record for another node": (_token(node="nod_0"), GONE),
    "the token was replaced": (_token(superseded_at=NOW), ReasonCode.TOKEN_SUPERSEDED),
    "the node is not on record": (lambda record: record.nodes._nodes.pop("nod_1"), GONE),
    "the node is another agent's": (_node("nod_1", agent_id="agt_0"), GONE),
    "the node is elsewhere in the tree": (_node("nod_1", path=()), GONE),
    "the node is bound to a key": (_node("nod_1", confirmation=COORDINATES), GONE),
    "the node has another task": (_node("nod_1", seen=seen({}, "t", None, 1)), GONE),
    "the node is revoked": (_node("nod_1", revoked=True), GONE),
    "the node is below the mark, and the token is not": (
        lambda record: (_node("nod_1", sequence=3)(record), _agent("agt_1", mark=3)(record)),
        GONE,
    ),
    "the token is below the mark, and the node is not": (
        lambda record: (_node("nod_1", sequence=9)(record), _agent("agt_1", mark=8)(record)),
        GONE,
    ),
    "the agent is suspended": (_agent("agt_1", status="suspended"), ReasonCode.AGENT_SUSPENDED),
    "the agent is deleted": (_agent("agt_1", status="deleted"), ReasonCode.AGENT_DELETED),
    "the agent is not on record": (
        lambda record: record.agents._by_id.pop(("t1", "agt_1")),
        ReasonCode.AGENT_DELETED,
    ),
    "the one above is not on record": (lambda record: record.nodes._nodes.pop("nod_0"), GONE),
    "the one above is over": (_node("nod_0", expires_at=NOW), GONE),
    "the one above is revoked": (_node("nod_0", revoked=True), GONE),
    "the one above is below the mark": (_agent("agt_0", mark=7), GONE),
    "what is below is below the mark of the one above": (
        lambda record: (_node("nod_0", sequence=99)(record), _agent("agt_0", mark=8)(record)),
        GONE,
    ),
    "the agent above is suspended": (_agent("agt_0", status="suspended"), ReasonCode.AGENT_SUSPENDED),
    "the agent above is deleted": (_agent("agt_0", status="deleted"), ReasonCode.AGENT_DELETED),
    "the one above hands nothing down": (_node("nod_0", max_depth=0), ReasonCode.CHAIN_NOT_DELEGABLE),
}


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_record_refuses_the_token(record: Record, what: str, warm: bool) -> None:
    if warm:
        assert isinstance(record.ask(TOKEN), Accepted)
    change, code = CHANGES[what]
    change(record)
    found = record.ask(TOKEN)
    assert isinstance(found, Refusal)
    assert found.code is code


def test_one_above_that_ends_before_the_token_ends_it(record: Record) -> None:
    _node("nod_0", expires_at=NOW + 5)(record)
    assert isinstance(record.ask(TOKEN, NOW + 4), Accepted)
    found = record.ask(TOKEN, NOW + 5)
    assert isinstance(found, Refusal)
    assert found.code is GONE


@pytest.mark.parametrize(
    "other",
    [
        {"confirmation": COORDINATES},
        {"task_id": "another"},
        {"task_id": "another", "facts": {"to": "me"}},
        {"subject": "somebody"},
    ],
)
def test_a_token_that_says_something_else_than_its_node(record: Record, other: dict[str, Any]) -> None:
    """Signed with the right key: whoever stole it writes other claims for a node that there is."""
    found = record.ask(token(payload=CHILD._replace(**other).to_payload()))
    assert isinstance(found, Refusal)
    assert found.code is GONE


def test_as_it_stands_it_is_accepted_again_and_again(record: Record) -> None:
    first = record.ask(TOKEN)
    assert isinstance(first, Accepted)
    assert record.ask(TOKEN) is first, "what is in its place is not built again"
    assert [link.agent.id for link in first.links] == ["agt_0", "agt_1"]
    assert {link.family for link in first.links} == {"nod_0"}
