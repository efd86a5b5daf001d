"""Many rows in few statements.

Each statement hands the interpreter over to other threads and waits to get it back, which costs more than a row does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

AT_ONCE: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""How many rows a statement takes."""


class Insert:
    """Puts rows into a table, by the driver itself; `then` is what follows the values (`ON CONFLICT ...`)."""

    def __init__(self, table: str, columns: Sequence[str], then: str = "") -> None:
        row = f"({', '.join('?' for _ in columns)})"
        into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - names of our own
        self._statements = {count: f"{into}{', '.join([row] * count)} {then}" for count in AT_ONCE}

    def __call__(self, driver: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, each with a value for every column, in their order."""
        at = 0
        for count in AT_ONCE:
            while len(rows) - at >= count:
                driver.execute(self._statements[count], tuple(chain.from_iterable(rows[at : at + count])))
                at += count
