"""Whom a policy applies to when its author did not say (2-semantics, "Who it applies to").

Inference only ever narrows: from the whole tenant to the agents of one role.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_BETWEEN_WORDS = re.compile(r"[\s_\-./:]+")


def words(text: str) -> tuple[str, ...]:
    """The words of a name, caseless: `"Data-Pipeline Writer"` is `("data", "pipeline", "writer")`."""
    return tuple(word for word in _BETWEEN_WORDS.split(text.casefold()) if word)


def inferred_roles(name: str, roles: Iterable[str]) -> tuple[str, ...]:
    """The roles that a policy's name begins with, whole words only.

    The longest wins (`"Data Writer Rights"` is for `data-writer`, not for `data`); roles that are the same words
    are all meant. Empty when the name begins with no role.
    """
    spoken = words(name)
    fitting = [(spelled, role) for role in set(roles) if (spelled := words(role)) and spoken[: len(spelled)] == spelled]
    longest = max((len(spelled) for spelled, _ in fitting), default=0)
    return tuple(sorted(role for spelled, role in fitting if len(spelled) == longest))
