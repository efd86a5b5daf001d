"""Agents and teams of AutoGen 0.7, played by a process of their own: what hangs is ended, and fails here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from agentchat_scenarios import CASES
from tests.support import environment

HERE = Path(__file__).parent
LIMIT = 280.0
"""Seconds for all of them on a slow machine; idle it is a few."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    log = tmp_path_factory.mktemp("agentchat") / "log"
    env = {**environment(), "PYTHONPATH": str(HERE.parents[2])}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "agentchat_scenarios.py")],
            env=env,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            said, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    answers: dict[str, str | None] = {}
    for line in said.splitlines():
        answers |= json.loads(line)
    return answers | {"": log.read_text()[-4000:]}


@pytest.mark.parametrize("case", list(CASES))
def test_scenario(played: dict[str, str | None], case: str) -> None:
    assert case in played, f"it hangs, or the process has ended:\n{played['']}"
    if played[case] is not None:
        pytest.fail(str(played[case]), pytrace=False)
