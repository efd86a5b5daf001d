"""The example of docs/delegation.md runs as it is, and does what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support import environment

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "delegation" / "planner_executor.py"


def test_the_example_of_delegation() -> None:
    page = (ROOT / "docs" / "delegation.md").read_text()
    code, said = (
        re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0] for kind in ("python", "text")
    )
    assert code in textwrap.dedent(EXAMPLE.read_text().partition("as act:\n")[2])
    ran = subprocess.run(
        [sys.executable, EXAMPLE], capture_output=True, text=True, timeout=120, env=environment(), check=True
    )
    assert ran.stdout == said
