"""Names of agents that are written in two places: in the framework, and in the `tokens` of a guard. Pure.

A name that is misspelt in one of them would take an agent's rights away without a word, and with them the limits that
these set to what others have it do. So an agent without a token is looked up among the names that no agent has.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

_ALIKE: Final = 0.8
"""As `difflib` counts: one letter of five may be wrong."""
_LONGEST: Final = 200
_LISTED: Final = 5


@lru_cache(maxsize=64)
def meant(name: str, others: tuple[str, ...]) -> str | None:
    """The one of `others` that may be the same name: but for a few letters, for case, blanks, `_` and `-`.

    Names with other numbers in them, as `worker_1` and `worker_2`, are names of different agents.
    """
    plain = {_plain(other): other for other in others if _numbers(other) == _numbers(name)}
    found = get_close_matches(_plain(name), list(plain), n=1, cutoff=_ALIKE)
    return plain[found[0]] if found else None


def listed(names: Sequence[str]) -> str:
    """`'a', 'b' and 3 more`."""
    more = len(names) - _LISTED
    return ", ".join(repr(name[:_LONGEST]) for name in names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _plain(name: str) -> str:
    return "".join(letter for letter in name[:_LONGEST].casefold() if letter not in " _-")


def _numbers(name: str) -> str:
    return "".join(letter for letter in name[:_LONGEST] if letter.isdigit())
