"""Which agents are found behind a function. No framework is needed for it."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from act.integrations import behind
from act.integrations.behind import agents_behind


class Agent:
    """Stands for one of a framework."""

    def ask(self) -> Agent:
        return self


AGENT, OTHER = Agent(), Agent()
TABLE = {"first": [], "agent": AGENT}
ROWS = [{"row": AGENT}]


class Service:
    def __init__(self, held: Any) -> None:
        self.held = held

    def ask(self) -> Any:
        return self.held


class Kept:
    def __init__(self, inner: Any) -> None:
        self.inner = inner


SERVICE = Service(Kept(AGENT))


def by_name() -> Any:
    return AGENT


def by_helper() -> Any:
    return by_name()


def by_inner_function() -> Any:
    def inner() -> Any:
        return [AGENT for _ in range(1)]

    return inner()


def by_table() -> Any:
    return TABLE["agent"]


def by_object() -> Any:
    return SERVICE.ask()


def by_default(agent: Any = AGENT, *, other: Any = None) -> Any:
    return agent or other


def by_keyword(*, agent: Any = AGENT) -> Any:
    return agent


def by_closure() -> Any:
    held = [{"agent": AGENT}]

    def ask() -> Any:
        return held

    return ask


def by_module() -> Any:
    return behind_module.AGENT  # type: ignore[name-defined]  # noqa: F821 - put there below


@functools.wraps(by_name)
def wrapped() -> Any: ...


FOUND = [by_name, by_helper, by_inner_function, by_table, by_object, by_default, by_keyword, by_closure(), wrapped]
FOUND += [AGENT.ask, Service(Kept([AGENT])).ask, functools.partial(by_helper), functools.partial(print, AGENT)]


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_an_agent_is_found(number: int) -> None:
    assert agents_behind(FOUND[number], lambda thing: isinstance(thing, Agent)) == [AGENT]


def test_an_agent_in_another_module_of_the_application_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(globals(), "behind_module", sys.modules[__name__])
    assert agents_behind(by_module, lambda thing: isinstance(thing, Agent)) == [AGENT]


def not_named() -> Any:
    return json.dumps(ROWS), Agent()


def test_others_are_not() -> None:
    for thing in (None, "text", json.dumps, not_named, Agent):
        assert agents_behind(thing, lambda thing: isinstance(thing, Agent)) == [], thing


def test_circles_end_and_libraries_are_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    circle: list[Any] = [OTHER]
    circle.append(circle)
    looked: list[Any] = []
    names = behind._names

    def watched(code: Any) -> Any:
        looked.append(code)
        return names(code)

    monkeypatch.setattr(behind, "_names", watched)
    assert agents_behind(lambda: (circle, json.dumps), lambda thing: isinstance(thing, Agent)) == [OTHER]
    assert [code.co_name for code in looked if code is not None] == ["<lambda>"]


def test_what_is_too_far_on_one_way_is_found_on_a_nearer_one() -> None:
    team = [AGENT]
    far: list[Any] = team
    for _ in range(behind._DEPTH - 2):
        far = [far]

    def tool(first: Any = far, then: Any = team) -> None: ...

    assert agents_behind(tool, lambda one: one is AGENT) == [AGENT]
