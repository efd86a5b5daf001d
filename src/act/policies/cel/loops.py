"""The macros: `all`, `exists`, `exists_one`, `map`, `filter`.

A loop is paid for before it begins, whole, so that whether a condition can be evaluated depends on how long a list is
and not on what stands first in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from act.policies.cel.values import FAULT_STEPS, Budget, Evaluator, Fault, Variables, describe

Maker = Callable[[Evaluator, str, Evaluator | None, Evaluator | None, int], Evaluator]
"""From what is looped over, the variable, the test, the item and the steps of one round."""


def _items(name: str, source: Evaluator, weight: int, v: Variables, b: Budget) -> Iterable[Any]:
    """The items of a list, or the keys of a map."""
    found = source(v, b)
    if type(found) is not list and type(found) is not dict:
        raise Fault(f"{name}() needs a list or a map, and not {describe(found)}")
    b.spend(weight * (len(found) + 2))
    return found


def _until(name: str, decisive: bool) -> Maker:
    """`all` is decided by the first False, `exists` by the first True; an error counts when nothing decides."""

    def make(
        source: Evaluator, variable: str, test: Evaluator | None, item: Evaluator | None, weight: int
    ) -> Evaluator:
        assert test is not None

        def run(v: Variables, b: Budget) -> bool:
            inner, fault = dict(v), ""
            for inner[variable] in _items(name, source, weight, v, b):
                try:
                    value = test(inner, b)
                except Fault as raised:
                    fault = fault or raised.message
                    b.spend(FAULT_STEPS)
                    continue
                if value is decisive:
                    return bool(value)
                if value is not (not decisive):
                    fault = fault or f"{name}() does not take {describe(value)} as a test"
            if fault:
                raise Fault(fault)
            return not decisive

        return run

    return make


def _passes(test: Evaluator, v: Variables, b: Budget, name: str) -> bool:
    value = test(v, b)
    if value is True or value is False:
        return bool(value)
    raise Fault(f"{name}() does not take {describe(value)} as a test")


def _exists_one(
    source: Evaluator, variable: str, test: Evaluator | None, item: Evaluator | None, weight: int
) -> Evaluator:
    assert test is not None

    def run(v: Variables, b: Budget) -> bool:
        inner, found = dict(v), 0
        for inner[variable] in _items("exists_one", source, weight, v, b):
            found += _passes(test, inner, b, "exists_one")
        return found == 1

    return run


def _map(source: Evaluator, variable: str, test: Evaluator | None, item: Evaluator | None, weight: int) -> Evaluator:
    assert item is not None

    def run(v: Variables, b: Budget) -> list[Any]:
        inner, made = dict(v), []
        for inner[variable] in _items("map", source, weight, v, b):
            if test is None or _passes(test, inner, b, "filter"):
                made.append(item(inner, b))
        return made

    return run


LOOPS: dict[str, Maker] = {
    "all": _until("all", False),
    "exists": _until("exists", True),
    "exists_one": _exists_one,
    "map": _map,
}
