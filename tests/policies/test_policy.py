"""One compiled policy: its validity window, and any one of its patterns."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from act.policies.audience import Audience
from act.policies.policy import CompiledPolicy, compile_policy
from tests.policies.strategies import NOW

BEFORE, AFTER = NOW - timedelta(microseconds=1), NOW + timedelta(microseconds=1)


def _policy(valid_from: datetime | None = None, valid_until: datetime | None = None) -> CompiledPolicy:
    return compile_policy(
        id="p",
        name="p",
        version=1,
        effect="allow",
        audience=Audience(everyone=True),
        actions=["read", "list*"],
        resources=["a/*", "b"],
        valid_from=valid_from,
        valid_until=valid_until,
    )


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "in_force"),
    [
        (None, None, True),
        (BEFORE, None, True),
        (NOW, None, True),
        (AFTER, None, False),
        (None, BEFORE, False),
        (None, NOW, False),
        (None, AFTER, True),
        (NOW, AFTER, True),
        (BEFORE, NOW, False),
    ],
)
def test_the_window_holds_its_beginning_and_not_its_end(
    valid_from: datetime | None, valid_until: datetime | None, in_force: bool
) -> None:
    assert _policy(valid_from, valid_until).in_force(NOW) is in_force


def test_one_pattern_of_each_kind_is_enough() -> None:
    policy = _policy()
    assert policy.matches_action("read")
    assert policy.matches_action("list-all")
    assert not policy.matches_action("write")
    assert policy.matches_resource("a/1")
    assert policy.matches_resource("b")
    assert not policy.matches_resource("b/1")
