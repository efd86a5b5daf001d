"""A real server process of the demonstration's own: a free port, a temporary SQLite file."""

from __future__ import annotations

import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 30
_ADDRESS = re.compile(r"ACT serves .* at (http://\S+)")


class DemoServer:
    """`actctl serve` as a child process; stopped and its file removed at the end of the `with` block."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="act-demo-")
        self.admin_key = f"act_demo_{secrets.token_urlsafe(32)}"
        self.database = f"sqlite:///{Path(self._folder.name) / 'act.db'}"
        self.url = ""
        self._lines: queue.Queue[str] = queue.Queue()

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ACT_")}
        environment["ACT_BOOTSTRAP_API_KEY"] = self.admin_key
        self._process = subprocess.Popen(
            [sys.executable, "-m", "act", "serve", "--port", "0", "--database", self.database],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A Ctrl-C at the terminal is for the demonstration, which then stops the server in good order.
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.url = self._address()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with (self.folder / "server.log").open("w") as log:
            for line in self._process.stderr:
                log.write(line)
                log.flush()
                self._lines.put(line)
        self._lines.put("")

    def _address(self) -> str:
        said = []
        try:
            while line := self._lines.get(timeout=START_SECONDS):
                said.append(line)
                if found := _ADDRESS.search(line):
                    return found[1]
        except queue.Empty:
            pass
        raise RuntimeError("The server did not start:\n" + "".join(said))

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()
