"""The faults of the parts of a policy that have a language of their own, for the strict load of the wire types.

Each part is compiled to see whether it can be. What compiles it is imported when it is first needed: the SDK shares
the wire types, and needs neither a schema validator nor CEL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from act.strict_json import Fault
from act.text import has_secret

_SEEN_BY_ALL: Final = "It has what looks like a token or a key; everybody who reads policies would see it."


def hours(written: str | Mapping[str, Any]) -> list[Fault]:
    from act.policies.hours import parse_hours

    parsed = parse_hours(written)
    return [Fault("", parsed)] if isinstance(parsed, str) else []


def domains(written: list[str]) -> list[Fault]:
    from act.policies.domains import parse_domains

    parsed = parse_domains(written)
    return [Fault(f"/{index}", message) for index, message in parsed] if isinstance(parsed, list) else []


def rates(written: Any) -> list[Fault]:
    from act.policies.rates import parse_rates

    parsed = parse_rates(written)
    return parsed if isinstance(parsed, list) else []


def one_rate_limit(constraints: dict[str, Any]) -> list[Fault]:
    """Make other names for a rate a part of `rateLimit`."""
    from act.policies.rates import ALIASES

    found = {name: constraints.pop(name) for name in ALIASES if name in constraints}
    faults = [
        Fault(f"/{name}", f"{name} is a whole number of 1 or more, for example 100.")
        for name, limit in found.items()
        if type(limit) is not int or limit < 1
    ]
    if found:
        given = constraints.get("rateLimit")
        several = [] if given is None else given if isinstance(given, list) else [given]
        several = [*several, *({"limit": limit, "per": ALIASES[name]} for name, limit in found.items())]
        constraints["rateLimit"] = several if len(several) > 1 else several[0]
    return faults


def budget_argument(pointer: str) -> list[Fault]:
    from act.policies.budgets import pointer_fault

    fault = pointer_fault(pointer)
    return [Fault("", fault)] if fault else []


def budget_amount(amount: float) -> list[Fault]:
    from act.policies.budgets import MAX_AMOUNT, millionths

    if millionths(amount) is not None:
        return []
    return [Fault("", f"A budget is a number from 0 to {MAX_AMOUNT} with six decimal places at most, such as 1000.")]


def arguments(schema: Mapping[str, Any], effect: Literal["allow", "deny"]) -> list[Fault]:
    from act.policies.arguments import compile_arguments

    if has_secret(json.dumps(schema, ensure_ascii=False, default=str)):
        return [Fault("", _SEEN_BY_ALL)]
    compiled = compile_arguments(schema, effect)
    return compiled if isinstance(compiled, list) else []


def condition(text: str) -> list[Fault]:
    from act.policies.conditions import ConditionFault, compile_condition

    if has_secret(text):
        # A fault in its words would name pieces of it.
        return [Fault("", _SEEN_BY_ALL)]
    compiled = compile_condition(text)
    return [Fault("", compiled.message)] if isinstance(compiled, ConditionFault) else []
