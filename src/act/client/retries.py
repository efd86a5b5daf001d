"""When a call may be made again, and after how long. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from act.client.call import Call
from act.client.errors import ActError, UnexpectedAnswer, Unreachable

LONGEST_PAUSE = 5.0
FIRST_PAUSE = 0.1
REFUSED = frozenset({429, 503})
FAILED = frozenset({500, 502, 504})


def pause_before(
    call: Call[Any], error: ActError, tries: int, retries: int, jitter: Callable[[], float] = random.random
) -> float | None:
    """Seconds to wait before trying again, or None when the error is final.

    Exponential from 0.1 s, each pause shortened at random by up to half so that callers do not return in step.
    `Retry-After` takes its place, up to 5 s: an agent that waits for a decision should rather hear a denial.

    Args:
        tries: how often the call has been made.
        retries: how often it may be made again.
        jitter: a number from 0 to 1.
    """
    if tries > retries or not _repeatable(call, error):
        return None
    if error.retry_after is not None:
        return min(error.retry_after, LONGEST_PAUSE)
    return min(FIRST_PAUSE * 2.0 ** (tries - 1) * (1 - jitter() / 2), LONGEST_PAUSE)


def _repeatable(call: Call[Any], error: ActError) -> bool:
    """Whether repeating cannot do the thing twice and may do some good."""
    if isinstance(error, UnexpectedAnswer):
        return False
    if isinstance(error, Unreachable):
        return call.idempotent or not error.sent
    return error.status in REFUSED or (call.idempotent and error.status in FAILED)
