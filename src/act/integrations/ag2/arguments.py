"""The arguments that a tool's function gets, known before it is called.

AG2 converts what a model wrote (`"4_2"` is 42 for an `int`), reads it by alias, and leaves out what the function does
not take or the application fills in (`Depends`, `Inject`, `Variable`). All of that happens behind the gate. A decision
about the words of the model would be about another call than the one that runs, so it is done here first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fast_depends.core import CallModel
from pydantic import ValidationError


class NotTaken(ValueError):
    """The tool does not take these arguments; the text says why."""


def taken(model: Any, arguments: Mapping[str, Any], provider: Any) -> dict[str, Any]:
    """The arguments as JSON values that the function, and what it depends on by `provider`, get exactly so.

    Those that nothing takes are left out. Raises `NotTaken` for a value of the wrong type, and for one that JSON does
    not tell from others (a `SecretStr`, an iterator).
    """
    if not isinstance(model, CallModel):
        return dict(arguments)  # a tool of an MCP server, which gets them as they are
    wanted: dict[str, list[tuple[Any, str]]] = {}
    for kind, field, name in _fields(model, model.dependency_provider.merge(provider) if provider else None):
        wanted.setdefault(name, []).append((kind, field))
    return {name: _settled(wanted[name], name, value) for name, value in arguments.items() if name in wanted}


def _fields(model: CallModel, provider: Any = None) -> Iterator[tuple[Any, str, str]]:
    """Each parameter that a model may give: the pydantic model it is in, its name there, and what it is given by."""
    kind = getattr(model.serializer, "model", None)
    for option in model.params:
        alias = kind.model_fields[option.field_name].validation_alias if kind is not None else None
        if alias is not None and not isinstance(alias, str):
            raise NotTaken(f"argument {option.field_name!r} has more than one name")
        yield kind, option.field_name, alias or option.field_name
    for key in (*model.dependencies.values(), *model.extra_dependencies):
        yield from _fields((provider or model.dependency_provider).get_dependant(key))


def _settled(wanted: list[tuple[Any, str]], name: str, value: Any) -> Any:
    """The one JSON value that stands for what all who want it get."""
    for turn, (kind, field) in enumerate(wanted):
        said = _said(kind, field, name, value)
        if turn and said != value:
            raise NotTaken(f"argument {name!r} is read in two ways")
        value = said
    return value


def _said(kind: Any, field: str, name: str, value: Any) -> Any:
    if kind is None:
        return value
    try:
        given = _read(kind, field, value)
    except ValidationError as fault:
        raise NotTaken(f"argument {name!r}: {fault.errors(include_input=False)[0]['msg']}") from None
    except Exception as fault:  # noqa: BLE001 - the application's own types may raise anything
        raise NotTaken(f"argument {name!r} is not taken: {type(fault).__name__}") from None
    try:
        # Not what was left unset: what is not written is not the same as a default that is.
        (said,) = given.model_dump(
            mode="json", by_alias=True, include={field}, exclude_unset=True, warnings=False
        ).values()
        same = bool(getattr(_read(kind, field, said), field) == getattr(given, field))
    except Exception:  # noqa: BLE001 - as above
        same = False
    if not same:
        raise NotTaken(f"argument {name!r} is of a type that JSON does not tell whole")
    return said


def _read(kind: Any, field: str, value: Any) -> Any:
    """The pydantic model of a function with this one parameter in it."""
    held = kind.model_construct()
    kind.__pydantic_validator__.validate_assignment(held, field, value)
    return held
