"""The arguments of a call as AutoGen hands them to the function.

AutoGen 0.14 has pydantic read all arguments of a tool, 0.2 those that are pydantic models. What it reads them with
stands in the wrappers that it puts around a function; functions that it was given bare get what the model wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import Any

from pydantic import BaseModel

from act.integrations.arguments import UNSAID, Read, model_of, read_by_all


@dataclass(frozen=True)
class _Reader:
    """What reads the arguments of a function: its own model, then those of what it depends on.

    `rest` is the parameter that takes all others (`**rest`); with `open` others are handed on as they are.
    """

    models: tuple[type[BaseModel], ...] = ()
    rest: str | None = None
    open: bool = True


def as_taken(function: Any, arguments: Mapping[str, Any]) -> Read:
    """The arguments that the function gets of these, in JSON."""
    if not isinstance(function, FunctionType):
        return Read(arguments)
    reader = _reader(function)
    if not reader.models:
        return Read(arguments)
    known = reader.models[0].model_fields.keys() - {reader.rest}
    others = {name: value for name, value in arguments.items() if name not in known}
    if reader.rest is None:
        read = read_by_all(reader.models, arguments)
        return Read(others | read.arguments) if reader.open and read.fault is None else read
    named = {name: value for name, value in arguments.items() if name in known}
    read = read_by_all(reader.models, named | {reader.rest: others})
    if read.fault is not None:
        return Read(None if read.arguments is None else arguments, read.fault)
    rest = read.arguments.pop(reader.rest)
    return Read(read.arguments | rest) if isinstance(rest, Mapping) else Read(None, UNSAID)


@lru_cache(maxsize=1024)
def _reader(function: FunctionType) -> _Reader:
    known = [_closure(wrapper) for wrapper in _wrappers(function)]
    for call in (names["real_model"] for names in known if "real_model" in names):
        if call.cast:
            return _of_call(call)
    for names in known:
        if loaded := names.get("kwargs_mapping"):
            return _Reader((model_of({name: (names["param_annotations"][name], ...) for name in loaded}),))
    return _Reader()


def _of_call(call: Any) -> _Reader:
    """Of AutoGen's own FastDepends. `params` are those that AutoGen does not put in by itself."""
    fields = {name: field for name, field in call.params.items() if name != call.var_positional_arg}
    named = fields.keys() - {call.var_keyword_arg}
    behind = [_shared(inner, named) for inner in _behind(call) if inner.cast]
    return _Reader((model_of(fields), *behind), rest=call.var_keyword_arg, open=False)


def _behind(call: Any) -> Iterator[Any]:
    for inner in (*call.dependencies.values(), *call.extra_dependencies):
        yield inner
        yield from _behind(inner)


def _shared(call: Any, names: Any) -> type[BaseModel]:
    """What reads the arguments that a dependency has in common with the function."""
    return model_of({name: field for name, field in call.params.items() if name in names})


def _wrappers(function: Any) -> Iterator[Any]:
    """The wrappers of AutoGen around a function."""
    while function is not None:
        # A function of the application may close over the same names.
        if getattr(function, "__globals__", {}).get("__name__", "").startswith("autogen."):
            yield function
        function = getattr(function, "__wrapped__", None)


def _closure(function: Any) -> dict[str, Any]:
    cells = function.__closure__ or ()
    names = function.__code__.co_freevars if cells else ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True) if _filled(cell)}


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
