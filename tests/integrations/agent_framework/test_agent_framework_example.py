"""The example runs offline, as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import environment

ROOT = Path(__file__).parents[3]


def test_the_example_runs_offline() -> None:
    env = {name: value for name, value in environment().items() if name != "OPENAI_API_KEY"}
    done = subprocess.run(
        [sys.executable, "examples/agent_framework/handoff.py"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("the model reads: ACT denied: no_matching_policy: No policy allows 'Planner'")
    assert lines[1] == "Planner hands over to Executor"
    assert lines[2] == "the model reads: task 42 is done"
    assert lines[3].startswith("the model reads: ACT denied: no_matching_policy: No policy allows 'Executor'")
