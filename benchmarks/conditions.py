"""Conditions as ACT evaluates them, against the binding evaluating the same text over the same values."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cel_expr_python import cel

from act.policies.cel.native import VARIABLES
from act.policies.conditions import Condition, compile_condition

REQUEST: dict[str, Any] = {
    "agent": {"id": "a", "name": "n", "roles": ["executor", "mailer"], "metadata": {}},
    "token": {"facts": {"recipients": ["a@b", "c@d"]}, "task": "t", "onBehalfOf": None, "depth": 0},
    "action": "send",
    "resource": "mail://outbox",
    "args": {"amount": 5, "to": "a@b", "body": "x" * 2_000},
    "context": {"env": "prod"},
    "session": {"labels": [], "created": [f"file://{n}" for n in range(1_000)]},
    "now": datetime(2026, 11, 22, 18, tzinfo=UTC),
}
CONDITIONS = (
    "args.amount < 500",
    "context.env == 'prod' && args.to in token.facts.recipients",
    "context.env == 'prod' && args.amount < 500 && 'mailer' in agent.roles",
    "has(args.cc) && args.cc == 'x'",
    "args.missing == 1",
    "args.to.endsWith('@b')",
    "now.getHours('Europe/Berlin') < 20",
    "now < timestamp('2027-01-01T00:00:00Z')",
    "token.facts.recipients.exists(r, r == args.to)",
    "args.to.matches('^[a-z]+@b$')",
    "session.created.all(x, x.startsWith('file://'))",
)


def microseconds(run: Callable[[], object]) -> float:
    """The best of five rounds, for one call."""
    timer = timeit.Timer(run)
    calls, _ = timer.autorange()  # as many as take 0.2 seconds
    return min(timer.repeat(repeat=5, number=calls)) / calls * 1e6


def main() -> None:
    environment = cel.NewEnv(variables=VARIABLES)
    flat: dict[str, Any] = {}
    for name, value in REQUEST.items():
        nested = name in ("agent", "token", "session")
        flat |= {f"{name}.{part}": each for part, each in value.items() if each} if nested else {name: value}
    print(f"{'condition':72} {'ACT':>9} {'binding':>9} {'compile':>9}  microseconds")
    for text in CONDITIONS:
        condition, program = compile_condition(text), environment.compile(text)
        assert isinstance(condition, Condition)
        data = {name: value for name, value in flat.items() if name.partition(".")[0] in condition.variables}
        mine = microseconds(lambda condition=condition: condition.evaluate(REQUEST))
        theirs = microseconds(lambda program=program, data=data: program.eval(data=data))
        compiling = microseconds(lambda text=text: compile_condition(text))
        print(f"{text:72} {mine:9.2f} {theirs:9.2f} {compiling:9.0f}")


if __name__ == "__main__":
    main()
