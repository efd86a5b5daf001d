"""Patterns (2-semantics, "Patterns"): against a matcher that tries everything, and at their caps."""

from __future__ import annotations

import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.policies.globs import MAX_PATTERN, MAX_STARS, compile_pattern, pattern_fault
from tests.reference import glob_matches

PATTERNS = st.text("ab/*", min_size=1, max_size=9).filter(lambda pattern: pattern.count("*") <= MAX_STARS)
TEXTS = st.text("ab/", max_size=9)


@given(PATTERNS, TEXTS)
def test_a_pattern_matches_what_trying_everything_finds(pattern: str, text: str) -> None:
    assert compile_pattern(pattern)(text) == glob_matches(pattern, text)


def test_short_patterns_and_texts_by_exhaustion() -> None:
    texts = ["".join(text) for length in range(6) for text in product("ab", repeat=length)]
    for pattern in ("".join(text) for length in range(1, 6) for text in product("ab*", repeat=length)):
        matches = compile_pattern(pattern)
        for text in texts:
            assert matches(text) == glob_matches(pattern, text), (pattern, text)


@given(st.lists(st.text("ab?[].+\\^$|(){}/", max_size=4), min_size=1, max_size=9), st.data())
def test_only_the_star_is_special(pieces: list[str], data: st.DataObject) -> None:
    fillings = [data.draw(st.text("ab?[].+\\^$|(){}/\n", max_size=4)) for _ in pieces[1:]]
    text = pieces[0] + "".join(filling + piece for filling, piece in zip(fillings, pieces[1:], strict=True))
    matches = compile_pattern("*".join(pieces))
    assert matches(text)
    assert matches("#" + text) == glob_matches("*".join(pieces), "#" + text)


@given(st.text("ab/*", min_size=1, max_size=9))
def test_a_pattern_without_its_stars_matches_itself(pattern: str) -> None:
    assert compile_pattern(pattern)(pattern.replace("*", ""))


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*", "", True),
        ("api://tasks/*", "api://tasks/", True),
        ("api://tasks/*", "api://tasks/a/b/c", True),
        ("api://tasks/*", "api://tasks", False),
        ("api://tasks/*/run", "api://tasks/run", False),
        ("*/run", "api://tasks/7/run", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("ab*ba", "aba", False),
        ("*ab*ba*", "aba", False),
        ("*b*b", "b", False),
        ("a*ba", "aba", True),
        ("execute", "Execute", False),
        ("execute", "execute ", False),
        ("api://caf\u00e9/*", "api://cafe\u0301/1", False),
        ("api://admin", "api://\u0430dmin", False),
        ("a?c", "abc", False),
        ("[ab]", "a", False),
    ],
)
def test_examples(pattern: str, text: str, matches: bool) -> None:
    assert compile_pattern(pattern)(text) is matches


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("", "A pattern cannot be empty; write * to match everything."),
        ("a" * (MAX_PATTERN + 1), "A pattern has at most 1024 characters."),
        ("*" * (MAX_STARS + 1), "A pattern has at most 8 stars."),
        ("a\x00", "It contains a control, invisible or non-character code point."),
        ("a\n", "It contains a control, invisible or non-character code point."),
        ("a\u200bb", "It contains a control, invisible or non-character code point."),
        ("\u202eabc", "It contains a control, invisible or non-character code point."),
        ("execute ", "It begins or ends with a space."),
        (" execute", "It begins or ends with a space."),
        ("cafe\u0301", "It is not in Unicode normal form NFC."),
    ],
)
def test_what_is_no_pattern(pattern: str, fault: str) -> None:
    assert pattern_fault(pattern) == fault


@pytest.mark.parametrize(
    "pattern", ["*", "a" * MAX_PATTERN, "*a" * MAX_STARS, "caf\u00e9/*", "two words", "a?[b]", "%2e", "a//b"]
)
def test_what_is_a_pattern(pattern: str) -> None:
    assert pattern_fault(pattern) is None


@pytest.mark.parametrize("text", ["a" * 2048, "a" * 2047 + "b", "ab" * 1024])
@pytest.mark.parametrize("pattern", ["*a" * 8, "a*" * 8, "*aaaa" * 8 + "c", "*" * 8, "*ab" * 7 + "*ba"])
def test_star_bombs_do_not_go_off(pattern: str, text: str) -> None:
    matches = compile_pattern(pattern)
    started = time.process_time()
    for _ in range(200):
        matches(text)
    assert time.process_time() - started < 1.0
