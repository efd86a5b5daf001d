"""The decision rules of 2-semantics once more: slow, plain, and written without a look at the code under test.

Policies and agents are dicts as they are on the wire (`appliesTo` None means the whole tenant). No import from `act`.
Of `arguments` it reads `properties` with a type, a maximum or an enum, `required` and `additionalProperties`; of `when`
the texts in `tests.pairs`; of `allowedDomains` calls whose texts are plain https URLs or nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.pairs import CONDITIONS

Document = Mapping[str, Any]
Policies = list[Document]


class Answer(NamedTuple):
    """`code` is the reason code before limits and people; `limits` are pairs of policy id and agent id.

    `shadow` is the code that would be if the shadow policies were enforced (before limits, with the person to be
    asked), and those of them that match.
    """

    code: str
    policies: frozenset[str] = frozenset()
    limits: frozenset[tuple[str, str]] = frozenset()
    approval: tuple[int, int] | None = None
    obligations: frozenset[tuple[str, int]] = frozenset()
    shadow: tuple[str, frozenset[str]] | None = None


class Asked(NamedTuple):
    """A call."""

    action: str
    resource: str
    now: datetime
    arguments: Mapping[str, Any] = {}
    context: Mapping[str, Any] = {}


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
    """None when an argument is missing, or of another type than the schema names."""
    schema = policy.get("arguments")
    if schema is None:
        return True
    named = schema["properties"]
    closed = policy["effect"] == "allow"
    if closed and not schema.get("additionalProperties", False) and any(name not in named for name in arguments):
        return False
    answers = [None for name in (named if closed else schema.get("required", ())) if name not in arguments]
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
    """What the policies say about an action and a resource that have no fault."""
    policies = list(policies)
    asked = Asked(action, resource, now, arguments or {}, context or {})
    enforced = [policy for policy in policies if policy.get("mode") != "shadow"]
    people = [agent] if requester is None else [agent, requester]
    shadows = [policy for policy in policies if policy.get("mode") == "shadow"]
    shadows = [policy for policy in shadows if any(fits(policy, person, asked) for person in people)]
    answer = _decide(enforced, agent, requester, asked)
    if not shadows:
        return answer
    would = _decide(policies, agent, requester, asked)
    code = "approval_required" if would.approval else would.code
    return answer._replace(shadow=(code, frozenset(policy["id"] for policy in shadows)))


def _decide(policies: Policies, agent: Document, requester: Document | None, asked: Asked) -> Answer:
    own = _decide_for(policies, agent, asked)
    if own.code != "allowed" or requester is None or requester["id"] == agent["id"]:
        return own
    theirs = _decide_for(policies, requester, asked)
    if theirs.code != "allowed":
        return Answer("requester_not_permitted", theirs.policies)
    return Answer(
        "allowed",
        own.policies | theirs.policies,
        own.limits | theirs.limits,
        _strictest([answer.approval for answer in (own, theirs) if answer.approval]),
        _least([*own.obligations, *theirs.obligations]),
    )


def _decide_for(policies: Policies, agent: Document, asked: Asked) -> Answer:
    matching = [policy for policy in policies if fits(policy, agent, asked)]
    ids = frozenset(policy["id"] for policy in matching)
    denying = frozenset(policy["id"] for policy in matching if policy["effect"] == "deny")
    if denying:
        return Answer("policy_denied", denying)
    if not matching:
        return Answer("no_matching_policy")
    written = [(policy["id"], policy.get("constraints") or {}) for policy in matching]
    if any("allowedHours" in each and not inside_hours(each["allowedHours"], asked.now) for _, each in written):
        return Answer("outside_allowed_hours", ids)
    if any("allowedDomains" in each and not inside_domains(each["allowedDomains"], asked) for _, each in written):
        return Answer("domain_not_allowed", ids)
    amounts = [(name, each[name]) for _, each in written for name in ("maxRows", "maxDataPoints") if name in each]
    if not all(within(name, most, asked) for name, most in amounts):
        return Answer("limit_exceeded", ids)
    limits = frozenset((id, agent["id"]) for id, each in written if "maxConcurrentTasks" in each)
    approvals = []
    for _, each in written:
        wanted = each.get("requiresApproval", False)
        if wanted is True:
            approvals.append((1, 900))
        elif wanted is not False:
            approvals.append((wanted.get("approvers", 1), wanted.get("expiresIn", 900)))
    return Answer("allowed", ids, limits, _strictest(approvals), _least(amounts))


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
