"""The short cuts for what most actions and resources look like change no answer."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from act.policies import canonical
from act.policies.canonical import (
    MAX_ACTION,
    MAX_RESOURCE,
    action_fault,
    exact_action_fault,
    exact_resource_fault,
    never_an_action,
    resource_fault,
)

ODD = ("%20", "%2e", "%", "\\", "\n", "\x00", "\u00e9", "e\u0301", "\u200b", "\ud800")
PIECES = st.sampled_from([*"aZ9_-./:?#;@*+=~[ ", "..", "//", "://", "http", "api://tasks/", "file:", *ODD])
TEXTS = st.lists(PIECES, max_size=7).map("".join) | st.text(max_size=8)


@given(TEXTS)
@example("a\n")
@example("api://")
@example("api:///a")
@example("file:../a")
@example("a/..")
@example("a?b//c")
def test_a_resource_is_judged_alike_by_both(resource: str) -> None:
    assert_judged_alike(resource)


def assert_judged_alike(resource: str) -> None:
    assert resource_fault(resource) == exact_resource_fault(resource)
    if canonical._is_simple(resource) and len(resource) <= MAX_RESOURCE:
        assert exact_resource_fault(resource) is None


SIMPLE = ("a", "a-b/c_d?e=f#g", "api://tasks/execute/1", "s3://b", "file:///a", "api://", "a:b/")


@pytest.mark.parametrize("resource", SIMPLE)
def test_the_short_cut_is_taken(resource: str) -> None:
    assert canonical._is_simple(resource)


@pytest.mark.parametrize(
    "resource", ["", "a//b", "//a", "3s://b", "a://b//c", "a b", "a.b", "a%20", "a\\b", "\x7f", "\u00e9"]
)
def test_what_it_leaves_to_the_rules(resource: str) -> None:
    assert not canonical._is_simple(resource)


def test_not_every_action_is_kept_in_mind() -> None:
    try:
        for number in range(2 * canonical._MOST_ACTIONS):
            assert action_fault(f"action{number}") is None
        assert len(canonical._ACTIONS) == canonical._MOST_ACTIONS
    finally:
        canonical._ACTIONS.clear()


@given(TEXTS)
@example("execute\n")
@example("\u1d41")
def test_an_action_is_judged_alike_by_both(action: str) -> None:
    assert action_fault(action) == exact_action_fault(action)


@pytest.mark.parametrize(
    "frame", ["{}", "a{}", "{}a", "a{}a", "a/{}", "a/{}/b", "a://{}a", "a{}{}b", "a?{}", "{}://a", "a{}://a"]
)
def test_every_ascii_character_in_every_place(frame: str) -> None:
    for character in map(chr, range(128)):
        text = frame.format(character, character)
        assert_judged_alike(text)
        assert action_fault(text) == exact_action_fault(text)


def test_every_short_text_of_what_separates() -> None:
    for length in range(7):
        for characters in product("a_/:.", repeat=length):
            assert_judged_alike("".join(characters))


@pytest.mark.parametrize("length", [MAX_RESOURCE, MAX_RESOURCE + 1])
def test_the_longest_resource(length: int) -> None:
    assert_judged_alike("a" * length)
    assert (resource_fault("a" * length) is None) == (length == MAX_RESOURCE)


@pytest.mark.parametrize("length", [MAX_ACTION, MAX_ACTION + 1])
def test_the_longest_action(length: int) -> None:
    assert action_fault("a" * length) == exact_action_fault("a" * length)
    assert (action_fault("a" * length) is None) == (length == MAX_ACTION)


@pytest.mark.parametrize("stars", [1, 3])
def test_what_is_written_of_an_action_is_in_every_action(stars: int) -> None:
    longest = "a" * MAX_ACTION + "*" * stars
    assert never_an_action(longest) is None
    assert never_an_action(f"a{longest}") == "The action has more than 256 characters."
