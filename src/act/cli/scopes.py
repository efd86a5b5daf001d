"""Options that narrow a token and say what it is for, shared by `tokens issue` and `delegations create`."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

import click

from act.cli.command import secret_in

Scope = list[dict[str, list[str]]]


def narrowing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--scope`, `--scope-file`, `--task`, `--facts`; `given_scope` and `given_facts` read them."""
    for option in reversed(
        (
            click.option(
                "--scope",
                "scopes",
                metavar="ACTIONS:RESOURCES",
                multiple=True,
                help="Only these actions on these resources: globs, several with commas. May be repeated.",
            ),
            click.option("--scope-file", metavar="FILE", help="A list of {actions, resources}, as YAML or JSON."),
            click.option("--task", metavar="ID", help="The task that it is for."),
            click.option("--facts", "facts_file", metavar="FILE", help="Values of the task for conditions; an object."),
        )
    ):
        command = option(command)
    return command


def token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--token-file`: a token is never an argument, because every process can read those."""
    return click.option(
        "--token-file", type=click.File("rb"), default="-", help="A file with the token.  [default: stdin]"
    )(command)


def shown_token(file: IO[bytes]) -> str:
    return secret_in(file)


def given_scope(scopes: tuple[str, ...], file: str | None) -> Scope | None:
    """The scope, from the options or from the file; None when there is neither."""
    if file is None:
        return [_part(text) for text in scopes] or None
    if scopes:
        raise click.UsageError("Give --scope or --scope-file, not both.")
    found = _document(file)
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise click.UsageError(f"{file}: a scope is a list of objects with actions and resources.")
    return found


def given_facts(file: str | None) -> dict[str, Any] | None:
    return None if file is None else read_object(file, "facts, for example {recipients: [ann@example.com]}")


def read_object(file: str, what: str) -> dict[str, Any]:
    """The object in a YAML or JSON file; `what` it is to be, for the person who named another."""
    found = _document(file)
    if not isinstance(found, dict):
        raise click.UsageError(f"{file}: it must be an object: {what}.")
    return found


def _part(text: str) -> dict[str, list[str]]:
    actions, colon, resources = text.partition(":")
    if not colon or not all((*actions.split(","), *resources.split(","))):
        message = f"{text!r} is not of the form ACTIONS:RESOURCES, for example read,write:api://orders/*"
        raise click.BadParameter(
            f"{message}. Write what has other commas or colons into a --scope-file.", param_hint="'--scope'"
        )
    return {"actions": actions.split(","), "resources": resources.split(",")}


def _document(file: str) -> Any:
    from act.cli.documents import Unreadable, read_file

    try:
        return read_file(file)
    except Unreadable as error:
        faults = "".join(f"\n  {fault.pointer or '(document)'}: {fault.message}" for fault in error.faults)
        raise click.UsageError(f"{file} cannot be read.{faults}") from None
