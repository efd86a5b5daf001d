"""What people type, read strictly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import IO, Any

import click

from act.strict_json import AmbiguousJson, MalformedJson, loads


class Whole(click.IntRange):
    """A whole number in a range. `click` calls it an "integer range", which is no word for what to type."""

    name = "integer"


class Number(click.FloatRange):
    """A finite number in a range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number to count with.", param, ctx)
        return found


def json_argument(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """The callback of an option that takes a JSON object, as text or in a file named `@file` (`@-` is stdin)."""
    if value is None:
        return None
    if not value.startswith("@"):
        return json_object(value.encode("utf-8", "surrogateescape"))
    try:
        with click.open_file(value[1:], "rb") as file:
            return json_object(file.read())
    except OSError as error:
        raise click.BadParameter(f"{value[1:]}: {error.strerror}.") from None


def json_object(data: bytes) -> dict[str, Any]:
    """One JSON object of one reading only.

    Raises:
        click.BadParameter: names every fault.
    """
    try:
        found = loads(data)
    except AmbiguousJson as error:
        faults = "".join(f"\n  {fault.pointer or '(document)'}: {fault.message}" for fault in error.faults)
        raise click.BadParameter(f"The JSON can be read in two ways.{faults}") from None
    except MalformedJson as error:
        raise click.BadParameter(str(error)) from None
    if not isinstance(found, dict):
        raise click.BadParameter('It must be a JSON object, for example {"amount": 3}.')
    return found


def object_in(file: IO[bytes]) -> dict[str, Any]:
    """One object in a file: YAML in files named `*.yaml` or `*.yml`, otherwise JSON.

    Raises:
        click.BadParameter: names every fault.
    """
    try:
        return _object_in(file)
    except click.BadParameter as error:
        error.param_hint = f"'{file.name}'"
        raise


def _object_in(file: IO[bytes]) -> dict[str, Any]:
    if not str(file.name).endswith((".yaml", ".yml")):
        return json_object(file.read())
    from act.cli.documents import Unreadable, read_yaml  # of all commands few read YAML

    try:
        found = read_yaml(file.read())
    except Unreadable as error:
        faults = "".join(f"\n  {fault.pointer or '(document)'}: {fault.message}" for fault in error.faults)
        raise click.BadParameter(f"The YAML cannot be read.{faults}") from None
    if not isinstance(found, dict):
        raise click.BadParameter("It must be an object: lines of the form name: value.")
    return found


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """The dictionary that `name=value` arguments of this option write."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form name=value.", param_hint=f"'{option}'")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice.", param_hint=f"'{option}'")
        found[name] = value
    return found
