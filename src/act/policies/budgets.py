"""`budget`: what the amounts in an argument may come to together (2-semantics, "Constraints"). Pure.

Amounts are counted in millionths, as whole numbers, so that no sum is rounded: 0.1 and 0.2 are 0.3. What cannot be
counted exactly is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

Per = Literal["token", "task", "day"]

MILLION = 1_000_000
MAX_AMOUNT = 10**12
DAY = 86400


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """`limit` is in millionths of the unit. `pointer` (RFC 6901) names the amount among the arguments.

    `name` tells its counters from those of other limits of the policy: another argument, time or unit is another count.
    """

    pointer: str
    limit: int
    per: Per
    unit: str | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"budget:{self.per}:{self.unit or ''}:{self.pointer}")

    @property
    def seconds(self) -> int | None:
        """The stretch of time that is counted over; None is for as long as the token or task lives."""
        return DAY if self.per == "day" else None


def pointer_fault(pointer: str) -> str | None:
    """Why this is not a JSON pointer to an argument; None when it is one."""
    if not pointer.startswith("/") or len(pointer) > 256 or pointer.count("/") > 32:
        return 'Name the argument with a JSON pointer, for example "/amount" or "/order/total".'
    if pointer.replace("~0", "").replace("~1", "").count("~"):
        return 'In a JSON pointer "~" is written "~0", and "/" in a name "~1".'
    return None


def millionths(amount: object) -> int | None:
    """A number of zero or more in millionths; None when it is none, too large, or has more than six decimal places."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= MAX_AMOUNT:
        return None
    if isinstance(amount, int):
        return amount * MILLION
    # A number of 15 digits or fewer is the only such number of its float; most amounts are.
    near = round(amount * MILLION)
    if near < 10**15 and near / MILLION == amount:
        return near
    scaled = Decimal(repr(amount)).scaleb(6)
    whole = int(scaled)
    return whole if whole == scaled else None


def amount_of(terms: BudgetTerms, arguments: Mapping[str, Any]) -> int | str:
    """What a call spends, in millionths; or, as a sentence, why that cannot be told."""
    found: Any = arguments
    for part in terms.pointer[1:].split("/"):
        found = _step(found, part.replace("~1", "/").replace("~0", "~"))
        if found is _NOTHING:
            return f"The argument {terms.pointer} is missing, so its budget cannot be kept."
    amount = millionths(found)
    if amount is None:
        return f"The argument {terms.pointer} is not a number from 0 to 10^12 with at most six decimal places."
    return amount


def shown(amount: int) -> int | float:
    """Millionths as the number that people wrote."""
    return amount // MILLION if amount % MILLION == 0 else amount / MILLION


def written(amount: int) -> str:
    """Millionths as a decimal text."""
    if amount % MILLION == 0:
        return str(amount // MILLION)
    return f"{Decimal(amount).scaleb(-6).normalize():f}"


_NOTHING = object()


def _step(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name, _NOTHING)
    # Strictly RFC 6901: no leading zeros, no "-".
    plain = name.isascii() and name.isdigit() and (name == "0" or name[0] != "0") and len(name) < 9
    if isinstance(value, list) and plain and int(name) < len(value):
        return value[int(name)]
    return _NOTHING
