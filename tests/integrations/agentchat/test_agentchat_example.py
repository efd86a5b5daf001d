"""The example runs as it is written, without a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import environment

ROOT = Path(__file__).parents[3]
LIMIT = 120.0


def test_the_example_runs_offline() -> None:
    done = subprocess.run(
        [sys.executable, "examples/agentchat/swarm.py"],
        cwd=ROOT,
        env={name: value for name, value in environment().items() if name != "OPENAI_API_KEY"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    said = [line.strip() for line in done.stdout.splitlines()]
    assert said[0].startswith("Planner reads: ACT denied: no_matching_policy: "), said
    assert said[2:4] == ["Planner hands over to Executor", "Executor reads: task 42 is done"], said
    assert said[4].startswith("Executor reads: ACT denied: no_matching_policy: "), said
    assert len(said) == 5, said
