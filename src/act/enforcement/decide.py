"""The decision procedure, pure: policies and a call in, a ruling with its reason out (2-semantics, "Policies").

Rules, in this order:
- What could be read in two ways is denied (`action_malformed`, `resource_malformed`).
- The scope of every token of the chain covers the call (`chain_scope_exceeded`).
- One matching deny policy of any agent of the chain denies (`policy_denied`); doubt about it is a match.
- Without an allow policy that the agent may use the answer is no (`no_matching_policy`); doubt is no match.
- Every agent above it in the chain may hand this down to the next (`enforcement.hand_down`).
- The constraints of *all* matching allow policies must hold; those that need a counter or a person are handed on.
  A policy with constraints that could not be held against the call guards it all the same.
- A requester outside the chain, or with a token that the chain has not grown from, must pass the same rules itself
  (`requester_not_permitted`), and its constraints join the others.
- Shadow policies change nothing; the ruling says what would have been decided if they were enforced.
The order of policies never matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from act.agents.agent import Agent
from act.enforcement.constrain import constrained
from act.enforcement.explain import denied, named, near_misses, no_match
from act.enforcement.hand_down import hands_down
from act.enforcement.matching import Found, find, fitting, held, missing
from act.enforcement.ruling import Ruling, Side, all_of, both, by_itself, union
from act.models import ReasonCode
from act.policies.constraints import NONE
from act.policies.globs import action_fault, resource_fault
from act.policies.index import PolicyIndex
from act.policies.match import Call, match
from act.policies.policy import CompiledPolicy, Near
from act.policies.shelf import Nears, Policies
from act.tokens.chain import Link
from act.tokens.scope import Scope

# Enum members as plain names: looking one up costs more than the rest of an ordinary decision's last step.
_ALLOWED: Final = ReasonCode.ALLOWED
_DENIED: Final = ReasonCode.POLICY_DENIED
_NO_MATCH: Final = ReasonCode.NO_MATCHING_POLICY
_EXCEEDED: Final = ReasonCode.CHAIN_SCOPE_EXCEEDED

# A named tuple by its fields: half the time.
_made: Final = tuple.__new__
_RULING: Final = Ruling

Chain = Sequence[Link]


def decide(
    index: PolicyIndex,
    chain: Chain,
    call: Call,
    requester: Chain | None = None,
    session: Mapping[str, Any] | None = None,
) -> Ruling:
    """May the last agent of `chain` make this call, asked by the last one of `requester`?

    `call.token` is what conditions see of the last link's token.

    Args:
        requester: who asked. One that is only named is covered when it stands in `chain`.
        session: the session of the requester's own token, when it has shown one that `chain` has not grown from.
    """
    if fault := action_fault(call.action):
        return Ruling(False, ReasonCode.ACTION_MALFORMED, f"The action cannot be compared. {fault}")
    if fault := resource_fault(call.resource):
        return Ruling(False, ReasonCode.RESOURCE_MALFORMED, f"The resource cannot be compared. {fault}")
    if requester is None and len(chain) == 1:
        link = chain[0]
        if link.scope is None and link.usable:
            return _alone(index, chain, link.agent, call)
    own = _side(index, chain, call)
    if requester is None or (session is None and any(requester[-1].agent.id == link.agent.id for link in chain)):
        return own.ruling if own.would is None else own.told()
    seen = call.session if session is None else session
    asked = _side(index, requester, call._replace(token=requester[-1].seen, session=seen))
    agent, asking = chain[-1].agent, requester[-1].agent
    ruling = _joined(own.ruling, asked.ruling, agent, asking)
    if not own.shadows and not asked.shadows:
        return ruling
    would = _joined(own.if_enforced, asked.if_enforced, agent, asking)
    return Side(ruling, would, union(own.shadows, asked.shadows)).told()


def _alone(index: PolicyIndex, chain: Chain, agent: Agent, call: Call) -> Ruling:
    """The usual case: one agent, whose token narrows nothing, asked by nobody else."""
    close: list[Nears] = []
    fit = fitting(index, agent, call, close)
    if not fit:
        return _unmatched(agent, call, near_misses(call, close, (), ()))
    if len(fit) == 1 and fit[0].unguarded:
        policy = fit[0]
        if policy.free:
            return by_itself(policy)
        matched = match(policy, agent, call)
        if matched.matches:
            return by_itself(policy)
        close = index.near(agent, call.action, call.resource)
        return _unmatched(agent, call, near_misses(call, close, fit, (missing(policy, matched),)))
    found = held(fit, agent, call)
    if found.shadows:
        return _said(index, chain, call, found).told()
    return _combine(index, chain, call, found, found.enforced)


def _joined(own: Ruling, asked: Ruling, agent: Agent, requester: Agent) -> Ruling:
    """The agent's ruling and its requester's as one."""
    if not own.permitted:
        return own
    if asked.permitted:
        return both(own, asked, own.reason)
    reason = f"'{requester.name}' asked '{agent.name}' for what '{requester.name}' itself may not do: {asked.reason}"
    return asked._replace(code=ReasonCode.REQUESTER_NOT_PERMITTED, reason=reason)


def _side(index: PolicyIndex, chain: Chain, call: Call) -> Side:
    """What is said to the chain as a whole."""
    link = chain[-1]
    if len(chain) == 1 and link.scope is None and link.usable:
        return _uses(index, chain, call)
    if outside := _outside(chain, call):
        return Side(outside)
    sides = [_uses(index, chain, call), *hands_down(index, chain, call)]
    ruling = _together([side.ruling for side in sides], chain)
    shadows = union(*[side.shadows for side in sides])
    return Side(ruling, _together([side.if_enforced for side in sides], chain) if shadows else None, shadows)


def _outside(chain: Chain, call: Call) -> Ruling | None:
    """The first token of the chain that does not reach as far as this call."""
    if not chain[-1].usable:
        reason = f"The token was given to '{chain[-1].agent.name}' to be handed on, not to be used."
        return Ruling(False, _EXCEEDED, reason)
    for link in chain:
        if link.scope is not None and not _covers(link.scope, call):
            reason = f"The token of '{link.agent.name}' does not reach as far as {call.action} {call.resource}."
            return Ruling(False, _EXCEEDED, reason)
    return None


def _covers(scope: Scope, call: Call) -> bool:
    return scope.covers(call.action, call.resource) or (
        call.alias is not None and scope.covers(call.action, call.alias)
    )


def _together(rulings: Sequence[Ruling], chain: Chain) -> Ruling:
    """What everybody in the chain permits; a deny policy is told before what is merely not allowed."""
    if refused := [ruling for ruling in rulings if not ruling.permitted]:
        return next((ruling for ruling in refused if ruling.code is _DENIED), refused[0])
    reason = rulings[0].reason
    if len(chain) > 1:
        givers = ", ".join([f"'{link.agent.name}'" for link in chain[:-1]])
        reason = f"{reason.rstrip('.')}, handed down by {givers}."
    return all_of(rulings, reason)


def _uses(index: PolicyIndex, chain: Chain, call: Call) -> Side:
    """What the policies of the last agent say to its own use."""
    return _said(index, chain, call, find(index, chain[-1].agent, call))


def _said(index: PolicyIndex, chain: Chain, call: Call, found: Found) -> Side:
    ruling = _combine(index, chain, call, found, found.enforced)
    if not found.shadows:
        return Side(ruling)
    return Side(ruling, _combine(index, chain, call, found, found.enforced + found.shadows), found.shadows)


def _combine(index: PolicyIndex, chain: Chain, call: Call, found: Found, matching: Policies) -> Ruling:
    """Deny overrides, default deny, and all constraints of all matching allow policies."""
    link = chain[-1]
    guards = [policy for policy in found.doubtful if policy.usable]
    allowed = matching
    for policy in matching:
        if policy.effect == "deny":
            return denied(matching, found.doubt)
        if not policy.usable:
            allowed = tuple([policy for policy in matching if policy.usable])
        elif policy.constraints is not NONE:
            guards.append(policy)
    if not allowed:
        close = index.near(link.agent, call.action, call.resource)
        near = near_misses(call, close, found.fitting, _missed(found, matching))
        return _unmatched(link.agent, call, near)
    if link.scope is not None and link.scope.policy_ids is not None and not _among(allowed, link.scope.policy_ids):
        reason = f"Allowed by {named(allowed)}, but the token is for other policies only."
        return Ruling(False, _EXCEEDED, reason, allowed)
    if len(allowed) == 1 and not guards:
        return by_itself(allowed[0])
    reason = f"Allowed by {named(allowed)}."
    if not guards:
        return _made(_RULING, (True, _ALLOWED, reason, allowed, (), (), None, (), (), None))
    delegator = chain[-2].agent if len(chain) > 1 else None
    return constrained(chain[0], delegator, call, reason, allowed, guards)


def _unmatched(agent: Agent, call: Call, near: tuple[Near, ...]) -> Ruling:
    return _made(_RULING, (False, _NO_MATCH, no_match(agent, call, near), (), near, (), None, (), (), None))


def _missed(found: Found, matching: Sequence[CompiledPolicy]) -> list[Near]:
    """What alone was in the way of those that fit; of a right to hand down, that it is no more than that."""
    unusable = [Near(policy.id, "", "It lets the agent hand this down, not do it.", policy) for policy in matching]
    return [*(miss for miss in found.missed if miss.policy.usable), *unusable]


def _among(policies: Sequence[CompiledPolicy], ids: frozenset[str]) -> bool:
    return any(policy.id in ids for policy in policies)
