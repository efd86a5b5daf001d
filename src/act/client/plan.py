"""What a guarded function asks for: read off its signature once, filled in at every call. Pure."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter
from typing import Any, Self

from act.client.call import encoded
from act.client.deciding import denied
from act.client.errors import PermissionDenied
from act.models import ReasonCode
from act.text import segment


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: what to ask for, and what to run when it is allowed."""

    resource: str
    arguments: dict[str, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    snapshot: bytes

    def changed(self) -> bool:
        """Whether the arguments are no longer those that were asked for: a list can change while a person decides."""
        try:
            return encoded(self.arguments) != self.snapshot
        except ValueError:
            return True


@dataclass(frozen=True, slots=True)
class Plan:
    """The questions of one function."""

    action: str
    template: tuple[tuple[str, str | None], ...]
    signature: inspect.Signature
    is_async: bool
    owner: str | None
    """The parameter that is the object a method belongs to, and no argument of the call."""

    @classmethod
    def of(cls, function: Callable[..., Any], action: str, resource: str) -> Self:
        """The plan of a function.

        Raises:
            TypeError: it is no function, or a generator.
            ValueError: the template names what is not a parameter.
        """
        _refuse_unfit(function)
        signature = _signature(function)
        names = list(signature.parameters)
        owner = names[0] if names and names[0] in ("self", "cls") else None
        template = _template(resource, {name for name in names if name != owner})
        return cls(action, template, signature, inspect.iscoroutinefunction(_body(function)), owner)

    def asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
        """The question of one call.

        Raises:
            TypeError: the function cannot be called so.
            PermissionDenied: no question can be made of the arguments.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = {name: value for name, value in bound.arguments.items() if name != self.owner}
        try:
            snapshot = encoded(arguments)
        except ValueError as error:
            reason = f"The arguments of a guarded function must be JSON. {error}"
            raise PermissionDenied(denied(ReasonCode.UNREACHABLE, reason)) from None
        return Asked(self._resource(arguments), arguments, bound.args, bound.kwargs, snapshot)

    def annotations(self) -> dict[str, Any]:
        """The annotations of the function, resolved if they could be."""
        empty = inspect.Signature.empty
        found = {name: parameter.annotation for name, parameter in self.signature.parameters.items()}
        found["return"] = self.signature.return_annotation
        return {name: annotation for name, annotation in found.items() if annotation is not empty}

    def _resource(self, arguments: dict[str, Any]) -> str:
        return "".join(text + (_segment(name, arguments[name]) if name else "") for text, name in self.template)


def _segment(name: str, value: Any) -> str:
    """A value as part of a resource id; encoded so that it cannot reach beyond its place."""
    if type(value) is int or (type(value) is str and value):
        try:
            return segment(str(value))
        except ValueError as error:
            reason = f"The resource cannot be named with the argument '{name}': {error}."
            raise PermissionDenied(denied(ReasonCode.RESOURCE_MALFORMED, reason)) from None
    said = "is empty" if value in (None, "") else f"is a {type(value).__name__}, not a string or an integer"
    reason = f"The resource cannot be named: the argument '{name}' {said}."
    raise PermissionDenied(denied(ReasonCode.RESOURCE_MALFORMED, reason))


def _template(resource: str, names: set[str]) -> tuple[tuple[str, str | None], ...]:
    if not resource:
        raise ValueError("Name the resource, for example resource='api://tasks/execute/{task_id}'.")
    parts = []
    for text, name, form, conversion in Formatter().parse(resource):
        if name is not None and (name not in names or form or conversion):
            raise ValueError(f"The template field '{{{name}}}' is not the plain name of a parameter of the function.")
        parts.append((text, name))
    return tuple(parts)


def _refuse_unfit(function: Callable[..., Any]) -> None:
    if not callable(function) or inspect.isclass(function):
        raise TypeError("Only functions can be guarded; put the decorator next to `def`, below @classmethod.")
    body = _body(function)
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise TypeError(
            "A generator cannot be guarded: it would be checked when it is called and run later. "
            "Guard the function that consumes it, or return a list."
        )


def _body(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, or the `__call__` of an object that is called like one."""
    if inspect.isroutine(function) or isinstance(function, functools.partial):
        return function
    return type(function).__call__


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """With its annotations resolved, so that frameworks can read them off the guarded function, too."""
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # noqa: BLE001 - an annotation may be any expression and fail in any way
        return inspect.signature(function)
