"""The decision rules of 2-semantics once more: slow, plain, and written without a look at the code under test.

Policies and agents are dicts as they are on the wire (`appliesTo` None means the whole tenant), and so are the links
of a chain: `agent`, `scope`, `policyIds` and `grants` of its token, and `token` as conditions see it. No import from
`act`.
Of `arguments` it reads `properties` with a type, a maximum or an enum, `required` and `additionalProperties`; of `when`
the texts in `tests.pairs`; of `allowedDomains` calls whose texts are plain https URLs or nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.pairs import CONDITIONS

Document = Mapping[str, Any]
Policies = list[Document]


class Answer(NamedTuple):
    """`code` is the reason code before limits and people; `limits` are policy id, name, what it counts at, and amount.

    `shadow` is the code that would be if the shadow policies were enforced (before limits, with the person to be
    asked), and those of them that match.
    """

    code: str
    policies: frozenset[str] = frozenset()
    limits: frozenset[tuple[str, str, str, int]] = frozenset()
    approval: tuple[int, int] | None = None
    obligations: frozenset[tuple[str, int]] = frozenset()
    shadow: tuple[str, frozenset[str]] | None = None


NO_TOKEN: Document = {"facts": {}, "task": None, "onBehalfOf": None, "depth": 0}


class Asked(NamedTuple):
    """A call, with a token as conditions see it."""

    action: str
    resource: str
    now: datetime
    arguments: Mapping[str, Any] = {}
    context: Mapping[str, Any] = {}
    token: Document = NO_TOKEN


def glob_matches(pattern: str, text: str) -> bool:
    """`*` is any run of characters, everything else is itself: tries every run."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob_matches(pattern[1:], text[taken:]) for taken in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and glob_matches(pattern[1:], text[1:])


def applies(policy: Document, agent: Document) -> bool:
    to = policy["appliesTo"]
    if to is None:
        return True
    return agent["id"] in to["agentIds"] or any(role in to["roles"] for role in roles_of(agent))


def roles_of(agent: Document) -> list[str]:
    role = agent.get("metadata", {}).get("role")
    return list(agent["roles"]) + ([role] if isinstance(role, str) and role else [])


def in_force(policy: Document, now: datetime) -> bool:
    if policy.get("enabled") is False:
        return False
    begins, ends = policy.get("validFrom"), policy.get("validUntil")
    return not (begins is not None and now < begins) and not (ends is not None and now >= ends)


def matches(policy: Document, agent: Document, action: str, resource: str, now: datetime) -> bool:
    """Without a look at `arguments` and `when`."""
    return (
        in_force(policy, now)
        and applies(policy, agent)
        and any(glob_matches(pattern, action) for pattern in policy["actions"])
        and any(glob_matches(pattern, resource) for pattern in policy["resources"])
    )


def fits(policy: Document, agent: Document, asked: Asked) -> bool:
    """All of "Matching": what has no answer fits a deny policy, and no other."""
    if not matches(policy, agent, asked.action, asked.resource, asked.now):
        return False
    answers = [arguments_fit(policy, asked.arguments), condition_holds(policy, agent, asked)]
    return False not in answers and (None not in answers or policy["effect"] == "deny")


def arguments_fit(policy: Document, arguments: Mapping[str, Any]) -> bool | None:
    """None when an argument is missing, of another type than the schema names, or not among those that it names."""
    schema = policy.get("arguments")
    if schema is None:
        return True
    named = schema["properties"]
    closed = policy["effect"] == "allow"
    if closed and not schema.get("additionalProperties", False) and any(name not in named for name in arguments):
        return None
    answers: list[bool | None] = [
        None for name in (named if closed else schema.get("required", ())) if name not in arguments
    ]
    answers += [_value_fits(named[name], arguments[name]) for name in named if name in arguments]
    return None if None in answers else False not in answers


def _value_fits(schema: Mapping[str, Any], value: Any) -> bool | None:
    if schema["type"] == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return bool(value <= schema.get("maximum", value))
    if not isinstance(value, str):
        return None
    return value in schema.get("enum", [value])


def in_doubt(policy: Document, agent: Document, asked: Asked) -> bool:
    """Whether nobody knows if an allow policy fits; then it allows nothing, and guards all the same (ADR 11)."""
    if not matches(policy, agent, asked.action, asked.resource, asked.now):
        return False
    arguments = arguments_fit(policy, asked.arguments)
    return arguments is None or (arguments and condition_holds(policy, agent, asked) is None)


def condition_holds(policy: Document, agent: Document, asked: Asked) -> bool | None:
    """None when the condition errs."""
    if policy.get("when") is None:
        return True
    request = {
        "agent": {"id": agent["id"], "roles": roles_of(agent), "metadata": agent.get("metadata", {})},
        "action": asked.action,
        "resource": asked.resource,
        "args": asked.arguments,
        "context": asked.context,
        "now": asked.now,
        "token": asked.token,
    }
    try:
        return CONDITIONS[policy["when"]](request)
    except (KeyError, TypeError):
        return None


def decide(
    policies: Iterable[Document],
    agent: Document,
    action: str,
    resource: str,
    now: datetime,
    requester: Document | None = None,
    arguments: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Answer:
    """What the policies say about an action and a resource that have no fault, of tokens that nobody handed down."""
    asked = Asked(action, resource, now, arguments or {}, context or {})
    return decide_chain(policies, [alone(agent)], asked, requester)


def alone(agent: Document) -> dict[str, Any]:
    """The one link of a token that was handed down by nobody and is narrowed to nothing."""
    return {"agent": agent, "scope": None, "policyIds": None, "grants": ["use", "delegate"], "token": NO_TOKEN}


def decide_chain(
    policies: Iterable[Document], chain: Sequence[Document], asked: Asked, requester: Document | None = None
) -> Answer:
    """What the policies say to the last agent of a chain, asked by another agent that was only named."""
    policies = list(policies)
    sides: list[Sequence[Document]] = [chain]
    if requester is not None and requester["id"] not in [link["agent"]["id"] for link in chain]:
        sides.append([alone(requester)])
    people = [link for side in sides if reaches(side, asked) for link in side]
    shadows = [policy for policy in policies if policy.get("mode") == "shadow"]
    shadows = [policy for policy in shadows if any(fits(policy, link["agent"], seen(link, asked)) for link in people)]
    answer = _decide([policy for policy in policies if policy.get("mode") != "shadow"], sides, asked)
    if not shadows:
        return answer
    would = _decide(policies, sides, asked)
    code = "approval_required" if would.approval else would.code
    return answer._replace(shadow=(code, frozenset(policy["id"] for policy in shadows)))


def seen(link: Document, asked: Asked) -> Asked:
    """The call as the conditions of one link see it."""
    return asked._replace(token=link["token"])


def reaches(chain: Sequence[Document], asked: Asked) -> bool:
    """Whether the last token may be used, and every token of the chain covers the call."""
    return "use" in chain[-1]["grants"] and all(_covers(link["scope"], asked) for link in chain)


def _covers(scope: Sequence[Document] | None, asked: Asked) -> bool:
    return scope is None or any(
        glob_matches(action, asked.action) and glob_matches(resource, asked.resource)
        for part in scope
        for action in part["actions"]
        for resource in part["resources"]
    )


def _decide(policies: Policies, sides: Sequence[Sequence[Document]], asked: Asked) -> Answer:
    own = _decide_side(policies, sides[0], asked)
    if own.code != "allowed" or len(sides) == 1:
        return own
    theirs = _decide_side(policies, sides[1], asked)
    if theirs.code != "allowed":
        return Answer("requester_not_permitted", theirs.policies)
    return _all_of([own, theirs])


def _decide_side(policies: Policies, chain: Sequence[Document], asked: Asked) -> Answer:
    if not reaches(chain, asked):
        return Answer("chain_scope_exceeded")
    answers = [_use(policies, chain, asked)]
    answers += [_hand_down(policies, chain, at, asked) for at in reversed(range(len(chain) - 1))]
    for code in ("policy_denied", None):
        for answer in answers:
            if answer.code == code or (code is None and answer.code != "allowed"):
                return answer
    return _all_of(answers)


def _use(policies: Policies, chain: Sequence[Document], asked: Asked) -> Answer:
    """What is said to the last agent."""
    link = chain[-1]
    asked = seen(link, asked)
    matching = [policy for policy in policies if fits(policy, link["agent"], asked)]
    if denying := _ids(policy for policy in matching if policy["effect"] == "deny"):
        return Answer("policy_denied", denying)
    allowing = [policy for policy in matching if "use" in policy.get("grants", ["use"])]
    if not allowing:
        return Answer("no_matching_policy")
    ids = _ids(allowing)
    if link["policyIds"] is not None and not ids & set(link["policyIds"]):
        return Answer("chain_scope_exceeded", ids)
    guards = [policy for policy in policies if "use" in policy.get("grants", ["use"])]
    return _constrained(_guarding(guards, link, asked), ids, chain[0], chain[-2] if len(chain) > 1 else None, asked)


def _hand_down(policies: Policies, chain: Sequence[Document], at: int, asked: Asked) -> Answer:
    """What is said to an agent above the last one."""
    link, following = chain[at], chain[at + 1]["agent"]
    asked = seen(link, asked)
    matching = [policy for policy in policies if fits(policy, link["agent"], asked)]
    if denying := _ids(policy for policy in matching if policy["effect"] == "deny"):
        return Answer("policy_denied", denying)
    giving = [
        policy
        for policy in matching
        if "delegate" in policy.get("grants", ["use"])
        and applies({"appliesTo": policy["delegation"]["to"]}, following)
        and (link["policyIds"] is None or policy["id"] in link["policyIds"])
    ]
    if not giving:
        return Answer("chain_not_delegable")
    deep = [policy for policy in giving if policy["delegation"]["maxDepth"] >= len(chain) - 1 - at]
    if not deep:
        return Answer("chain_depth_exceeded", _ids(giving))
    guards = _guarding(policies, link, asked)
    return _constrained(guards, _ids(deep), chain[0], chain[at - 1] if at else None, asked)


def _guarding(policies: Policies, link: Document, asked: Asked) -> Policies:
    """The policies whose constraints hold: those that fit, and those of which nobody knows."""
    return [
        policy
        for policy in policies
        if fits(policy, link["agent"], asked)
        or (policy.get("mode") != "shadow" and policy["effect"] == "allow" and in_doubt(policy, link["agent"], asked))
    ]


def _constrained(
    guards: Policies, ids: frozenset[str], root: Document, delegator: Document | None, asked: Asked
) -> Answer:
    """What is left of an allow by the policies `ids`."""
    written = [(policy["id"], policy.get("constraints") or {}) for policy in guards]
    if not all(_handed_down(each.get("requiresDelegation", False), delegator) for _, each in written):
        return Answer("delegation_required", ids)
    if any("allowedHours" in each and not inside_hours(each["allowedHours"], asked.now) for _, each in written):
        return Answer("outside_allowed_hours", ids)
    if any("allowedDomains" in each and not inside_domains(each["allowedDomains"], asked) for _, each in written):
        return Answer("domain_not_allowed", ids)
    amounts = [(name, each[name]) for _, each in written for name in ("maxRows", "maxDataPoints") if name in each]
    if not all(within(name, most, asked) for name, most in amounts):
        return Answer("limit_exceeded", ids)
    limits = [counted(id, each, root, asked) for id, each in written]
    if any(limit is None for found in limits for limit in found):
        return Answer("budget_exceeded", ids)
    approvals = []
    for _, each in written:
        wanted = each.get("requiresApproval", False)
        if wanted is True:
            approvals.append((1, 900))
        elif wanted is not False:
            approvals.append((wanted.get("approvers", 1), wanted.get("expiresIn", 900)))
    every = frozenset(limit for found in limits for limit in found if limit is not None)
    return Answer("allowed", ids, every, _strictest(approvals), _least(amounts))


def family(link: Document) -> str:
    """What the quota of a token and of all that was handed down from it counts at."""
    return f"family of {link['agent']['id']}"


def counted(id: str, constraints: Document, root: Document, asked: Asked) -> list[tuple[str, str, str, int] | None]:
    """What the constraints of one policy count, and where; None for an amount that nobody can tell."""
    agent, found = root["agent"]["id"], list[tuple[str, str, str, int] | None]()
    if "maxConcurrentTasks" in constraints:
        found.append((id, "leases", agent, 1))
    if "maxRequests" in constraints:
        found.append((id, "quota", family(root), 1))
    rates = constraints.get("rateLimit", [])
    for rate in rates if isinstance(rates, list) else [rates]:
        per = rate["per"] if isinstance(rate, dict) else rate.split(" per ")[1]
        found.append((id, f"rate:{ {'minute': 60, 'hour': 3600, 'day': 86400}[per] }", agent, 1))
    if "budget" in constraints:
        budget = constraints["budget"]
        amount = asked.arguments.get(budget["argument"][1:])
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= 10**12:
            return [None]
        exact = Fraction(str(amount)) * 10**6
        if exact.denominator != 1:
            return [None]
        task = root["token"]["task"]
        holder = agent if budget["per"] == "day" else family(root)
        if budget["per"] == "task" and task is not None:
            holder = f"task:{task}"
        found.append((id, f"budget:{budget['per']}::{budget['argument']}", holder, int(exact)))
    return found


def _handed_down(wanted: bool | Document, delegator: Document | None) -> bool:
    if wanted is False:
        return True
    if delegator is None:
        return False
    return wanted is True or applies({"appliesTo": wanted["from"]}, delegator["agent"])


def _all_of(answers: list[Answer]) -> Answer:
    """What all of those permit that are said, under the constraints of all."""
    return Answer(
        "allowed",
        frozenset(id for answer in answers for id in answer.policies),
        frozenset(limit for answer in answers for limit in answer.limits),
        _strictest([answer.approval for answer in answers if answer.approval]),
        _least([pair for answer in answers for pair in answer.obligations]),
    )


def _ids(policies: Iterable[Document]) -> frozenset[str]:
    return frozenset(policy["id"] for policy in policies)


def inside_hours(hours: str | Mapping[str, Any], now: datetime) -> bool:
    """Goes through the hours of the window minute by minute, from the midnight before its day."""
    if isinstance(hours, str):
        window, zone = hours.split(" ")
        first, last = window.split("-")
        days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    else:
        first, last, zone = hours["from"], hours["to"], hours["timezone"]
        days = hours.get("days", ["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
    there = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None, second=0, microsecond=0)
    for day in (there, there - timedelta(days=1)):
        if day.strftime("%a").lower() not in days:
            continue
        minute = day.replace(hour=int(first[:2]), minute=int(first[3:]))
        while True:
            if minute == there:
                return True
            minute += timedelta(minutes=1)
            if minute.strftime("%H:%M") == last.replace("24:00", "00:00"):
                break
    return False


def inside_domains(domains: list[str], asked: Asked) -> bool:
    hosts = [text.removeprefix("https://").split("/")[0] for text in _texts(asked.arguments) if "https://" in text]
    hosts += [asked.context["domain"]] if "domain" in asked.context else []
    return all(any(_in_domain(host, domain) for domain in domains) for host in hosts)


def _in_domain(host: str, domain: str) -> bool:
    return host.endswith(domain[1:]) if domain.startswith("*.") else host == domain


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


NAMES = {
    "maxRows": ["rows", "maxRows", "max_rows", "rowCount", "row_count", "limit"],
    "maxDataPoints": ["dataPoints", "maxDataPoints", "data_points", "max_data_points", "points"],
}


def within(name: str, most: int, asked: Asked) -> bool:
    said = [values[each] for values in (asked.arguments, asked.context) for each in NAMES[name] if each in values]
    return all(type(number) is int and 0 <= number <= most for number in said)


def _strictest(approvals: list[tuple[int, int]]) -> tuple[int, int] | None:
    if not approvals:
        return None
    return max(people for people, _ in approvals), min(seconds for _, seconds in approvals)


def _least(amounts: list[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    return frozenset((name, min(most for other, most in amounts if other == name)) for name, _ in amounts)
