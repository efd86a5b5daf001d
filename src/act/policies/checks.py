"""The faults of the parts of a policy that have a language of their own, for the strict load of the wire types.

Each part is compiled to see whether it can be. What compiles it is imported when it is first needed: the SDK shares
the wire types, and needs neither a schema validator nor CEL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from act.strict_json import Fault
from act.text import SECRET


def hours(written: str | Mapping[str, Any]) -> list[Fault]:
    from act.policies.hours import parse_hours

    parsed = parse_hours(written)
    return [Fault("", parsed)] if isinstance(parsed, str) else []


def domains(written: list[str]) -> list[Fault]:
    from act.policies.domains import parse_domains

    parsed = parse_domains(written)
    return [Fault(f"/{index}", message) for index, message in parsed] if isinstance(parsed, list) else []


def arguments(schema: Mapping[str, Any], effect: Literal["allow", "deny"]) -> list[Fault]:
    from act.policies.arguments import compile_arguments

    compiled = compile_arguments(schema, effect)
    return compiled if isinstance(compiled, list) else []


def condition(text: str) -> list[Fault]:
    from act.policies.conditions import ConditionFault, compile_condition

    if SECRET.search(text):
        # A fault in its words would name pieces of it.
        return [Fault("", "It has what looks like a token or a key; everybody who reads policies would see it.")]
    compiled = compile_condition(text)
    return [Fault("", compiled.message)] if isinstance(compiled, ConditionFault) else []
