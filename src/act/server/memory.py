"""The memory of a process that serves for months."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Final

_ARENAS: Final = 2
_M_ARENA_MAX: Final = -8
"""glibc's `malloc.h`."""
_YOUNG_OBJECTS: Final = 20_000


def few_arenas() -> None:
    """Have all threads allocate from the same few arenas. To be called before there are threads.

    glibc gives threads arenas of their own, eight for each core, and what is free in one is of no use to the others: by
    and by each thread that reads for somebody keeps as much as it ever needed. Where there is no glibc nothing is done.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """What is there now stays: the collector need not look through it, again and again, while requests wait."""
    gc.collect()
    gc.freeze()
    # Requests leave few cycles behind, so the collector has little to find among what they make.
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
