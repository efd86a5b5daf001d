"""The real `actctl` in a process of its own, against a real server of each module's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.support import ADMIN_KEY, Server, actctl, environment

SECONDS = 60.0


@dataclass(frozen=True)
class Run:
    """What one `actctl` did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> Run:
        assert self.code == 0, f"{self.code}: {self.out}{self.err}"
        return self


class Ctl:
    """Calls `actctl` with these variables, in this folder, and keeps what every run printed."""

    def __init__(self, variables: Mapping[str, str], folder: Path) -> None:
        self.environment = environment(variables)
        self.url = variables.get("ACT_BASE_URL", "")
        self.folder = folder
        self.runs: list[Run] = []

    def __call__(self, *arguments: object, stdin: str | None = None, **variables: str) -> Run:
        variables = self.environment | variables
        asked = list(map(str, arguments))
        if warm.can_be(variables):
            done = warm.run(asked, variables, self.folder, stdin or "", SECONDS)
        else:
            done = subprocess.run(
                [actctl(), *asked],
                input=stdin or "",
                capture_output=True,
                text=True,
                env=variables,
                cwd=self.folder,
                timeout=SECONDS,
            )
        run = Run(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in run.err
        self.runs.append(run)
        return run

    def json(self, *arguments: object, **more: Any) -> Any:
        """The data of a command that must succeed."""
        return self(*arguments, "-o", "json", **more).ok().json()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def ctl(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Ctl:
    """`actctl` as the admin of the module's server."""
    return Ctl({"ACT_BASE_URL": server.url, "ACT_API_KEY": ADMIN_KEY}, tmp_path_factory.mktemp("ctl"))
