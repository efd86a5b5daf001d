"""The example runs as it stands, without a model and without a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import environment

EXAMPLE = Path(__file__).parents[3] / "examples" / "ag2" / "planner_executor.py"


def test_the_example(tmp_path: Path) -> None:
    without = {name: value for name, value in environment().items() if name != "OPENAI_API_KEY"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=without, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("executed: task 42") == 1
    for line in (
        "Planner: plan api://workflows/plan: allowed",
        "Planner: execute api://tasks/execute/42: no_matching_policy",
        "Planner: handoff agent://Executor: allowed",
        "Executor: execute api://tasks/execute/42: allowed",
    ):
        assert line in done.stdout
