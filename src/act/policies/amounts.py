"""`maxRows` and `maxDataPoints`: the number that a call announces may not be above the limit.

ACT checks the number where the call carries it under one of the names below, at the top level of `args` or `context`;
the same limit goes back in `obligations`, for the tool to apply to what it really reads. A number under another name
is not seen here: limit it with `arguments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from act.strict_json import MAX_INTEGER

Kind = Literal["maxRows", "maxDataPoints"]

NAMES: Mapping[Kind, tuple[str, ...]] = {
    "maxRows": ("rows", "maxRows", "max_rows", "rowCount", "row_count", "limit"),
    "maxDataPoints": ("dataPoints", "maxDataPoints", "data_points", "max_data_points", "points"),
}
_UNITS: Mapping[Kind, str] = {"maxRows": "rows", "maxDataPoints": "data points"}


def amount_exceeded(kind: Kind, limit: int, arguments: Mapping[str, Any], context: Mapping[str, Any]) -> str | None:
    """Why the call goes beyond `limit`, as a sentence; None when it does not.

    What stands under one of the names and is not a whole number of zero or more (text, null, a boolean, a fraction,
    NaN, 2^53 and beyond, a list) is refused: it cannot be compared, and doubt narrows.
    """
    for place, values in (("arguments", arguments), ("context", context)):
        for name in NAMES[kind]:
            if name not in values:
                continue
            amount = values[name]
            if not _is_count(amount):
                return f"{name!r} in the {place} is not a whole number of {_UNITS[kind]}, so {kind} cannot be checked."
            if amount > limit:
                return f"{name!r} in the {place} asks for {int(amount)} {_UNITS[kind]}; {kind} is {limit}."
    return None


def _is_count(amount: Any) -> bool:
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return False
    return 0 <= amount <= MAX_INTEGER and (isinstance(amount, int) or amount.is_integer())
