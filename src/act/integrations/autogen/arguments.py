"""The arguments of a call as AutoGen hands them to the function.

AutoGen 0.14 has pydantic read all arguments of a tool, 0.2 those that are pydantic models. What it reads them with
stands in the wrappers that it puts around a function; functions that it was given bare get what the model wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from act.integrations.arguments import as_read


def as_taken(function: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The arguments that the function gets of these, in JSON; None when JSON cannot say them."""
    if not isinstance(function, FunctionType):
        return arguments
    model, others = _reader(function)
    if model is None:
        return arguments
    read: Mapping[str, Any] | None = as_read(model, arguments)
    if read is None:
        return None
    return {name: arguments[name] for name in arguments if others and name not in model.model_fields} | dict(read)


@lru_cache(maxsize=1024)
def _reader(function: FunctionType) -> tuple[type[BaseModel] | None, bool]:
    """The model that reads arguments of a function, and whether the function gets others beside them."""
    known = [_closure(wrapper) for wrapper in _wrappers(function)]
    for call in (names["real_model"] for names in known if "real_model" in names):
        if call.cast:  # its parameters are those that AutoGen does not put in by itself
            open_to = call.var_keyword_arg
            return _model({name: field for name, field in call.params.items() if name != open_to}), bool(open_to)
    for names in known:
        if loaded := names.get("kwargs_mapping"):
            return _model({name: (names["param_annotations"][name], ...) for name in loaded}), True
    return None, True


def _model(fields: Mapping[str, Any]) -> type[BaseModel]:
    made: type[BaseModel] = create_model(
        "Arguments", __config__=ConfigDict(arbitrary_types_allowed=True), **dict(fields)
    )
    return made


def _wrappers(function: Any) -> Iterator[Any]:
    """A function, and what it is wrapped around."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def _closure(function: Any) -> dict[str, Any]:
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True) if _filled(cell)}


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
