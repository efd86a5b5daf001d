"""Containment and intersection of patterns (2-semantics, "Patterns"), against languages written out and automata."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations_with_replacement, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from act.policies.globs import (
    MAX_INTERSECTION,
    MAX_PATTERN,
    MAX_STARS,
    IntersectionTooLarge,
    compile_pattern,
    contains,
    intersect,
    intersects,
    never_canonical,
    pattern_fault,
    resource_fault,
)
from tests.reference import glob_matches

SMALL = ["".join(text) for length in (1, 2, 3) for text in product("ab*", repeat=length)]
TEXTS = ["".join(text) for length in range(7) for text in product("abc", repeat=length)]
PATTERNS = st.text("ab*", min_size=1, max_size=6)  # a state of all automata together stays small


@cache
def language(pattern: str) -> frozenset[str]:
    """The texts over a, b and c, up to six characters, that the pattern matches; c is in no pattern."""
    return frozenset(text for text in TEXTS if glob_matches(pattern, text))


def outcomes(patterns: Sequence[str], alphabet: str = "abc") -> Iterator[tuple[bool, ...]]:
    """Which of the patterns match, for every text of any length: all states of their automata side by side."""

    def rest(pattern: str, at: int) -> frozenset[int]:
        """The places that a text may be at when it is at `at`: a star may match nothing."""
        return frozenset((at,)) | (rest(pattern, at + 1) if pattern[at : at + 1] == "*" else frozenset())

    def step(pattern: str, places: frozenset[int], character: str) -> frozenset[int]:
        onto = ((at if pattern[at] == "*" else at + 1) for at in places if pattern[at : at + 1] in ("*", character))
        return frozenset(place for at in onto for place in rest(pattern, at))

    seen = {tuple(rest(pattern, 0) for pattern in patterns)}
    waiting = list(seen)
    while waiting:
        state = waiting.pop()
        yield tuple(len(pattern) in places for pattern, places in zip(patterns, state, strict=True))
        for character in alphabet:
            following = tuple(step(p, places, character) for p, places in zip(patterns, state, strict=True))
            if following not in seen:
                seen.add(following)
                waiting.append(following)


def union_contains(pattern: str, others: Sequence[str], alphabet: str = "abc") -> bool:
    return all(any(found) or not matched for matched, *found in outcomes([pattern, *others], alphabet))


# Containment


def test_containment_in_one_and_in_two_by_exhaustion() -> None:
    for pattern in SMALL:  # three characters at most, so texts of six would show any difference
        for others in combinations_with_replacement(SMALL, 2):
            expected = language(pattern) <= language(others[0]) | language(others[1])
            assert contains(pattern, others) == expected, (pattern, others)


@given(PATTERNS, st.lists(PATTERNS, max_size=4))
def test_containment_is_that_of_the_languages(pattern: str, others: list[str]) -> None:
    assert contains(pattern, others) == union_contains(pattern, others)


@given(PATTERNS, st.data())
def test_filling_the_stars_only_narrows(pattern: str, data: st.DataObject) -> None:
    head, *tail = pattern.split("*")
    filled = head + "".join(data.draw(st.sampled_from(["", "a", "*", "b*", "a*b", "#"])) + piece for piece in tail)
    assert contains(filled, [pattern])


@given(PATTERNS, st.lists(PATTERNS, max_size=4))
def test_without_a_fresh_character_a_yes_is_right_and_a_no_may_be_too_careful(pattern: str, others: list[str]) -> None:
    assert not contains(pattern, others) or union_contains(pattern, others, alphabet="ab")


def test_the_limit_of_the_fresh_character() -> None:
    others = ["a", "aa*", "ab*"]
    assert union_contains("a*", others, alphabet="ab")
    assert not union_contains("a*", others, alphabet="abc")
    assert not contains("a*", others)


@pytest.mark.parametrize(
    ("pattern", "others", "contained"),
    [
        ("api://tasks/7", ["api://tasks/*"], True),
        ("api://tasks/*", ["api://tasks/*"], True),
        ("api://tasks/*/run", ["api://tasks/*"], True),
        ("api://tasks/**", ["api://tasks/*"], True),
        ("api://tasks/*", ["api://tasks/**"], True),
        ("api://tasks/*", ["api://tasks/*/*", "api://tasks/7"], False),
        ("api://*", ["api://a*", "api://b*"], False),
        ("*", ["*a*", "*b*"], False),
        ("*a*b*", ["*b*a*", "*a*b*"], True),
        ("a", [], False),
        ("*" * MAX_STARS, ["*"], True),
        ("*" + "a" * (MAX_PATTERN - 1), ["*a"], True),
    ],
)
def test_containment_examples(pattern: str, others: list[str], contained: bool) -> None:
    assert contains(pattern, others) is contained


def test_the_fresh_character_is_in_no_pattern() -> None:
    assert pattern_fault("a\x00b") == "It contains a control, invisible or non-character code point."


# Intersection


def test_intersections_of_two_by_exhaustion() -> None:
    for one, other in combinations_with_replacement(SMALL, 2):
        both = language(one) & language(other)
        found = intersect(one, other)
        assert frozenset().union(*map(language, found)) == both, (one, other)
        assert intersects(one, other) == bool(found) == bool(both), (one, other)


@given(PATTERNS, PATTERNS)
def test_the_intersection_matches_what_both_match(one: str, other: str) -> None:
    found = intersect(one, other)
    for matched, matched_by_other, *by_found in outcomes([one, other, *found]):
        assert any(by_found) == (matched and matched_by_other)


@given(PATTERNS, PATTERNS)
def test_whether_they_meet_is_exact(one: str, other: str) -> None:
    assert intersects(one, other) == any(all(matched) for matched in outcomes([one, other]))
    assert intersects(one, other) == bool(intersect(one, other))


@given(PATTERNS, PATTERNS)
def test_no_part_of_an_intersection_is_needless(one: str, other: str) -> None:
    found = intersect(one, other)
    assert list(found) == sorted(set(found))
    for part in found:
        rest = [another for another in found if another != part]
        assert not contains(part, rest)
        assert contains(part, [one])
        assert contains(part, [other])
        assert part.count("*") <= one.count("*") + other.count("*")
        assert len(part) <= len(one) + len(other)


@given(PATTERNS, PATTERNS)
def test_the_order_of_two_patterns_is_nothing(one: str, other: str) -> None:
    assert intersect(one, other) == intersect(other, one)
    assert intersects(one, other) == intersects(other, one)


@given(PATTERNS, st.data())
def test_an_intersection_with_a_larger_pattern_changes_nothing(larger: str, data: st.DataObject) -> None:
    head, *tail = larger.split("*")
    pattern = head + "".join(data.draw(st.sampled_from(["", "a", "*", "b*"])) + piece for piece in tail) or "*"
    (found,) = intersect(pattern, larger)
    assert contains(found, [pattern])
    assert contains(pattern, [found])


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("api://tasks/*", "api://tasks/7", ("api://tasks/7",)),
        ("api://tasks/*", "api://users/*", ()),
        ("a*", "*a", ("a", "a*a")),
        ("api://*/read", "api://tasks/*", ("api://tasks/*/read", "api://tasks/read")),  # one slash may do for both
        ("*", "*", ("*",)),
        ("aa*a", "*aa*", ("aa*a",)),  # 'aaa' is found too, and is needless
        ("*ab*", "*ba*", ("*ab*ba*", "*aba*", "*ba*ab*", "*bab*")),
        ("api://*/*/*/*/x", "api://y/*/*/*/*", ("api://y/*/*/*/x",)),
        ("a*/*/*/*/*/*/*/*", "*/*/*/*/*/*/*/*b", ("a*/*/*/*/*/*/*/*b",)),
    ],
)
def test_intersection_examples(one: str, other: str, both: tuple[str, ...]) -> None:
    assert intersect(one, other) == both


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("*a*b*c*d*e*f*g*", "*h*i*j*k*l*m*n*"),  # 3,432 orders
        ("*" + "a" * 1000, "a" * 1000 + "*"),  # 1,001 overlaps
        ("*" + "a" * 500 + "*" + "a" * 500, "*" + "a" * 300 + "*" + "a" * 400 + "*"),
        ("*ab*ab*ab*ab*ab*ab*ab", "*ba*ba*ba*ba*ba*ba*"),
        ("*" + "ab" * 250 + "*" + "ba" * 250, "*" + "ab" * 200 + "*" + "ba" * 250 + "*"),
        ("*".join(["a" * 127] * 8), "*".join(["a" * 126] * 8)),
    ],
)
def test_too_large_an_intersection_is_said_and_soon(one: str, other: str) -> None:
    assert pattern_fault(one) is None
    assert pattern_fault(other) is None
    started = time.process_time()
    with pytest.raises(IntersectionTooLarge, match="too many parts"):
        intersect(one, other)
    assert intersects(one, other)
    assert time.process_time() - started < 5.0


def test_an_intersection_as_large_as_allowed() -> None:
    one, other = "*" + "a" * 255, "a" * 255 + "*"
    assert len(intersect(one, other)) == MAX_INTERSECTION == 256
    with pytest.raises(IntersectionTooLarge):
        intersect(one + "a", "a" + other)


# Patterns that no canonical resource matches

FILLINGS = ("", "x", "x?x", "x:", "20", "0", "C", "E", "B", "20?", "0?", "E?")


def canonical_match(pattern: str) -> str | None:
    """A canonical resource that the pattern matches, if stars filled in these ways make one."""
    head, *tail = pattern.split("*")
    for fillings in product(FILLINGS, repeat=len(tail)):
        text = head + "".join(filling + piece for filling, piece in zip(fillings, tail, strict=True))
        if resource_fault(text) is None:
            return text
    return None


TRAPS = st.text(r"a*/.:%?\ 25", min_size=1, max_size=9).filter(
    lambda pattern: pattern_fault(pattern) is None and pattern.count("*") <= 3
)


@given(TRAPS)
@example("%*//")
@example("%2*//")
@example("%5*//")
def test_never_canonical_is_exact_here(pattern: str) -> None:
    reason, found = never_canonical(pattern), canonical_match(pattern)
    assert (reason is None) == (found is not None), (reason, found)
    assert found is None or compile_pattern(pattern)(found)


def test_never_canonical_by_exhaustion() -> None:
    texts = ["".join(text) for length in range(7) for text in product("a/.:", repeat=length)]
    canonical = [text for text in texts if resource_fault(text) is None]
    for pattern in ("".join(text) for length in range(1, 5) for text in product("a/.:*", repeat=length)):
        if never_canonical(pattern) is not None:
            matches = compile_pattern(pattern)
            assert not any(map(matches, canonical)), pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("api://tasks//*", "The resource has an empty path segment ('//'); send the path without it."),
        ("//*", "The resource has an empty path segment ('//'); send the path without it."),
        ("api://tasks/../*", "The resource has a '.' or '..' segment; send the path it leads to."),
        ("*/..", "The resource has a '.' or '..' segment; send the path it leads to."),
        ("./*", "The resource has a '.' or '..' segment; send the path it leads to."),
        ("C:\\*", "The resource contains a backslash; use '/'."),
        ("*%2f*", "The resource has the percent-escape '%2f'; write the character itself."),
        ("*%00", "The resource has the percent-escape '%00', which can be read in two ways."),
        ("*%zz*", "The resource has the percent-escape '%', which can be read in two ways."),
        ("*%", "The resource has the percent-escape '%', which can be read in two ways."),
        ("a%4*", "The resource has a percent-escape that begins with '%4'; none such is read in one way only."),
        ("a/../b", "The resource has a '.' or '..' segment; send the path it leads to."),
    ],
)
def test_what_can_never_match(pattern: str, reason: str) -> None:
    assert pattern_fault(pattern) is None
    assert never_canonical(pattern) == reason


@pytest.mark.parametrize(
    "pattern",
    ["*", "*//b", "*/a//b", "file:///*", "/..*", "*..", "..*", "a/.*", "%*", "%2*", "a%5*", "api://a/%20*", "a?*//b"],
)
def test_what_can_match(pattern: str) -> None:
    assert never_canonical(pattern) is None
    assert canonical_match(pattern) is not None
