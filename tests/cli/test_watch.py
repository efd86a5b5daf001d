"""`actctl approvals watch`: in a real pseudo terminal, in a pipe, and what the screen lets an approver do."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from act.cli.desk import SETTLING, Desk, folded
from act.cli.keyboard import keys_in
from act.models import Approval
from tests.support import Api, Server, actctl, environment

SECONDS = 60.0


def interruptible() -> None:
    """In the child: an interruption is one, also when the tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def own_terminal() -> None:
    """In the child: stdin is its terminal, whose Ctrl-C interrupts it."""
    interruptible()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """`actctl` at a pseudo terminal of its own."""

    def __init__(self, server: Server, key: str, *arguments: str, lines: int = 30, columns: int = 100) -> None:
        self.seen = ""
        main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._process = subprocess.Popen(
            [actctl(), *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment({"ACT_BASE_URL": server.url, "ACT_API_KEY": key, "TERM": "xterm-256color"}),
            start_new_session=True,
            preexec_fn=own_terminal,
        )
        self._main, self._name = main, os.ttyname(other)
        os.close(other)

    def read(self, seconds: float = 0.1) -> str:
        """What has come since the last time."""
        found = ""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([self._main], [], [], left)[0]:
            try:
                found += os.read(self._main, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                break
        self.seen += found
        return found

    def wait_for(self, *words: str) -> str:
        """Read until all the words are on one and the same screen; that screen."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self.read()
            screen = plain(self.seen.rpartition("\x1b[H")[2])
            if all(word in screen for word in words):
                return screen
        raise AssertionError(f"{words} did not come:\n{plain(self.seen)[-3000:]}")

    def press(self, keys: str) -> None:
        """Returns when they were taken: keys that are pressed one after the other do not look pasted."""
        os.write(self._main, keys.encode())
        self.read(0.05)  # so long that they have arrived
        deadline = time.monotonic() + SECONDS
        while self._untaken() and self._process.poll() is None:
            assert time.monotonic() < deadline, f"{keys!r} is not read"
            self.read(0.02)

    def _untaken(self) -> int:
        """How many bytes the program has not read yet."""
        other = os.open(self._name, os.O_RDWR | os.O_NOCTTY)
        try:
            return int.from_bytes(fcntl.ioctl(other, termios.FIONREAD, bytes(4)), sys.byteorder)
        finally:
            os.close(other)

    def end(self) -> int:
        deadline = time.monotonic() + SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            self.read()  # or it could wait for room to write its last words
        code = self._process.wait(1)
        self.read()
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._main)


def plain(text: str) -> str:
    return re.sub(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()].|.)", "", text)


@pytest.fixture
def desk(server: Server) -> Iterator[tuple[Api, Callable[..., str], str]]:
    """The admin, a way to have something asked, and the key of a person."""
    with server.api() as api:
        agent = api.agent()
        api.policy(["pay"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
        token = api.token(agent)

        def ask(resource: str, **arguments: Any) -> str:
            return str(api.enforce(token, "pay", resource, arguments=arguments)["approval"]["id"])

        yield api, ask, api.key("approve")["key"]


@pytest.fixture
def terminal(server: Server, desk: tuple[Api, Callable[..., str], str]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(**size: int) -> Terminal:
        opened.append(Terminal(server, desk[2], "approvals", "watch", "--interval", "0.2", **size))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture(autouse=True)
def nothing_else_is_pending(desk: tuple[Api, Callable[..., str], str], server: Server) -> None:
    with server.api(desk[2]) as person:
        for approval in person.get("/v1/approvals", params={"status": "pending", "limit": 200})["items"]:
            person.post(f"/v1/approvals/{approval['id']}/reject", {"reason": "over"}, status=200)


def test_what_comes_up_is_shown_and_approved_with_one_key(
    desk: tuple[Api, Callable[..., str], str], terminal: Callable[..., Terminal]
) -> None:
    api, ask, _ = desk
    screen = terminal()
    screen.wait_for("Nobody waits")
    approval = ask("bank://transfers/7", amount=5, to="bob\u202e\x1b[2J")
    shown = screen.wait_for("1 pending", "bank://transfers/7", approval)
    assert '"amount": 5' in shown
    assert '"to": "bob\\u202e\\u001b[2J"' in shown
    time.sleep(SETTLING + 0.2)
    screen.press("a")
    screen.wait_for(f"{approval} is approved.", "0 pending")
    assert api.get(f"/v1/approvals/{approval}")["status"] == "approved"
    screen.press("q")
    assert screen.end() == 0
    assert "\x1b[?1049l" in screen.seen, "the terminal has its own screen again"


def test_another_one_is_chosen_and_rejected_with_a_reason(
    desk: tuple[Api, Callable[..., str], str], terminal: Callable[..., Terminal]
) -> None:
    api, ask, _ = desk
    one, two = ask("bank://one"), ask("bank://two")
    screen = terminal()
    screen.wait_for("2 pending", "resource: bank://one")
    screen.press("\x1b[B")
    screen.wait_for("resource: bank://two")
    screen.press("r")
    screen.wait_for("Reason: _")
    screen.press("too much a\x7fé")
    screen.wait_for("Reason: too much é_")
    screen.press("\r")
    screen.wait_for(f"{two} is rejected.", "1 pending")
    assert api.get(f"/v1/approvals/{two}")["reason"] == "too much é"
    assert api.get(f"/v1/approvals/{one}")["status"] == "pending"
    screen.press("\x03")
    assert screen.end() == 130


def test_who_goes_on_typing_when_it_is_gone_decides_nothing(
    desk: tuple[Api, Callable[..., str], str], terminal: Callable[..., Terminal]
) -> None:
    api, ask, key = desk
    one, two = ask("bank://one"), ask("bank://two")
    screen = terminal()
    screen.wait_for("2 pending", "resource: bank://one")
    time.sleep(SETTLING + 0.2)
    screen.press("r")
    screen.wait_for("Reason: _")
    screen.press("x")
    screen.wait_for("Reason: x_")
    with Api(str(api.client.base_url), key) as person:
        person.post(f"/v1/approvals/{one}/reject", {"reason": "elsewhere"}, status=200)
    screen.wait_for("1 pending", "not pending any more")
    time.sleep(SETTLING + 0.2)
    for letter in "a bad idea q":
        screen.press(letter)
        screen.read(0.05)
    screen.read(0.5)
    assert api.get(f"/v1/approvals/{two}")["status"] == "pending"
    screen.press("\r")
    screen.read(0.5)
    screen.press("a")
    screen.wait_for(f"{two} is approved.")
    screen.press("q")
    assert screen.end() == 0


def test_what_does_not_fit_must_be_read_before_it_is_approved(
    desk: tuple[Api, Callable[..., str], str], terminal: Callable[..., Terminal]
) -> None:
    api, ask, _ = desk
    approval = ask("bank://long", **{f"line{number}": "x" * 150 for number in range(20)})
    screen = terminal(lines=20, columns=80)
    screen.wait_for("more lines")
    time.sleep(SETTLING + 0.2)
    screen.press("a")
    screen.wait_for("There is more to read")
    assert api.get(f"/v1/approvals/{approval}")["status"] == "pending"
    for _ in range(12):
        screen.press(" ")
        screen.read(0.1)
    screen.wait_for("-- end --")
    screen.press("a")
    screen.wait_for(f"{approval} is approved.")
    assert api.get(f"/v1/approvals/{approval}")["status"] == "approved"


def test_what_was_pasted_decides_nothing(
    desk: tuple[Api, Callable[..., str], str], terminal: Callable[..., Terminal]
) -> None:
    api, ask, _ = desk
    approval = ask("bank://paste")
    screen = terminal()
    screen.wait_for("1 pending", approval)
    time.sleep(SETTLING + 0.2)
    screen.press("banana")
    screen.read(1.0)
    assert api.get(f"/v1/approvals/{approval}")["status"] == "pending"


@pytest.mark.parametrize(("form", "read"), [((), None), (("-o", "json"), json.loads), (("-o", "jsonl"), json.loads)])
def test_in_a_pipe_each_new_one_is_a_line(
    server: Server, desk: tuple[Api, Callable[..., str], str], form: tuple[str, ...], read: Callable[[str], Any] | None
) -> None:
    _, ask, key = desk
    early = ask("bank://early", text="two\nlines")
    with subprocess.Popen(
        [actctl(), "approvals", "watch", "--interval", "0.1", *form],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment({"ACT_BASE_URL": server.url, "ACT_API_KEY": key}),
        text=True,
        preexec_fn=interruptible,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        late = ask("bank://late")
        lines.append(process.stdout.readline())
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert rest == "", "each is told once"
    if read is None:
        assert [line.split()[0] for line in lines] == [early, late]
        assert '{"text": "two\\nlines"}' in lines[0]
    else:
        assert [read(line)["id"] for line in lines] == [early, late]


def test_without_the_right_to_approve_it_says_so(server: Server, tmp_path: Path) -> None:
    with server.api() as api:
        key = api.key("enforce")["key"]
    done = subprocess.run(
        [actctl(), "approvals", "watch"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment({"ACT_BASE_URL": server.url, "ACT_API_KEY": key}),
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 1
    assert "scope_missing" in done.stderr


# --- the screen by itself ---------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)


def pending(id: str, **arguments: Any) -> Approval:
    return Approval(
        id=id,
        status="pending",
        agent_id="agt_1",
        agent_name="agent",
        requester_id=None,
        action="pay",
        resource_id="bank://x",
        arguments=arguments,
        context={},
        policies=[],
        approvers_needed=1,
        approved_by=[],
        decision_id="dec_1",
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=15),
    )


def test_what_takes_the_place_of_another_is_not_decided_by_a_key_that_was_on_its_way() -> None:
    desk = Desk()
    desk.update([pending("apr_1"), pending("apr_2")], 100.0)
    assert desk.refusal(101.0) is None
    assert desk.update([pending("apr_2")], 200.0) is True
    assert desk.chosen == "apr_2"
    assert desk.refusal(200.0 + SETTLING / 2) is not None
    assert desk.refusal(201.0) is None
    desk.reason = "half a sen"
    desk.update([pending("apr_3")], 300.0)
    assert (desk.reason, desk.interrupted) == (None, True)
    assert "Press enter" in desk.draw(80, 24, NOW)[-2].plain
    assert desk.update([], 400.0) is True
    assert desk.refusal(500.0) == "Nothing is pending."


def test_every_character_of_what_would_run_is_on_some_screen() -> None:
    value = "".join(chr(0x4E00 + number) for number in range(700))
    desk = Desk()
    desk.update([pending("apr_1", text=value)], 0.0)
    seen: dict[str, None] = {}
    for _ in range(200):
        drawn = desk.draw(40, 16, NOW)
        assert len(drawn) == 16
        assert all(line.cell_len <= 40 for line in drawn)
        seen |= dict.fromkeys(line.plain for line in drawn)
        if desk.unread() is None:
            break
        desk.scroll(1, 16)
    else:
        raise AssertionError("the end never came")
    shown = "".join(line[2:] for line in seen if line.startswith(("> ", "  ")))
    assert value in shown


def test_what_goes_on_cannot_pass_for_a_line_of_its_own() -> None:
    assert folded(["x" * 8 + "action: harmless"], 10) == ["  xxxxxxxx", "> action: ", "> harmless"]


def test_keys() -> None:
    assert keys_in("a\x1b[A\x1bOB\x1b[6~\r\x7f\x1b[1;5Cé\x01") == [
        "a", "up", "down", "page down", "enter", "backspace", "é",
    ]  # fmt: skip
    assert keys_in("\x1b") == ["escape"]
