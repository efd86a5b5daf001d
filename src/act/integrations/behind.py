"""Which agents a function can set to work, as far as Python objects tell.

Looked into are what a function closes over, its defaults, the object that it is a method of, what it is wrapped around,
and the globals that it names: agents, collections of agents, and the functions and objects of the application, which
are looked into in the same way. What is made when the function runs is not found.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

_DEPTH: Final = 10
_MOST: Final = 100
"""So many values of a global collection are looked at."""
_LEAVES: Final = (str, bytes, bytearray, int, float, type(None), type)
_FUNCTIONS: Final = (FunctionType, MethodType, functools.partial)
_LIBRARIES: Final = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def agents_behind(function: Any, is_agent: Callable[[Any], bool]) -> list[Any]:
    """The agents that can be reached from a function without passing one, each once."""
    return list({id(agent): agent for agent in _Search(is_agent).walk(function, _DEPTH)}.values())


@dataclass
class _Search:
    is_agent: Callable[[Any], bool]
    seen: dict[int, int] = field(default_factory=dict)

    def walk(self, thing: Any, depth: int) -> Iterator[Any]:
        if depth <= self.seen.get(id(thing), 0) or isinstance(thing, _LEAVES):
            return  # too far away, or looked into from as near
        self.seen[id(thing)] = depth
        if self.is_agent(thing):
            yield thing
            return
        for part in self._inside(thing):
            yield from self.walk(part, depth - 1)

    def _inside(self, thing: Any) -> Iterable[Any]:
        if isinstance(thing, Mapping):
            return thing.values()
        if isinstance(thing, list | tuple | set | frozenset):
            return thing
        if isinstance(thing, functools.partial):
            return (thing.func, *thing.args, *thing.keywords.values())
        if is_function(thing):
            return (*held_by(thing), *self._named(thing))
        held = vars(thing).values() if hasattr(thing, "__dict__") else ()
        return [one for one in held if isinstance(one, list | tuple | dict) or self._near(one)]

    def _near(self, thing: Any) -> bool:
        """Whether what an object holds, or a function names, belongs to what it does."""
        if self.is_agent(thing):
            return True
        return _of_application(thing if isinstance(thing, FunctionType | MethodType) else type(thing)) or isinstance(
            thing, functools.partial
        )

    def _named(self, function: Any) -> Iterator[Any]:
        for value in named_by(function):
            if isinstance(value, Mapping | list | tuple | set | frozenset):
                values = value.values() if isinstance(value, Mapping) else value
                yield from (one for one in list(islice(values, _MOST)) if self.is_agent(one))
            elif self._near(value):
                yield value


def is_function(thing: Any) -> bool:
    """Whether a thing is a function or a method, written in Python."""
    return hasattr(thing, "__code__") or hasattr(thing, "__func__")


def held_by(function: Any) -> Iterator[Any]:
    """What a function has at hand: the object it is a method of, what it wraps, what it closes over, its defaults."""
    owner, function = getattr(function, "__self__", None), getattr(function, "__func__", function)
    yield owner
    yield getattr(function, "__wrapped__", None)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from getattr(function, "__defaults__", None) or ()
    yield from (getattr(function, "__kwdefaults__", None) or {}).values()


def named_by(function: Any) -> Iterator[Any]:
    """The globals that a function names, and of modules of the application the members that it names."""
    function = getattr(function, "__func__", function)
    known = getattr(function, "__globals__", {})
    names = set(_names(getattr(function, "__code__", None)))
    for named in [known[name] for name in names & known.keys()]:
        if isinstance(named, ModuleType):
            members = vars(named) if _of_application(named) else {}
            yield from (members[name] for name in names & members.keys())
        else:
            yield named


def _names(code: Any) -> Iterator[str]:
    """The globals that a function names, also in the functions that are written in it."""
    if isinstance(code, CodeType):
        yield from code.co_names
        for constant in code.co_consts:
            yield from _names(constant)


def _of_application(thing: Any) -> bool:
    """Whether a function, a class or a module is of no library."""
    name = str(thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None))
    if name == "__main__":
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and not file.startswith(_LIBRARIES) and name.partition(".")[0] != "act"
