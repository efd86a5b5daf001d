"""The arguments of a call as its tool gets them.

The framework prepares them before it runs a tool, and keeps what it has prepared: that very values run. They need not
go through JSON again, so it is enough that JSON tells each of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from re import Pattern
from typing import Any, Final
from uuid import UUID

from agent_framework import FunctionInvocationContext
from pydantic import AnyUrl, BaseModel, ValidationError
from pydantic_core import MultiHostUrl, Url, to_jsonable_python

from act.integrations.arguments import UNSAID, Read, told

_TOLD: Final = (
    *(type(None), bool, int, float, str, bytes, Decimal, UUID, date, time, timedelta, PurePath, Pattern),
    *(IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
    *(AnyUrl, Url, MultiHostUrl),
)
"""Types of which JSON tells all. One that is not here may look like any other of its kind (a `SecretStr`), or be gone
once it was read (an iterator)."""


def taken(context: FunctionInvocationContext) -> Read:
    """The arguments in the form in which the tool takes them, as JSON values. Raises for what JSON cannot say."""
    tool, arguments = context.function, context.arguments
    try:
        # The framework's own preparation of a call, done before the decision: `"4_2"` is 42 for an `int`.
        arguments = tool._prepare_context_arguments(context, arguments)
    except TypeError as fault:  # or a validator that refuses them may take them by the time that they run
        return Read(plain(arguments), _why(fault))
    return Read(plain(arguments)) if _told(arguments) else Read(None, UNSAID)


def plain(arguments: Any) -> Any:
    """Arguments as JSON values. Raises for what JSON cannot say."""
    return arguments.model_dump(mode="json") if isinstance(arguments, BaseModel) else to_jsonable_python(arguments)


def _told(value: Any) -> bool:
    """Whether JSON tells a value, and all that is in it."""
    if isinstance(value, Mapping):
        return all(map(_told, value)) and all(map(_told, value.values()))
    if isinstance(value, list | tuple | set | frozenset | deque):
        return all(map(_told, value))
    return _told(value.value) if isinstance(value, Enum) else isinstance(value, _TOLD)


def _why(fault: TypeError) -> str:
    cause = fault.__cause__
    return told(cause) if isinstance(cause, ValidationError) else "The tool does not take these arguments"
