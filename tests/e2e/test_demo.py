"""`actctl demo` as a newcomer runs it: what it prints, and what stands in its audit log."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import Api, actctl, environment

SECONDS = 120

pytestmark = pytest.mark.timeout(280)


def test_the_demo_succeeds_and_leaves_nothing_behind() -> None:
    done = subprocess.run([actctl(), "demo"], capture_output=True, text=True, timeout=SECONDS, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "records verified" in done.stdout
    assert done.stderr == ""
    folder = re.search(r"sqlite:///(\S+)/act\.db", done.stdout)
    assert folder is not None
    assert not Path(folder[1]).exists()


def test_the_kept_demo_can_be_looked_around_in(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        demo = subprocess.Popen([actctl(), "demo", "--keep"], stdout=file, stderr=file, env=environment())
    try:
        deadline = time.monotonic() + SECONDS
        while "Ctrl-C" not in output.read_text() and time.monotonic() < deadline:
            assert demo.poll() is None, output.read_text()
            time.sleep(0.1)
        said = output.read_text()
        url = re.search(r"ACT_BASE_URL=(\S+)", said)
        key = re.search(r"ACT_API_KEY=(\S+)", said)
        assert url is not None
        assert key is not None
        with Api(url[1], key[1]) as api:
            found = api.get("/v1/audit", params={"kind": "decision", "order": "asc", "limit": "200"})["items"]
        codes = [item["record"]["reasonCode"] for item in found if item["record"]["action"] != "message"]
        assert codes == [
            "allowed",
            "requester_not_permitted",
            "approval_required",
            "allowed",
            "token_revoked",
        ]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(SECONDS) in (0, 130)
        assert "Stopped" in output.read_text()
    finally:
        demo.kill()
