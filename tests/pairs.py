"""Conditions in CEL, each with the same in Python: what `tests.reference` takes for the meaning of a text.

A KeyError or a TypeError stands for a condition that errs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Request = Mapping[str, Any]
Condition = Callable[[Request], bool]


def number(value: Any) -> float:
    """A number that CEL orders: a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def either(*sides: Callable[[], bool]) -> bool:
    """`||`: one side that is true makes it true, whatever errs beside it."""
    errors: list[Exception] = []
    for side in sides:
        try:
            if side():
                return True
        except (KeyError, TypeError) as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return False


def both(*sides: Callable[[], bool]) -> bool:
    """`&&`: one side that is false makes it false, whatever errs beside it."""
    return not either(*(lambda side=side: not side() for side in sides))


CONDITIONS: Mapping[str, Condition] = {
    "true": lambda r: True,
    "false": lambda r: False,
    "args.n < 5": lambda r: number(r["args"]["n"]) < 5,
    "args.n >= 5": lambda r: number(r["args"]["n"]) >= 5,
    "!(args.n < 5)": lambda r: not number(r["args"]["n"]) < 5,
    'args.who == "a"': lambda r: r["args"]["who"] == "a",
    'args.who != "a"': lambda r: r["args"]["who"] != "a",
    'args.who in ["a", "b"]': lambda r: r["args"]["who"] in ["a", "b"],
    'args.who.startsWith("a")': lambda r: text(r["args"]["who"]).startswith("a"),
    "has(args.who)": lambda r: "who" in r["args"],
    "!has(args.who)": lambda r: "who" not in r["args"],
    'context.env == "prod"': lambda r: r["context"]["env"] == "prod",
    "args.missing": lambda r: r["args"]["missing"],
    "args.n": lambda r: bool(r["args"]["n"]) if isinstance(r["args"]["n"], bool) else bool(text(None)),
    '"r1" in agent.roles': lambda r: "r1" in r["agent"]["roles"],
    'agent.id == "a1"': lambda r: r["agent"]["id"] == "a1",
    'agent.metadata.role == "r3"': lambda r: r["agent"]["metadata"]["role"] == "r3",
    'resource.startsWith("p/")': lambda r: r["resource"].startswith("p/"),
    'action == "x"': lambda r: r["action"] == "x",
    'now < timestamp("2026-11-22T18:00:00Z")': lambda r: r["now"] < datetime(2026, 11, 22, 18, tzinfo=UTC),
    "token.depth == 0": lambda r: r["token"]["depth"] == 0,
    "args.who == token.facts.who": lambda r: r["args"]["who"] == r["token"]["facts"]["who"],
    'args.n < 5 && context.env == "prod"': lambda r: both(
        lambda: number(r["args"]["n"]) < 5, lambda: r["context"]["env"] == "prod"
    ),
    'args.n < 5 || context.env == "prod"': lambda r: either(
        lambda: number(r["args"]["n"]) < 5, lambda: r["context"]["env"] == "prod"
    ),
}
