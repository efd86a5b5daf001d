"""When a call may be made again, and after how long. Pure.

Any call may: what is not the same when done twice carries an `Idempotency-Key`, and the server does it once. So this
is about whether it may do some good.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from act.client.errors import ActError, UnexpectedAnswer, Unreachable

LONGEST_PAUSE = 5.0
FIRST_PAUSE = 0.1
PASSING = frozenset({429, 500, 502, 503, 504})
UNDER_WAY = "idempotency_in_flight"


def pause_before(
    error: ActError, tries: int, retries: int, jitter: Callable[[], float] = random.random
) -> float | None:
    """Seconds to wait before trying again, or None when the error is final.

    Exponential from 0.1 s, each pause shortened at random by up to half so that callers do not return in step.
    `Retry-After` takes its place, up to 5 s: an agent that waits for a decision should rather hear a denial.

    Args:
        tries: how often the call has been made.
        retries: how often it may be made again.
        jitter: a number from 0 to 1.
    """
    if tries > retries or not _passing(error):
        return None
    if error.retry_after is not None:
        return min(error.retry_after, LONGEST_PAUSE)
    return min(FIRST_PAUSE * 2.0 ** (tries - 1) * (1 - jitter() / 2), LONGEST_PAUSE)


def _passing(error: ActError) -> bool:
    """Whether the next try may end otherwise; among others when an earlier one is still being carried out."""
    if isinstance(error, Unreachable):
        return not isinstance(error, UnexpectedAnswer)
    return error.status in PASSING or error.code == UNDER_WAY
