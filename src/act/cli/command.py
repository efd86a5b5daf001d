"""Commands and groups of `actctl`, with the options that all of them share.

The shared options may stand before or after the subcommand; the innermost wins.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import IO, Any, Final

import click

_KEPT: Final = "act.cli."
_SECRET: Final = re.compile(r"\beyJ[\w-]{10,}\.|\bact_[\w-]{16,}")
SHARED: Final = frozenset({"output", "url", "api_key_file"})


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    # `meta` is one dictionary for a context and all its subcommands.
    if value is not None and parameter.name is not None:
        context.meta[_KEPT + parameter.name] = value


def _output() -> click.Option:
    return click.Option(
        ["-o", "--output"],
        type=click.Choice(["table", "json", "jsonl"]),
        expose_value=False,
        callback=_keep,
        help="How data is printed.  [default: table]",
    )


def _server() -> list[click.Option]:
    return [
        click.Option(
            ["--url"],
            expose_value=False,
            callback=_keep,
            help="Where ACT is.  [default: http://127.0.0.1:8377; ACT_BASE_URL]",
        ),
        click.Option(
            ["--api-key-file"],
            type=click.File("rb"),
            expose_value=False,
            callback=_keep,
            help="A file with the API key.  [default: the variable ACT_API_KEY]",
        ),
    ]


class _Sections(click.Command):
    """Lists the shared options apart from a command's own, and says back no secret that was given as an argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if _SECRET.search(error.message):
                said = "A key or a token is no argument: all processes can read those. See --help for how to give it."
                raise click.UsageError(said, ctx) from None
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue
            if (record := parameter.get_help_record(ctx)) is not None:
                (shared if parameter.name in SHARED else own).append(record)
        for title, records in (("Options", own), ("Global options", shared)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Command(_Sections):
    """A command that talks to a server and prints data."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += [_output(), *_server()]


class OfflineCommand(_Sections):
    """A command that prints data and needs no server."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params.append(_output())


class Group(_Sections, click.Group):
    """A noun; its commands are `Command`s unless they say otherwise."""

    command_class: type[click.Command] | None = Command
    group_class = type

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += [_output(), *_server()]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def wants_json() -> bool:
    return click.get_current_context().meta.get(_KEPT + "output") in ("json", "jsonl")


def wants_lines() -> bool:
    """JSON with one item on a line."""
    return bool(click.get_current_context().meta.get(_KEPT + "output") == "jsonl")


def given_url() -> str | None:
    url: str | None = click.get_current_context().meta.get(_KEPT + "url")
    return url


def given_key() -> str | None:
    """The API key in the file that was named, if one was."""
    file: IO[bytes] | None = click.get_current_context().meta.get(_KEPT + "api_key_file")
    return None if file is None else secret_in(file)


def secret_in(file: IO[bytes]) -> str:
    """The key or token that a file holds, without the white space around it."""
    if file.isatty():
        click.echo("Type or paste it, then Enter and Ctrl-D.", err=True)
    try:
        found = file.read().decode().strip()
    except UnicodeDecodeError:
        found = ""
    if not found:
        raise click.ClickException(f"{file.name} holds no key and no token.")
    return found


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(command)


def confirm(question: str, yes: bool) -> None:
    """Ask the person at the terminal; without one, only `--yes` is a yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask at; add --yes to do it.")
    from act.cli.text import one_line

    if not click.confirm(one_line(question), err=True):
        raise click.ClickException("Nothing was done.")
