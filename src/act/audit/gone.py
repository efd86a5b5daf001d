"""Arguments that were kept and are no more: which of them does the log say were erased? Pure.

Whoever erases leaves a record `arguments.erased`, which names the records (`act.audit.erasure`). It is in the same
commit and so in the tree; what is gone and named by none was taken away by other means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from act.audit.arguments import is_kept

ERASED: Final = "arguments.erased"


class Gone:
    """Is shown the records of a log in order, and remembers those whose arguments are gone and not named by any."""

    def __init__(self) -> None:
        self._unnamed: set[int] = set()
        self._named = 0
        self._seen = 0

    def see(self, record: Mapping[str, Any], index: int, *, there: bool) -> None:
        """The record at `index`, whose hash was checked; `there` is whether arguments stand beside it.

        One that was seen before, in another file, is passed over.
        """
        if index < self._seen:
            return
        self._seen = index + 1
        if not there and is_kept(record):
            self._unnamed.add(index)
        indexes = record.get("indexes")
        if record.get("kind") == ERASED and isinstance(indexes, list):
            # What was erased was there before. An index that is no integer is in no set of them.
            named = self._unnamed.intersection(each for each in indexes if type(each) is int and each < index)
            self._unnamed -= named
            self._named += len(named)

    @property
    def erased(self) -> int:
        """Of how many records the arguments are gone, and the log says by whom."""
        return self._named

    @property
    def unnamed(self) -> list[int]:
        """The records of which they are gone, and no record says so; in order."""
        return sorted(self._unnamed)


def missing(unnamed: list[int]) -> str:
    """What is said of records whose arguments are gone without a word."""
    more = f" So are those of {len(unnamed) - 1} more." if len(unnamed) > 1 else ""
    return f"The arguments of record {unnamed[0]} are gone, and no record says that they were erased.{more}"
