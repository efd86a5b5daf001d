"""Small worlds over whole policy documents: every field, few values, so that policies often meet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from act.agents.agent import Agent, effective_roles
from act.enforcement.decide import decide as engine
from act.enforcement.ruling import Ruling
from act.models import PolicyDraft
from act.policies.constraints import from_stored
from act.policies.draft import bind, document, hand_down
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy, compile_policy
from act.tokens.chain import Link
from act.tokens.nodes import seen
from act.tokens.scope import scope_of
from tests import reference
from tests.pairs import CONDITIONS

Document = dict[str, Any]
Documents = list[Document]

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)  # a Sunday
_moments = st.sampled_from([None] * 8 + [NOW + timedelta(seconds=seconds) for seconds in (-1, 0, 1)])
_audiences = (
    st.none()
    | st.none()
    | st.fixed_dictionaries(
        {
            "roles": st.lists(st.sampled_from(["r1", "r2", "r3"]), max_size=3),
            "agentIds": st.lists(st.sampled_from(["a1", "a2"]), max_size=1),
        }
    )
)
SCHEMAS: Mapping[str, Document] = {
    "n": {"type": "number", "maximum": 5},
    "who": {"type": "string", "enum": ["a", "b"]},
    "rows": {"type": "number"},
    "note": {"type": "string"},
}


@st.composite
def schemas(draw: st.DrawFn) -> Document:
    names = draw(st.lists(st.sampled_from(sorted(SCHEMAS)), min_size=1, max_size=2, unique=True))
    schema: Document = {"type": "object", "properties": {name: SCHEMAS[name] for name in names}}
    if draw(st.booleans()):
        schema["required"] = names[:1]
    if draw(st.booleans()):
        schema["additionalProperties"] = True
    return schema


@st.composite
def _somebody(draw: st.DrawFn) -> Document:
    """Agents by role or id, at least one of either."""
    kinds = {"roles": ["r1", "r2", "r3"], "agentIds": ["a1", "a2", "a3"]}
    named = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, unique=True))
    return {"roles": [], "agentIds": []} | {
        kind: draw(st.lists(st.sampled_from(kinds[kind]), min_size=1, max_size=2, unique=True)) for kind in named
    }


_hours = st.sampled_from(
    [
        "00:00-24:00 UTC",
        "09:00-17:00 UTC",
        "18:00-18:01 UTC",
        "17:00-18:00 UTC",
        "22:00-19:30 Europe/Berlin",
        "22:00-19:00 Europe/Berlin",
        {"from": "23:00", "to": "18:30", "timezone": "UTC", "days": ["sat"]},
        {"from": "12:00", "to": "20:00", "timezone": "UTC", "days": ["mon", "sat"]},
    ]
)
_approvals = st.booleans() | st.fixed_dictionaries(
    {}, optional={"approvers": st.integers(1, 3), "expiresIn": st.sampled_from([1, 900, 1000])}
)
KINDS: Mapping[str, st.SearchStrategy[Any]] = {
    "requiresApproval": _approvals,
    "maxConcurrentTasks": st.integers(0, 2),
    "allowedHours": _hours,
    "allowedDomains": st.lists(st.sampled_from(["example.com", "*.example.com", "example.org"]), max_size=2),
    "maxRows": st.sampled_from([0, 5, 6, 7]),
    "maxDataPoints": st.sampled_from([0, 5, 6, 7]),
    "rateLimit": st.sampled_from(["3 per minute", {"limit": 3, "per": "day"}, ["3 per minute", "9 per hour"]]),
    "maxRequests": st.integers(0, 2),
    "budget": st.fixed_dictionaries(
        {
            "argument": st.sampled_from(["/n", "/n", "/who", "/rows", "/rows", "/nowhere/1"]),
            "max": st.sampled_from([0, 5, 12.5]),
            "per": st.sampled_from(["token", "task", "day"]),
        }
    ),
    "requiresDelegation": st.booleans() | st.fixed_dictionaries({"from": _somebody()}),
}
constraints = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3, unique=True).flatmap(
    lambda chosen: st.fixed_dictionaries({name: KINDS[name] for name in chosen})
)


@st.composite
def _rights(draw: st.DrawFn) -> Document:
    """A policy that hands down, with or without use."""
    grants = draw(st.sampled_from([["delegate"], ["use", "delegate"]]))
    return {"grants": grants, "delegation": {"to": draw(_somebody()), "maxDepth": draw(st.integers(1, 3))}}


@st.composite
def documents_of(draw: st.DrawFn, effect: str | None = None, id: str | None = None) -> Document:
    """A policy as its author writes it, with every field; `appliesTo` None is the whole tenant."""
    effect = effect or draw(st.sampled_from(["allow"] * 6 + ["deny"]))
    rights = draw(st.just({}) | st.just({}) | _rights()) if effect == "allow" else {}
    return rights | {
        "id": id or f"p{draw(st.integers(0, 999))}",
        "name": "Policy",
        "effect": effect,
        "actions": draw(st.lists(st.sampled_from(["x", "x*", "*", "*y"]), min_size=1, max_size=2)),
        "resources": draw(st.lists(st.sampled_from(["p/1", "p/*", "*/1", "*"]), min_size=1, max_size=2)),
        "appliesTo": draw(_audiences),
        "arguments": draw(st.none() | st.none() | st.none() | schemas()),
        "when": draw(st.none() | st.none() | st.none() | st.sampled_from(sorted(CONDITIONS))),
        "constraints": draw(st.just({}) | constraints) if effect == "allow" else None,
        "mode": draw(st.sampled_from(["enforce", "enforce", "enforce", "shadow"])),
        "enabled": draw(st.sampled_from([True, True, True, True, False])),
        "validFrom": draw(_moments),
        "validUntil": draw(_moments),
    }


def _in_order(policy: Document) -> bool:
    begins, ends = policy["validFrom"], policy["validUntil"]
    return begins is None or ends is None or begins < ends


policies = documents_of().filter(_in_order)
denies = documents_of("deny", "added").filter(_in_order)
# In half of the worlds everybody hands everything down, so that whole chains are often allowed, or nearly.
HANDING: Document = {
    "id": "handing",
    "name": "Handing",
    "effect": "allow",
    "actions": ["*"],
    "resources": ["*"],
    "grants": ["delegate"],
    "delegation": {"to": {"roles": [], "agentIds": ["a1", "a2", "a3"]}, "maxDepth": 3},
    "mode": "enforce",
    "enabled": True,
} | dict.fromkeys(("appliesTo", "arguments", "when", "constraints", "validFrom", "validUntil"))
_handing = st.builds(
    lambda grants, ids, depth: (
        HANDING | {"grants": grants, "delegation": {"to": {"roles": [], "agentIds": ids}, "maxDepth": depth}}
    ),
    st.sampled_from([["delegate"], ["use", "delegate"]]),
    st.sampled_from([["a1", "a2", "a3"], ["a1", "a2", "a3"], ["a1"], ["a2", "a3"]]),
    st.integers(1, 3),
)
tenants = st.builds(
    lambda policies, handing: [*policies, *handing],
    st.lists(policies, max_size=7, unique_by=lambda policy: policy["id"]),
    st.just([]) | st.lists(_handing, min_size=1, max_size=1),
)

_metadata = st.sampled_from([{}, {"role": "r3"}, {"role": 7}])


def agents(*ids: str) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries(
        {
            "id": st.sampled_from(ids),
            "roles": st.lists(st.sampled_from(["r1", "r2"]), max_size=2),
            "metadata": _metadata,
        }
    )


class Question(NamedTuple):
    """Who asks for what; `requester` is another agent, or None.

    `chain` are the links of the token, as `tests.reference` has them, the last of which is `agent`'s; None when the
    token was handed down by nobody and is narrowed to nothing.
    """

    agent: Document
    action: str
    resource: str
    arguments: Document
    context: Document
    requester: Document | None = None
    chain: tuple[Document, ...] | None = None

    @property
    def links(self) -> list[Document]:
        return [reference.alone(self.agent)] if self.chain is None else list(self.chain)


_numbers = st.sampled_from([0, 4, 5, 6, 7, 4.5, -1, True, "5", None])
_arguments = st.fixed_dictionaries(
    {},
    optional={
        "n": _numbers,
        "who": st.sampled_from(["a", "b", "c", 7]),
        "rows": st.sampled_from([0, 5, 6, 7, -1, "5", True]),
        "points": st.sampled_from([5, 6, 7]),
        "note": st.sampled_from(
            ["https://example.com/a", "https://a.example.com", "https://example.org", "https://evil.test/x", "text"]
        ),
    },
)
_context = st.fixed_dictionaries(
    {},
    optional={
        "env": st.sampled_from(["prod", "test"]),
        "limit": st.sampled_from([5, 6, 7]),
        "domain": st.sampled_from(["example.com", "a.example.com", "example.org"]),
    },
)
alone = st.builds(
    Question,
    agents("a1"),
    st.sampled_from(["x", "x", "xy", "y"]),
    st.sampled_from(["p/1", "p/1", "p/2", "q/1"]),
    _arguments,
    _context,
    st.none(),
    st.none(),
)
scopes = st.lists(
    st.fixed_dictionaries(
        {
            "actions": st.lists(st.sampled_from(["x", "x*", "*"]), min_size=1, max_size=2),
            "resources": st.lists(st.sampled_from(["p/1", "p/*", "*"]), min_size=1, max_size=2),
        }
    ),
    min_size=1,
    max_size=2,
)
_unscoped = st.one_of([st.none()] * 9)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Document, ...]:
    """One to three agents, each of its own token, all for one task."""
    ids = draw(st.permutations(["a1", "a2", "a3"]))[: draw(st.sampled_from([1, 2, 3, 3]))]
    facts = draw(st.sampled_from([{}, {"who": "a"}]))
    return tuple(
        {
            "agent": draw(agents(id)),
            "scope": draw(_unscoped | scopes),
            "policyIds": draw(_unscoped | st.lists(st.sampled_from(["handing", "p0", "p1"]), min_size=1, unique=True)),
            "grants": draw(st.sampled_from([["use", "delegate"]] * 7 + [["delegate"]])),
            "token": {"facts": facts, "task": None, "onBehalfOf": None, "depth": at},
        }
        for at, id in enumerate(ids)
    )


chained = st.builds(lambda question, chain: question._replace(agent=chain[-1]["agent"], chain=chain), alone, chains())
questions = st.builds(
    lambda question, requester: question._replace(requester=requester), alone | chained, st.none() | agents("a2")
)


def agent_of(written: Document) -> Agent:
    roles = effective_roles(written["roles"], written["metadata"])
    return Agent(written["id"], f"agent {written['id']}", roles, "active", 0, written["metadata"])


def compiled(written: Document) -> CompiledPolicy:
    """A policy on the way that it takes through the service: draft, stored form, compiled form."""
    draft = PolicyDraft.model_validate(written)
    bound = bind(draft, (), require_binding=False)
    stored = document(draft, bound)
    return compile_policy(
        id=written["id"],
        name=draft.name,
        version=1,
        effect=draft.effect,
        audience=bound.audience,
        actions=stored["actions"],
        resources=stored["resources"],
        constraints=from_stored(stored["constraints"]),
        arguments=stored["arguments"],
        when=stored["condition"],
        usable="use" in stored["grants"],
        hand_down=hand_down(draft.delegation),
        shadow=draft.mode == "shadow",
        valid_from=draft.valid_from,
        valid_until=draft.valid_until,
    )


def link_of(written: Document, family: str) -> Link:
    """A link whose token allows whatever policies do: what the tokens say is checked elsewhere."""
    scope, ids, token = written["scope"], written["policyIds"], written["token"]
    parts = [{"actions": ["*"], "resources": ["*"]}] if scope is None and ids is not None else scope
    return Link(
        agent_of(written["agent"]),
        None if parts is None else scope_of([(part["actions"], part["resources"]) for part in parts], ids),
        seen(token["facts"], token["task"], token["onBehalfOf"], token["depth"]),
        usable="use" in written["grants"],
        family=family,
    )


def handed_over(asked: Question) -> tuple[list[Link], Call, list[Link] | None]:
    """A question as the engine takes it: chain, call, requester."""
    chain = [link_of(link, reference.family(asked.links[0])) for link in asked.links]
    call = Call(asked.action, asked.resource, NOW, asked.arguments, asked.context, chain[-1].seen)
    return chain, call, _alone(asked.requester) if asked.requester else None


def _alone(agent: Document) -> list[Link]:
    link = reference.alone(agent)
    return [link_of(link, reference.family(link))]


def ruled(tenant: Documents, asked: Question) -> Ruling:
    index = PolicyIndex(compiled(policy) for policy in tenant if policy["enabled"])
    return engine(index, *handed_over(asked))


def told(ruling: Ruling) -> reference.Answer:
    """A ruling in the words of the reference."""
    approval, shadow = ruling.approval, ruling.shadow
    return reference.Answer(
        str(ruling.code),
        frozenset(policy.id for policy in ruling.policies),
        frozenset((limit.policy.id, limit.terms.name, limit.holder, limit.amount) for limit in ruling.limits),
        (approval.approvers, approval.expires_in) if approval else None,
        frozenset(ruling.obligations),
        (str(shadow.code), frozenset(policy.id for policy in shadow.policies)) if shadow else None,
    )
