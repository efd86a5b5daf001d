"""Which regular expressions `matches()` takes. RE2 is linear in the text, but a short text can ask for a huge machine.

`\\pL{50}` takes RE2 200 milliseconds before it sees any text, and the binding compiles anew at every evaluation.
"""

from __future__ import annotations

import re

MAX_REGEX = 256
MAX_SIZE = 256
"""Places at which a match can stand, with counted repetitions written out."""

_TOKEN = re.compile(
    r"(?P<escape>\\.)|(?P<group>\(\?:|\((?!\?))|(?P<close>\))|(?P<count>\{(?P<least>\d+)(?P<comma>,)?(?P<most>\d*)\})"
    r"|(?P<set>\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\])|(?P<flags>\(\?)|.",
    re.DOTALL,
)
_HUGE_ESCAPES = frozenset("pPQCE")
_HUGE_IN_SET = re.compile(r"\\[pP]")


def regex_fault(pattern: str) -> str | None:
    """Why `matches()` does not take `pattern`, as a sentence; None when its size is fit. RE2 has to parse it yet."""
    if len(pattern) > MAX_REGEX:
        return f"A regular expression has at most {MAX_REGEX} characters."
    size = _size(pattern)
    if isinstance(size, str):
        return size
    if size > MAX_SIZE:
        return (
            f"The regular expression is too large: with its repetitions written out it has {size} of {MAX_SIZE} places."
        )
    return None


def regex_size(pattern: str) -> int:
    """How many places a pattern without a fault has; at least 1."""
    size = _size(pattern)
    return max(1, size) if isinstance(size, int) else MAX_SIZE


def _size(pattern: str) -> int | str:
    sizes, last = [0], 0  # the sum for each open group; the size of what a repetition would repeat
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if token["flags"]:
            return "Flags and named groups '(?...)' are not part of conditions; write (?:...) to group."
        if (token["escape"] and text[1] in _HUGE_ESCAPES) or (token["set"] and _HUGE_IN_SET.search(text)):
            return "Unicode classes and \\Q, \\C, \\E are not part of conditions; write the characters in [...]."
        if token["group"]:
            sizes.append(0)
            last = 0
        elif token["close"]:
            last = 1 + (sizes.pop() if len(sizes) > 1 else 0)
            sizes[-1] += last
        elif token["count"]:
            times = max(int(token["least"]), int(token["most"] or 0), 1)
            if times > MAX_SIZE:
                return f"A repetition is at most {MAX_SIZE} times."
            sizes[-1] += last * (times - 1)
            last *= times
        else:
            last = 1 + len(text) // 4 if token["set"] else 1  # a set is as large as it has ranges
            sizes[-1] += last
    return sum(sizes)
