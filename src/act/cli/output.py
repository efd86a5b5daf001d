"""Data on stdout: JSON, a table for a person, or plain aligned columns for a pipe.

Nothing is ever cut. On a terminal `drawing` draws; elsewhere there are no colours and no boxes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

from act.cli.command import wants_json, wants_lines
from act.cli.text import escaped, one_line

T = TypeVar("T")

Column = tuple[str, Callable[[T], Any]]
"""A heading, and what stands below it for an item."""


def say(words: str) -> None:
    """Words to the person, on stderr."""
    click.echo(escaped(words), err=True)


def warn(words: str) -> None:
    say(f"Warning: {words}")


def print_json(value: Any) -> None:
    if wants_lines():
        for item in value if isinstance(value, list) else [value]:
            click.echo(json_text(item, indent=None))
    else:
        click.echo(json_text(value))


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """JSON of models, or of plain values, for people and programs alike."""
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    return escaped(json.dumps(_plain(value), indent=indent, ensure_ascii=ascii_only))


def print_list(items: Iterable[T], columns: Sequence[Column[T]], *, nothing: str) -> None:
    """All items: a JSON array, or one line each. `nothing` is what to say when there are none."""
    found = list(items)
    if wants_json():
        print_json(found)
        return
    if not found:
        say(nothing)
        return
    rows = [[cell(value(item)) for _, value in columns] for item in found]
    headings = [heading for heading, _ in columns]
    if sys.stdout.isatty():
        from act.cli.drawing import draw_list

        draw_list(headings, rows)
        return
    lines = [[heading.upper() for heading in headings], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip())


def print_one(item: T, columns: Sequence[Column[T]], blocks: Mapping[str, str] | None = None) -> None:
    """One item: a JSON object, or one line for each field. `blocks` are texts of several lines to stand below."""
    if wants_json():
        print_json(item)
        return
    rows = [[heading, cell(value(item))] for heading, value in columns]
    if sys.stdout.isatty():
        from act.cli.drawing import draw_fields

        draw_fields(rows)
    else:
        width = max(len(heading) for heading, _ in rows)
        for heading, text in rows:
            click.echo(f"{heading:<{width}}  {text}".rstrip())
    for heading, text in (blocks or {}).items():
        click.echo(heading)
        for line in escaped(text).splitlines():
            click.echo(f"  {line}")


def cell(value: Any) -> str:
    """A value on one line."""
    if value is None or value == [] or value == {} or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        from act.models import rfc3339

        return rfc3339(value)
    if isinstance(value, dict):
        return json_text(value, indent=None)
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    return one_line(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
