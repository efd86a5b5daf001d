"""Tables on a terminal, by rich, which honours `NO_COLOR`. Imported when something is drawn, and not before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNBROKEN: Final = 40
"""Words no longer than this (ids, times, codes) are never folded, so that they can be copied."""
NARROWEST: Final = 20
"""The width that a column of longer words must have at least."""

_BETWEEN: Final = 3
_GOOD: Final = dict.fromkeys(("allowed", "active", "approved", "ok"), "green")
_BAD: Final = dict.fromkeys(("denied", "revoked", "rejected", "wrong"), "red")
_OPEN: Final = dict.fromkeys(("pending", "pending_approval", "suspended", "warning"), "yellow")
_STYLES: Final = _GOOD | _BAD | _OPEN


def draw_list(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One row for each item; where the terminal is too narrow for that, one line for each field that has a value."""
    console = _console()
    columns = [(heading, *cells) for heading, cells in zip(headings, zip(*rows, strict=True), strict=True)]
    least = [_least(column) for column in columns]
    spare = console.width - sum(least) - _BETWEEN * len(columns)
    if spare < 0:
        for row in rows:
            draw_fields([pair for pair in zip(headings, row, strict=True) if pair[1] != "-"])
            console.print()
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for column, width in zip(columns, least, strict=True):
        more = min(max(map(cell_len, column)) - width, spare)
        spare -= more
        table.add_column(column[0].upper(), overflow="fold", width=width + more)
    for row in rows:
        table.add_row(*map(_styled, row))
    console.print(table)


def _least(column: Sequence[str]) -> int:
    words = [cell_len(word) for text in column for word in text.split(" ")]
    longest = max(word for word in words if word <= UNBROKEN)
    return longest if longest == max(words) else max(longest, NARROWEST)


def draw_fields(rows: Sequence[Sequence[str]]) -> None:
    """One line for each heading and its text."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for heading, text in rows:
        table.add_row(heading, _styled(text))
    _console().print(table)


def _styled(text: str) -> Text:
    # Never as markup: the text may come from an agent.
    return Text(text, style=_STYLES.get(text, ""))


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)
