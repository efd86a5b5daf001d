"""Does everybody above the last agent of a chain let this go down to the next? Pure (2-semantics, "Delegation").

Asked for every request, of the policies as they are now. To hand down is a right of its own: a policy gives it with the
grant `delegate`, to whom `delegation.to` says, as far as `delegation.maxDepth` says. Whatever guards an agent's own use
of a right guards what it hands down as well, so that nobody is rid of a constraint by handing the task to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from act.enforcement.constrain import constrained
from act.enforcement.explain import denied, named
from act.enforcement.matching import Found, find
from act.enforcement.ruling import Ruling, Side
from act.models import ReasonCode
from act.policies.constraints import NONE
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy
from act.tokens.chain import Link


def hands_down(index: PolicyIndex, chain: Sequence[Link], call: Call) -> Iterator[Side]:
    """What the policies say to each agent above the last, the nearest first."""
    for at in range(len(chain) - 2, -1, -1):
        own = call.with_token(chain[at].seen)
        found = find(index, chain[at].agent, own)
        ruling = _ruling(chain, at, own, found, found.enforced)
        if found.shadows:
            would = _ruling(chain, at, own, found, found.enforced + found.shadows)
            yield Side(ruling, would, found.shadows)
        else:
            yield Side(ruling)


def _ruling(chain: Sequence[Link], at: int, call: Call, found: Found, matching: Sequence[CompiledPolicy]) -> Ruling:
    for policy in matching:
        if policy.effect == "deny":
            return denied(matching, found.doubt)
    link, following = chain[at], chain[at + 1].agent
    policy_ids = None if link.scope is None else link.scope.policy_ids
    giving = [
        policy
        for policy in matching
        if policy.hand_down is not None
        and policy.hand_down.to.includes(following)
        and (policy_ids is None or policy.id in policy_ids)
    ]
    if not giving:
        what = f"{call.action} {call.resource}"
        reason = f"No policy lets '{link.agent.name}' hand {what} down to '{following.name}'."
        return Ruling(False, ReasonCode.CHAIN_NOT_DELEGABLE, reason)
    follow = len(chain) - 1 - at
    deep = [policy for policy in giving if policy.hand_down is not None and policy.hand_down.max_depth >= follow]
    if not deep:
        reason = f"Of '{link.agent.name}', {named(giving)} lets fewer than {follow} agents follow."
        return Ruling(False, ReasonCode.CHAIN_DEPTH_EXCEEDED, reason, tuple(giving))
    guards = found.doubtful + [policy for policy in matching if policy.constraints is not NONE]
    reason = f"Handed down by {named(deep)}."
    if not guards:
        return Ruling(True, ReasonCode.ALLOWED, reason, tuple(deep))
    delegator = chain[at - 1].agent if at else None
    return constrained(chain[0], delegator, call, reason, tuple(deep), guards)
