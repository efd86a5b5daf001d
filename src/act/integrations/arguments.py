"""The arguments of a call as its tool reads them.

Frameworks hand what a model wrote to pydantic before a tool gets it, and pydantic takes `"007"` for the integer 7: a
decision about the text would be one about another call than the one that runs. So what pydantic makes of the arguments
is asked about, and is what runs. It is JSON on the way, so JSON has to tell it whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

UNSAID = "The arguments are not a JSON object, or of a type that JSON cannot say (as a SecretStr)"
_UNSTABLE = "The arguments are not read as the same again, from what JSON says of them"
_IN_TWO_WAYS = "argument {!r} is read in two ways"
_NOT_WHOLE = "argument {!r} is of a type that JSON does not tell whole"


@dataclass(frozen=True)
class Read:
    """Arguments as JSON values, as they are to be asked about.

    With a `fault`, which says why, no tool may get them. They are then as they were written, for the resource that they
    name; or None, when nobody can tell what the tool would make of them.
    """

    arguments: Any
    fault: str | None = None


def read(model: Any, arguments: Any) -> Read:
    """The arguments as `model` reads them: without what it does not take, and without defaults.

    They stay as they are when `model` is no pydantic model. They have a fault when it does not take them: by the time
    that they run its validators may have changed their mind, and it would be another call. They have one, too, when it
    makes something else of what it has made of them.
    """
    if not isinstance(arguments, Mapping) or not (isinstance(model, type) and issubclass(model, BaseModel)):
        return Read(arguments)
    try:
        made = model.model_validate(deepcopy(arguments))  # validators may change what they are given
    except ValidationError as fault:
        return Read(arguments, told(fault))
    except Exception as fault:  # noqa: BLE001 - validators of the application may raise anything
        return Read(arguments, f"{_refused(model, arguments)}: {type(fault).__name__}")
    try:
        said = _said(made)
        again = model.model_validate(deepcopy(said))
        changed = _changed(made, again)
        same = bool(made == again) and _text(said) == _text(_said(again))  # by both, for `==` may say anything
    except Exception:  # noqa: BLE001 - and so may its serializers
        return Read(None, _UNSTABLE)
    if changed is None and same:
        return Read(said)
    return Read(None, _UNSTABLE if changed is None else _NOT_WHOLE.format(changed))


def read_by_all(models: Iterable[type[BaseModel]], arguments: Mapping[str, Any]) -> Read:
    """The arguments that any of the models takes, when all who take one read it in the same way."""
    taken: dict[str, Any] = {}
    for model in models:
        one = read(model, {**arguments, **taken})
        if one.fault is not None:
            return Read(None if one.arguments is None else arguments, one.fault)
        for name in taken.keys() & one.arguments.keys():
            if _text(taken[name]) != _text(one.arguments[name]):
                return Read(None, _IN_TWO_WAYS.format(name))
        taken |= one.arguments
    return Read(taken)


def model_of(fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    """A model of these parameters, each with its type and its default (`...` for none), as FastDepends makes them."""
    definitions: dict[str, Any] = dict(fields)
    return create_model("Arguments", __config__=ConfigDict(arbitrary_types_allowed=True), **definitions)


def told(fault: ValidationError) -> str:
    """What is wrong with arguments, without what they are."""
    first = fault.errors(include_input=False, include_url=False)[0]
    where = f"argument {first['loc'][0]!r}" if first["loc"] else "the arguments"
    return f"{where}: {first['msg']}"


def canonical(arguments: Any) -> str:
    """Arguments as one text. Raises for what JSON cannot say."""
    return json.dumps(arguments, allow_nan=False, sort_keys=True)


def _said(made: BaseModel) -> dict[str, Any]:
    # Not what was left unset: what is not written is not the same as a default that is.
    return made.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings="error")


def _changed(made: BaseModel, again: BaseModel) -> str | None:
    """The name of a field that is not the same in both."""
    for name in made.model_fields_set & type(made).model_fields.keys():
        if getattr(made, name) != getattr(again, name):
            return type(made).model_fields[name].alias or name
    return None


def _text(value: Any) -> str:
    """JSON values as one text, lists in any order: those that are sets have none."""
    if isinstance(value, list):
        return f"[{','.join(sorted(map(_text, value)))}]"
    if isinstance(value, dict):
        return f"{{{','.join(sorted(f'{json.dumps(name)}:{_text(one)}' for name, one in value.items()))}}}"
    return json.dumps(value)


def _refused(model: type[BaseModel], arguments: Mapping[str, Any]) -> str:
    """The argument whose validator raises, if it is one alone."""
    for name, field in model.model_fields.items():
        given = field.alias or name
        try:
            if given in arguments:
                held = model.model_construct()
                model.__pydantic_validator__.validate_assignment(held, name, deepcopy(arguments[given]))
        except Exception:  # noqa: BLE001 - as above
            return f"argument {given!r}"
    return "the arguments"
