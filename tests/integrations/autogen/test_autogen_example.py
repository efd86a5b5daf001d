"""The example runs as it stands, offline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import environment

EXAMPLE = Path(__file__).parents[3] / "examples" / "autogen" / "plan_and_execute.py"


@pytest.mark.timeout(280)
def test_the_example_runs() -> None:
    offline = {name: value for name, value in environment().items() if name != "OPENAI_API_KEY"}
    ran = subprocess.run([sys.executable, EXAMPLE], env=offline, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "ACT denied: requester_not_permitted" in ran.stdout
    assert "Task 42 is done." in ran.stdout
    assert ran.stdout.splitlines()[-2:] == [
        "  execute api://tasks/execute/42: requester_not_permitted",
        "  execute api://tasks/execute/42: allowed",
    ]
