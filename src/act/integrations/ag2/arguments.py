"""The arguments that a tool's function gets, known before it is called.

AG2 converts what a model wrote (`"4_2"` is 42 for an `int`), reads it by alias, and leaves out what the function does
not take or the application fills in (`Depends`, `Inject`, `Variable`). All of that happens behind the gate. A decision
about the words of the model would be about another call than the one that runs, so it is done here first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from inspect import Parameter
from typing import Any, Final

from fast_depends.core import CallModel
from pydantic import BaseModel

from act.integrations.arguments import Read, model_of, read_by_all

_COLLECTING: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_SOLVER: Final = frozenset({"nested"})
"""Names that FastDepends takes for itself, when a model writes them, and does not hand on."""


def taken(model: Any, arguments: Mapping[str, Any], provider: Any) -> Read:
    """The arguments as JSON values that the function, and what it depends on by `provider`, get exactly so.

    Those that nothing takes are left out.
    """
    if not isinstance(model, CallModel):
        return Read(dict(arguments))  # a tool of an MCP server, which gets them as they are
    calls = list(_calls(model, model.dependency_provider.merge(provider) if provider else None))
    for call in calls:
        if doubtful := _doubtful(call):
            return Read(None, doubtful)
    # FastDepends takes an argument in place of a dependency of the same name.
    filled = {name for call in calls for name in (*call.dependencies, *call.custom_fields)}
    given = {name: value for name, value in arguments.items() if name not in filled}
    return read_by_all(map(_model, calls), given)


def _calls(model: CallModel, provider: Any) -> Iterator[CallModel]:
    """The call of a function, and those of what it depends on."""
    yield model
    for key in (*model.dependencies.values(), *model.extra_dependencies):
        yield from _calls((provider or model.dependency_provider).get_dependant(key), provider)


@lru_cache(maxsize=1024)
def _model(call: CallModel) -> type[BaseModel]:
    """What reads the arguments of one call that a model may give. One that is not there is for FastDepends to miss."""
    cast = getattr(call.serializer, "model", None) is not None
    return model_of(
        {
            option.field_name: (
                option.field_type if cast else Any,
                None if option.default_value in (..., Parameter.empty) else option.default_value,
            )
            for option in call.params
            if option.kind not in _COLLECTING
        }
    )


def _doubtful(call: CallModel) -> str | None:
    """Why it cannot be told which argument becomes which parameter."""
    for name, field in _model(call).model_fields.items():
        if field.validation_alias is not None and not isinstance(field.validation_alias, str):
            return f"argument {name!r} has more than one name"
        if name in _SOLVER:
            return f"argument {name!r} has a name that AG2 keeps for itself"
    return None
