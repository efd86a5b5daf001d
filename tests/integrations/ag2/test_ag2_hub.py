"""Teams at a hub, in a process of their own: no configuration may hang one, and none can hang the tests."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_scenarios import SCENARIOS
from tests.support import environment

ROOT = Path(__file__).parents[3]
LIMIT = 120.0
"""Seconds for one scenario on a slow machine; most take well under one."""


class Apart:
    """The process that plays scenarios; killed when one takes longer than `LIMIT`."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integrations.ag2.hub_scenarios"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def play(self, name: str) -> str | None:
        """None when it went well, or what did not."""
        assert self._process.stdin is not None
        try:
            print(name, file=self._process.stdin, flush=True)
            answer = self._answers.get(timeout=LIMIT)
        except queue.Empty:
            self.kill()
            return f"the team hangs: no end after {LIMIT:.0f} s"
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._log.seek(0)
            return f"the process ended:\n{self._log.read()[-4000:]}"
        failure: str | None = json.loads(answer)["failure"]
        return failure

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")


@pytest.fixture(scope="module")
def apart() -> Iterator[list[Apart]]:
    """The process that plays now, last of the list."""
    processes: list[Apart] = []
    yield processes
    for process in processes:
        process.kill()


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(apart: list[Apart], name: str) -> None:
    if not apart or not apart[-1].alive:
        apart.append(Apart())
    failure = apart[-1].play(name)
    if failure is not None:
        pytest.fail(failure, pytrace=False)
