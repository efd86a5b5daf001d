"""The suite can fail: with a guard that does nothing every case notices, and a team that hangs is ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_suite import Runner
from tests.integrations.suite.cases import CASES

# What is about teams that run well, or about the options that all guards share.
CONTENT = {
    "without_a_guard_the_tool_runs",
    "options_that_are_not_known_are_refused",
    # With nobody to ask, nobody is asked, and nothing runs that AutoGen itself refuses.
    "a_tool_that_is_not_there",
}


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner("without_guard", variables={"SUITE_WAITING": "1"})
    yield runner
    runner.kill()


@pytest.mark.parametrize("case", sorted(set(CASES) - CONTENT))
def test_every_case_notices_a_guard_that_does_nothing(runner: Runner, case: str) -> None:
    failure = runner.play(case, CASES[case].modes[0])
    assert failure is not None
    assert "Error" in failure


def test_a_team_that_hangs_is_ended() -> None:
    runner = Runner("without_guard", limit=5)
    failure = runner.play("a_team_without_an_end", "sync")
    assert failure == "the team hangs: no end after 5 s"
    assert not runner.alive
