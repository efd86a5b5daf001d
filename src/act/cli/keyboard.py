"""Keys of a terminal one by one, as they are pressed."""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
from types import TracebackType
from typing import Any, Final, Self

_KEY: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)|.", re.DOTALL)
_NAMES: Final = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}


def keys_in(text: str) -> list[str]:
    """The keys that this input stands for: characters, and names such as `up`; a key that is not known is left out."""
    keys = [_NAMES.get(key, key) for key in _KEY.findall(text)]
    return [key for key in keys if key in _NAMES.values() or (len(key) == 1 and key.isprintable())]


class Keyboard:
    """The terminal on stdin, read without waiting for a whole line. It is as it was at the end of the block.

    Raises:
        ImportError: at the start of the block, where there are no such terminals.
    """

    def __init__(self) -> None:
        self._file = sys.stdin.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        import termios
        import tty

        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        import termios

        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def read(self, seconds: float) -> list[str] | None:
        """What is pressed within so many seconds: as soon as there is something, perhaps nothing; None at the end."""
        ready, _, _ = select.select([self._file], [], [], max(seconds, 0.0))
        if not ready:
            return []
        found = os.read(self._file, 4096)
        return keys_in(self._decoder.decode(found)) if found else None

    def drop(self) -> None:
        """Forget what was pressed before the screen changed."""
        import termios

        termios.tcflush(self._file, termios.TCIFLUSH)
