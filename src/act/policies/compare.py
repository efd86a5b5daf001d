"""The differences between two JSON documents, by JSON pointer (RFC 6901). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from act.models import PolicyChange
from act.strict_json import escape

_ABSENT = object()


def differences(before: Any, after: Any) -> list[PolicyChange]:
    """Every place at which the documents differ; lists are compared as a whole."""
    return list(_walk(before, after, ""))


def _walk(before: Any, after: Any, pointer: str) -> Iterator[PolicyChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _walk(before.get(name, _ABSENT), after.get(name, _ABSENT), f"{pointer}/{escape(name)}")
    elif before is _ABSENT or after is _ABSENT or before != after or type(before) is not type(after):
        yield PolicyChange(
            pointer=pointer,
            before=None if before is _ABSENT else before,
            after=None if after is _ABSENT else after,
        )
