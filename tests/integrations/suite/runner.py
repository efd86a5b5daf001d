"""Plays cases with one driver: `python -m tests.integrations.suite.runner <driver>`.

Reads `{"case", "mode"}` as one line of JSON, answers `{"failure": null or text}` as one line, until its input ends.
Who asks sets the time limit, and ends the process when it is over: no configuration of a framework can hang the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, TextIO

from tests.integrations.suite.cases import CASES, Table
from tests.integrations.suite.world import Station


def main(name: str) -> None:
    answers = _take_stdout()
    driver = importlib.import_module(f"tests.integrations.suite.drivers.{name}").driver
    with tempfile.TemporaryDirectory() as folder:
        station = Station(Path(folder) / "station")
        for number, line in enumerate(sys.stdin):
            asked = json.loads(line)
            own = Path(folder) / str(number)
            own.mkdir()
            failure = _played(asked["case"], Table(driver, asked["mode"] == "async", station, own))
            print(json.dumps({"failure": failure}), file=answers, flush=True)
        station.close()


def _played(name: str, table: Table) -> str | None:
    try:
        CASES[name].play(table)
    except BaseException:
        return traceback.format_exc()
    return None


def _take_stdout() -> TextIO:
    """The real standard output, for answers; what frameworks print goes to standard error."""
    ours: Any = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return ours


if __name__ == "__main__":
    main(sys.argv[1])
