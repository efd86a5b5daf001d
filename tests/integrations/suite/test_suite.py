"""One conformance suite for all integrations: every case with every framework, sync and async where both exist."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, ClassVar

import pytest
from tests.integrations.suite.cases import CASES
from tests.support import environment

ROOT = Path(__file__).parents[3]
LIMIT = 120.0
"""Seconds for one case on a slow machine; most take well under one."""


class Runner:
    """A process that plays the cases of one driver. Killed when a case takes longer than `limit` seconds."""

    def __init__(self, driver: str, limit: float = LIMIT, variables: Mapping[str, str] | None = None) -> None:
        self._limit = limit
        self._log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integrations.suite.runner", driver],
            cwd=ROOT,
            env=environment(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def play(self, case: str, mode: str) -> str | None:
        """None when it went well, or what did not."""
        assert self._process.stdin is not None
        try:
            print(json.dumps({"case": case, "mode": mode}), file=self._process.stdin, flush=True)
            answer = self._answers.get(timeout=self._limit)
        except queue.Empty:
            self.kill()
            return f"the team hangs: no end after {self._limit:.0f} s"
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


class Conformance:
    """What a class for a framework says of it. `without` are cases that it has no use for, with the reason."""

    driver: ClassVar[str]
    modes: ClassVar[tuple[str, ...]] = ("sync", "async")
    without: ClassVar[dict[str, str]] = {}

    @pytest.fixture(scope="class")
    @staticmethod
    def runners() -> Iterator[list[Runner]]:
        """The process that plays now, last of the list."""
        runners: list[Runner] = []
        yield runners
        for runner in runners:
            runner.kill()

    def test_case(self, runners: list[Runner], case: str, mode: str) -> None:
        if not runners or not runners[-1].alive:
            runners.append(Runner(self.driver))
        failure = runners[-1].play(case, mode)
        if failure is not None:
            pytest.fail(failure, pytrace=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    asked = metafunc.cls
    if asked is None or "case" not in metafunc.fixturenames:
        return
    assert set(asked.without) <= set(CASES)
    # A case that has nothing to do with how a team runs is played once.
    played = [
        (case.name, mode)
        for case in CASES.values()
        for mode in (
            asked.modes if len(case.modes) == 2 else case.modes if case.modes[0] in asked.modes else asked.modes
        )
        if case.name not in asked.without
    ]
    metafunc.parametrize(("case", "mode"), played, ids=[f"{case}-{mode}" for case, mode in played])


ALONE = dict.fromkeys(
    (
        "the_executor_lends_nobody_its_rights",
        "the_executor_works_for_who_is_permitted",
        "the_executor_works_for_nobody_whose_token_was_revoked",
        "an_executor_whose_name_is_misspelt_carries_out_nothing",
    ),
    "the agent whose model calls a tool runs it itself",
)


class TestAutogen(Conformance):
    driver = "autogen"


class TestAgentFramework(Conformance):
    driver = "agent_framework"
    without = ALONE


class TestAgentchat(Conformance):
    driver = "agentchat"


class TestAg2(Conformance):
    driver = "ag2"
    modes = ("async",)
    without = ALONE
