"""A process that was forked off does what one does that was started."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests import warm
from tests.support import actctl, environment

NOWHERE = {"ACT_BASE_URL": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        ("--version", ""),
        ("agents --help", ""),
        ("agents nonsense", ""),
        ("agents list", ""),
        ("policy lint -", "policies: ["),
        ("audit verify no-such-file", ""),
        ("serve --database nonsense://x", ""),
    ],
)
def test_the_same_words_and_the_same_end(tmp_path: Path, words: str, stdin: str) -> None:
    variables = environment(NOWHERE)
    forked = warm.run(words.split(), variables, tmp_path, stdin)
    started = subprocess.run(
        [actctl(), *words.split()], input=stdin, capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=60
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)
    assert forked.stdout + forked.stderr


def test_it_can_be_ended(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, Path("/dev/null").open() as nothing:
        for how in (signal.SIGTERM, signal.SIGKILL):
            arguments = ["serve", "--port", "0", "--database", f"sqlite:///{tmp_path / how.name}.db"]
            files = (nothing.fileno(), log.fileno(), log.fileno())
            process = warm.Process(arguments, environment(), files)
            while "ACT serves" not in (tmp_path / "log").read_text():
                assert process.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
            process.send_signal(how)
            assert process.wait(30) == process.poll() == {signal.SIGTERM: 0, signal.SIGKILL: -9}[how]
            process.kill()  # it is over; nothing happens
            (tmp_path / "log").write_text("")


def test_what_python_reads_at_its_start_is_not_for_a_fork() -> None:
    assert warm.can_be(environment(NOWHERE))
    assert not warm.can_be(environment({"PYTHONIOENCODING": "ascii"}))
    assert not warm.can_be(environment({"LC_ALL": "C"}))
