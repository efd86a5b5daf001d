"""Following the audit log."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from act.cli.command import wants_json
from act.cli.output import cell, json_text, say
from act.cli.records import COLUMNS
from act.cli.text import one_line

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import AuditRecord

_PAGE = 50


def follow(act: Act, filters: dict[str, Any], lines: int, interval: float) -> None:
    """Print the newest `lines` records that match, then every new one; looks again each `interval` seconds.

    A server that was there once may be away for a while.

    Raises:
        ActError: at the first look, or when the server refuses.
    """
    from act.client.errors import ServerError, Unreachable

    # The end of the whole log, read first: what matches later than that is new, however rare it is.
    seen = next((line.index for line in act.audit.list(limit=1)), -1)
    newest = [line for line in islice(act.audit.list(**filters, limit=_PAGE), lines) if line.index <= seen]
    away = False
    while True:
        for line in reversed(newest):
            _print(line)
        time.sleep(interval)
        newest = []
        try:
            newest = list(act.audit.list(**filters, begin=seen + 1, limit=_PAGE))
        except (Unreachable, ServerError) as error:
            if not away:
                say(f"{error} Trying again.")
            away = True
            continue
        away = False
        seen = max([seen, *(line.index for line in newest)])


def _print(line: AuditRecord) -> None:
    if wants_json():
        click.echo(json_text(line, indent=None))
        return
    parts = [cell(value(line)) for _, value in COLUMNS]
    reason = line.record.get("reason")
    said = "  ".join(part for part in parts if part != "-")
    click.echo(f"{said}  {one_line(reason)}" if isinstance(reason, str) and reason else said)
