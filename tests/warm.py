"""`actctl` in processes of its own that need not import it: forked off one that has.

`python -m tests.warm SOCKET` imports what `actctl` imports and then forks a process for each request. Those processes
are real ones, with their own arguments, environment, folder and files, and end as Python ends; only their imports are
done. The tests start more than a thousand, and to import is most of what a short command does.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from act.cli import main

IMPORTED: Final = ("act.cli.app", "act.client.act", "act.server.app", "act.server.serve", "uvicorn.protocols.http.auto")
AT_START: Final = ("PYTHON", "LC_", "LANG")
"""Variables that begin with one of these are read when Python starts, which a fork does not."""
STARTING: Final = 60.0
_LONGEST: Final = 2**20

# --- the side of the tests --------------------------------------------------------------------------------------------


def can_be(environment: Mapping[str, str]) -> bool:
    """Whether a forked process would be as one that starts with these variables."""
    relevant = {name for name in (*environment, *os.environ) if name.startswith(AT_START)}
    return all(environment.get(name) == os.environ.get(name) for name in relevant)


class Process:
    """An `actctl` that runs; the part of `subprocess.Popen` that tests need.

    Args:
        files: descriptors that become its stdin, stdout and stderr.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        files: tuple[int, int, int],
        folder: str | Path | None = None,
    ) -> None:
        asked = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder or os.getcwd())}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(_forker())
        socket.send_fds(self._socket, [json.dumps(asked).encode()], files)
        self._socket.settimeout(STARTING)
        self.pid = int(self._socket.recv(100))
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.000001)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, or minus the number of the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it runs still.
        """
        with self._lock:
            if self.returncode is None:
                self._socket.settimeout(timeout)
                try:
                    told = self._socket.recv(100)
                except (TimeoutError, BlockingIOError):
                    raise subprocess.TimeoutExpired("actctl", timeout or 0.0) from None
                self._socket.close()
                self.returncode = int(told)
            return self.returncode

    def send_signal(self, how: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, how)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str | Path | None = None,
    stdin: str = "",
    timeout: float = STARTING,
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with its output captured as text."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        process = Process(arguments, environment, (given.fileno(), out.fileno(), err.fileno()), folder)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STARTING)
            raise
        told = []
        for file in (out, err):
            file.seek(0)
            told.append(file.read().decode())
        return subprocess.CompletedProcess(arguments, code, *told)


_starting = threading.Lock()
_started: list[str] = []


def _forker() -> str:
    """The socket of the process that forks; one for each process of the tests, and ended with it."""
    with _starting:
        if not _started:
            folder = tempfile.mkdtemp(prefix="act-warm-")
            at = f"{folder}/socket"
            kept = {name: value for name, value in os.environ.items() if not name.startswith("ACT_")}
            command = [sys.executable, "-m", "tests.warm", at]
            root = Path(__file__).parents[1]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, env=kept)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            atexit.register(_end, process, folder)
            _started.append(at)
        return _started[0]


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(STARTING)
    for path in (Path(folder) / "socket", Path(folder)):
        with contextlib.suppress(OSError):
            path.unlink() if path.name == "socket" else path.rmdir()


# --- the side of the processes ----------------------------------------------------------------------------------------


class _Forked(Exception):
    """Raised in the new process, to leave what the old one was doing."""


class _Forker:
    """Forks a process for each request until stdin is closed; tells each caller the pid, and the exit code later."""

    def __init__(self, at: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(at)
        self._listener.listen(64)
        self._ended, self._wake = os.pipe()
        for end in (self._ended, self._wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)
        self._selector = selectors.DefaultSelector()
        for each in (self._listener, self._ended, sys.stdin):
            self._selector.register(each, selectors.EVENT_READ)
        self._callers: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Raises `_Forked` in each process that was forked."""
        print("ready", flush=True)
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._ended in ready:
                self._tell_ended()
            if self._listener in ready:
                self._fork()
            if sys.stdin in ready:
                return

    def _fork(self) -> None:
        caller, _ = self._listener.accept()
        asked, files, _, _ = socket.recv_fds(caller, _LONGEST, 3)
        pid = os.fork()
        if pid == 0:
            caller.close()
            self._forget()
            _become(json.loads(asked), files)
            raise _Forked
        self._callers[pid] = caller
        caller.send(str(pid).encode())
        for file in files:
            os.close(file)

    def _forget(self) -> None:
        """Let go of everything that belongs to the process that forks."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        for caller in self._callers.values():
            caller.close()
        os.close(self._ended)
        os.close(self._wake)

    def _tell_ended(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._ended, 4096)
        with contextlib.suppress(ChildProcessError):
            while (told := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = told
                with self._callers.pop(pid) as caller, contextlib.suppress(OSError):
                    caller.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(asked: dict[str, Any], files: Sequence[int]) -> None:
    """Be a process as `actctl` finds it: files, folder, variables and arguments."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["actctl", *asked["arguments"]]


def _end_as_python() -> None:
    """What Python does at its end, but for freeing all that was imported, which takes longer than a short command."""
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads that are no daemons
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or each process copies what its collector looks at
    try:
        _Forker(sys.argv[1]).serve()
    except _Forked:
        _end_as_python()


if __name__ == "__main__":
    _main()
