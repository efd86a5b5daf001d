"""The long work of archiving, done beside the answers: it gives others their turn, and ends when the server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

PACE: Final = 0.004
"""Seconds in which others get the interpreter, after each 64 KB; and after each commit that removes."""


class Ending(Exception):
    """The server is being stopped."""


class Pacing:
    """One for all that is done to archives."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        self._stopping.set()

    def rest(self) -> None:
        """Let others get their turn.

        Raises:
            Ending: `stop` was called.
        """
        if self._stopping.wait(PACE):
            raise Ending

    def paced(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """The same, with rests."""
        sent = 0
        for line in lines:
            yield line
            sent += len(line)
            if sent > 1 << 16:
                sent = 0
                self.rest()
