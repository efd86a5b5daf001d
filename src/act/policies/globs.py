"""The pattern language and its algebra (2-semantics, "Patterns").

`*` matches any run of characters, also `/` and the empty run; everything else is literal and case-sensitive. That is
all, and so containment and intersection have exact answers, on which the analysis of policies rests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from act.policies.canonical import (
    MAX_ACTION,
    MAX_RESOURCE,
    action_fault,
    never_an_action,
    never_canonical,
    resource_fault,
)
from act.text import text_fault

__all__ = [
    "MAX_ACTION",
    "MAX_INTERSECTION",
    "MAX_PATTERN",
    "MAX_RESOURCE",
    "MAX_STARS",
    "IntersectionTooLarge",
    "Matcher",
    "action_fault",
    "compile_pattern",
    "contains",
    "intersect",
    "intersects",
    "never_an_action",
    "never_canonical",
    "pattern_fault",
    "resource_fault",
    "witness",
]

MAX_PATTERN = 1024
MAX_STARS = 8
MAX_INTERSECTION = 256

Matcher = Callable[[str], bool]

# No pattern without fault has this character, so it can be told from every literal.
_FRESH = "\x00"
_MAX_STEPS = 50_000


class IntersectionTooLarge(ValueError):
    """The exact answer is not worth its size. There is no partial one: that would be wrong in one direction."""


def pattern_fault(pattern: str) -> str | None:
    """Why `pattern` is not a pattern, as a sentence; None when it is one."""
    if not pattern:
        return "A pattern cannot be empty; write * to match everything."
    if len(pattern) > MAX_PATTERN:
        return f"A pattern has at most {MAX_PATTERN} characters."
    if pattern.count("*") > MAX_STARS:
        return f"A pattern has at most {MAX_STARS} stars."
    return text_fault(pattern)


def compile_pattern(pattern: str) -> Matcher:
    """A matcher for a pattern that has no fault. Linear in the text for each literal piece; no backtracking."""
    if "*" not in pattern:
        return pattern.__eq__
    prefix, *middles, suffix = pattern.split("*")
    pieces = tuple(piece for piece in middles if piece)
    if not pieces:
        if not suffix:
            return _Prefix(prefix) if prefix else _everything
        shortest = len(prefix) + len(suffix)
        return lambda text: len(text) >= shortest and text.startswith(prefix) and text.endswith(suffix)
    return lambda text: _match(text, prefix, pieces, suffix)


def _match(text: str, prefix: str, pieces: tuple[str, ...], suffix: str) -> bool:
    end = len(text) - len(suffix)
    if end < len(prefix) or not text.startswith(prefix) or not text.endswith(suffix):
        return False
    position = len(prefix)
    for piece in pieces:  # the leftmost place is always the best one, because only stars lie between
        found = text.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def _everything(_: str) -> bool:
    return True


class _Prefix:
    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __call__(self, text: str) -> bool:
        return text.startswith(self._prefix)


def contains(pattern: str, others: Sequence[str]) -> bool:
    """Whether every text that `pattern` matches is matched by one of `others`; patterns without fault.

    Exact. Let `w` be the pattern with a fresh character (one that occurs in none of `others`) for each star. The
    pattern matches `w`, so if the answer is yes, one of the others matches it, and does so with its stars over the
    fresh characters; whatever stands in their place, that one still matches. The other direction is the same step.
    So one of the others contains the pattern alone, or their union does not contain it.

    The limit: "every text" is every string of Unicode, where a fresh character always exists. Over an alphabet that
    the literals use up, unions contain more (`a*` and `b*` are everything non-empty to someone who writes only a and
    b), and so they do over canonical resources alone, of which a pattern like `x//*` matches none. There a yes is
    still right, and a no may be too careful.
    """
    text = witness(pattern)
    return any(compile_pattern(other)(text) for other in others)


def witness(pattern: str) -> str:
    """A text that another pattern matches exactly when it contains `pattern`; both without fault (see `contains`)."""
    return pattern.replace("*", _FRESH)


def intersects(one: str, other: str) -> bool:
    """Whether some text is matched by both patterns. Exact, and linear in their length.

    Two patterns that both have a star can be satisfied together if their literal beginnings agree as far as both go,
    and their ends likewise: between them, first all that one wants and then all that the other wants has room.
    """
    if "*" not in one:
        return compile_pattern(other)(one)
    if "*" not in other:
        return compile_pattern(one)(other)
    (begin, _, _), (begin_, _, _) = one.partition("*"), other.partition("*")
    (_, _, end), (_, _, end_) = one.rpartition("*"), other.rpartition("*")
    return (begin.startswith(begin_) or begin_.startswith(begin)) and (end.endswith(end_) or end_.endswith(end))


def intersect(one: str, other: str) -> tuple[str, ...]:
    """Patterns that together match exactly the texts that both patterns match, sorted; none of them is needless.

    Empty when nothing is matched by both. They may have more stars (at most as many as both together) and be longer
    (at most as long as both together) than a pattern that somebody may write.

    Raises:
        IntersectionTooLarge: it, or that of two ends of the patterns that it is made of, has more than
            `MAX_INTERSECTION` members, or finding it takes too long. `intersects` still answers.
    """
    if not intersects(one, other):
        return ()
    return tuple(sorted(_Intersection().of(_tidy(one), _tidy(other))))


class _Intersection:
    """The intersections of all ends of two patterns that come up while the patterns are laid over each other."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], list[str]] = {}
        self._steps = 0

    def of(self, one: str, other: str) -> list[str]:
        if (one, other) not in self._known:
            self._steps += 1
            self._known[one, other] = self._least(self._find(one, other))
        return self._known[one, other]

    def _find(self, one: str, other: str) -> set[str]:
        if one == "*" or other == "*" or one == other:
            return {other if one == "*" else one}
        if not one or not other:
            return set()
        if one[0] == other[0] == "*":  # one of the two stars ends first, where the other still runs on
            return {_tidy("*" + rest) for rest in (*self.of(one[1:], other), *self.of(one, other[1:]))}
        if other[0] == "*":
            one, other = other, one
        text = other.partition("*")[0]
        if one[0] == "*":  # the star ends somewhere in the text, or runs over all of it
            wanted = one[1:].partition("*")[0]
            found = {text + rest for rest in self.of(one, other[len(text) :])}
            for at in range(len(text)):
                if text.startswith(wanted, at) or wanted.startswith(text[at:]):
                    found.update(text[:at] + rest for rest in self.of(one[1:], other[at:]))
            return found
        both = min(len(text), len(one.partition("*")[0]))
        if one[:both] != other[:both]:
            return set()
        return {one[:both] + rest for rest in self.of(one[both:], other[both:])}

    def _least(self, found: set[str]) -> list[str]:
        """Without those that another one contains; by containment of one in one, this is the smallest union."""
        least: list[str] = []
        larger: list[Matcher] = []
        # What contains another has fewer characters besides stars, or the same and more stars: it comes first.
        for pattern in sorted(found, key=lambda each: (len(each) - each.count("*"), -each.count("*"), each)):
            text = witness(pattern)
            self._steps += 1 + len(least)
            if not any(matches(text) for matches in larger):
                least.append(pattern)
                larger.append(compile_pattern(pattern))
            if len(least) > MAX_INTERSECTION or self._steps > _MAX_STEPS:
                raise IntersectionTooLarge("The intersection of the two patterns has too many parts.")
        return least


def _tidy(pattern: str) -> str:
    """The one spelling of stars side by side."""
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern
