"""What holds for every command: help, start-up, terminals, pipes; and the commands that need no running server."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from act.cli.text import escaped
from tests.support import ADMIN_KEY, Api, Server, actctl, environment

from .conftest import SECONDS, Ctl

GROUPS = ("agents", "policies", "tokens", "delegations", "approvals", "audit", "api-keys", "keys", "tenants")
GROUPS += ("webhooks",)


# --- help and start-up ---


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_every_command_has_a_help_of_one_line(ctl: Ctl, group: str) -> None:
    words = ctl(*group.split(), "--help").ok().out
    _, _, listed = words.partition("\nCommands:\n")
    assert listed
    for line in listed.splitlines():
        name, _, said = line.strip().partition(" ")
        assert said.strip().endswith("."), name
        assert not said.endswith("..."), name


def modules_after(arguments: list[str]) -> set[str]:
    script = (
        "import sys; sys.argv[1:] = sys.argv[1:]\n"
        "from act.cli.app import run\n"
        "code = run()\n"
        "print(*sys.modules, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment(), timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_help_starts_without_the_server_and_without_rich() -> None:
    loaded = modules_after(["--help"])
    assert "act.cli.agents" in loaded
    assert not loaded & {"fastapi", "sqlalchemy", "autogen", "rich", "cryptography", "uvicorn"}


def test_help_starts_without_the_sdk() -> None:
    """The SDK takes most of half a second to import; a person who asks for help does not need it."""
    assert not modules_after(["--help"]) & {"act.client.act", "pydantic", "httpx2"}


def test_the_version(ctl: Ctl) -> None:
    assert ctl("--version").ok().out.startswith("actctl 0.")


# --- pipes and terminals ---


def test_a_pipe_that_is_closed_early_is_no_accident(ctl: Ctl) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [actctl(), "audit", "list"],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            env=ctl.environment,
            timeout=SECONDS,
        )
    finally:
        os.close(write)
    assert done.stderr == b""
    assert done.returncode == 1


def on_a_terminal(ctl: Ctl, *arguments: str, answer: str = "", **variables: str) -> tuple[int, str]:
    """Run `actctl` with a terminal of 80 columns; its exit code and all that stood on the screen.

    A question is answered with `answer`, or with Ctrl-C when that is "^C".
    """
    ours, theirs = pty.openpty()
    variables = {"COLUMNS": "80", "TERM": "xterm-256color"} | variables
    process = subprocess.Popen(
        [actctl(), *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=ctl.environment | variables
    )
    os.close(theirs)
    seen, asked = bytearray(), False
    alarm = threading.Timer(SECONDS, process.kill)
    alarm.start()
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
            if b"[y/N]" in seen and not asked:
                asked = True
                if answer == "^C":
                    threading.Thread(target=_interrupt, args=(process,), daemon=True).start()
                else:
                    os.write(ours, f"{answer}\n".encode())
    except OSError:
        pass  # Linux says EIO when the other side is closed.
    finally:
        code = process.wait(SECONDS)
        alarm.cancel()
        os.close(ours)
    return code, seen.decode()


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C as a person does: again when nothing happens, for one can fall between prompt and reading."""
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)


def test_a_narrow_terminal_cuts_no_id(ctl: Ctl) -> None:
    agent = ctl.json("agents", "create", "An agent with a name of some length", "--role", "some-role")
    token = ctl.json("tokens", "issue", agent["id"])["tokenId"]
    code, agents = on_a_terminal(ctl, "agents", "list")
    assert code == 0
    assert agent["id"] in agents
    _, tokens = on_a_terminal(ctl, "tokens", "list")
    assert token in tokens
    assert agent["id"] in tokens


def test_no_color_is_honoured(ctl: Ctl) -> None:
    ctl("agents", "create", "Colourful").ok()
    assert "\x1b[32mactive" in on_a_terminal(ctl, "agents", "list")[1]
    assert "\x1b[32m" not in on_a_terminal(ctl, "agents", "list", NO_COLOR="1")[1]


def test_a_person_is_asked_before_something_is_deleted(ctl: Ctl) -> None:
    id = ctl.json("agents", "create", "To be deleted")["id"]
    code, screen = on_a_terminal(ctl, "agents", "delete", id, answer="n")
    assert code == 1
    assert f"Delete the agent 'To be deleted' ({id}) for good?" in screen
    assert ctl.json("agents", "show", id)["status"] == "active"
    code, _ = on_a_terminal(ctl, "agents", "delete", id, answer="^C")
    assert code in (130, -signal.SIGINT)  # the second where a further Ctrl-C meets the ending process
    assert ctl.json("agents", "show", id)["status"] == "active"
    code, _ = on_a_terminal(ctl, "agents", "delete", id, answer="y")
    assert code == 0
    assert ctl("agents", "show", id).code == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 世界\nsecond line", "Grüße, 世界\nsecond line"),
        ("\x1b[2K\r\x7f\x9b", "\\u001b[2K\\u000d\\u007f\\u009b"),
        ("a\u202eb\u200bc\u2028d\ufeff", "a\\u202eb\\u200bc\\u2028d\\ufeff"),
        ("a\u3164b\u115f\u1160\uffa0", "a\\u3164b\\u115f\\u1160\\uffa0"),  # letters that nobody sees
        ("a\u034fb\ufe0fc\U000e0101", "a\\u034fb\\ufe0fc\\udb40\\udd01"),  # marks that nobody sees
        ("\u2800", "\\u2800"),  # a blank that is no space
        ("1\u03360\u0338\u20e0", "1\\u03360\\u0338\\u20e0"),  # struck through, crossed out
        ("a" + "\u0300" * 5, "a" + "\u0300" * 3 + "\\u0300" * 2),  # heaped up
        ("1\u0308", "1\\u0308"),  # a mark on what is no letter
        ("שָׁלוֹם ไม่ที่ नमस्ते Việt e\u0301", "שָׁלוֹם ไม่ที่ नमस्ते Việt e\u0301"),
        ("\U000e0041\ud800", "\\udb40\\udc41\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert json.loads(f'"{shown}"'.replace("\n", "\\n")) == text


def test_ascii_output_is_still_json(ctl: Ctl) -> None:
    made = ctl(
        "agents", "create", "Agent Ärger \U0001f600", "-o", "json", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    ).ok()
    assert made.json()["name"] == "Agent Ärger \U0001f600"
    assert made.out.isascii()


# --- doctor ---


def statuses(ctl: Ctl, *arguments: object, code: int, **variables: str) -> dict[str, str]:
    run = ctl("doctor", "-o", "json", *arguments, **variables)
    assert run.code == code, run.out
    return {check["check"]: check["status"] for check in run.json()}


def test_doctor_finds_a_healthy_server(ctl: Ctl) -> None:
    checks = ("reachable", "versions", "clock", "ready", "api key", "scopes")
    assert statuses(ctl, code=0) == dict.fromkeys(checks, "ok")
    assert "All is well." in ctl("doctor").ok().err


def test_doctor_leaves_no_trace_and_tells_the_scopes(ctl: Ctl) -> None:
    ctl("api-keys", "create", "two", "--scope", "audit", "--scope", "enforce", "--save", "two.key").ok()
    before = ctl.json("audit", "checkpoint")["size"]
    run = ctl("doctor", "--api-key-file", "two.key").ok()
    assert run.out.splitlines()[-1].split() == ["scopes", "ok", "audit,", "enforce"]
    assert ctl.json("audit", "checkpoint")["size"] == before


def test_doctor_says_what_is_wrong(ctl: Ctl) -> None:
    assert statuses(ctl, code=1, ACT_API_KEY="not a key") == {"settings": "wrong"}
    assert statuses(ctl, code=1, ACT_API_KEY="wrong")["api key"] == "wrong"
    assert statuses(ctl, code=1, ACT_API_KEY="")["api key"] == "wrong"
    assert statuses(ctl, "--url", "http://127.0.0.1:9", code=1) == {"reachable": "wrong"}
    assert statuses(ctl, "--url", "ftp://x", code=1) == {"settings": "wrong"}


class Impostor(BaseHTTPRequestHandler):
    """Answers like an ACT of another version whose clock is wrong and whose database is gone; or not like ACT."""

    answers: bytes = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(self.answers)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() - 3600)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def impostor() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Impostor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_doctor_sees_another_clock_another_version_and_a_sick_server(ctl: Ctl, impostor: str) -> None:
    health = {"status": "unavailable", "version": "9.9", "checks": {"database": "disk full", "keys": "ok"}}
    Impostor.answers = json.dumps(health).encode()
    run = ctl("doctor", "--url", impostor)
    assert run.code == 1
    assert "actctl is 0." in run.out
    assert "ahead of the server" in run.out
    assert "database: disk full" in run.out
    Impostor.answers = b"<html>welcome</html>"
    assert statuses(ctl, "--url", impostor, code=1) == {"reachable": "wrong"}


# --- without a server ---


@pytest.fixture
def alone(tmp_path: Path) -> Ctl:
    return Ctl({}, tmp_path)


def test_a_tenant_is_made_offline_and_lives_apart(alone: Ctl, tmp_path: Path) -> None:
    database = ("--database", f"sqlite:///{tmp_path}/act.db")
    alone("migrate", *database).ok()
    first = alone("tenants", "create", "research", "--name", "Research", *database).ok()
    key, end = first.out.split("\n")
    assert end == ""
    assert key.startswith("act_")
    assert key not in first.err
    # The database is new, so its own first key has to be told as well, and apart.
    (told,) = (line for line in first.err.splitlines() if "default-tenant" in line)
    default_key = told.rpartition(" ")[2]
    second = alone.json("tenants", "create", "sales", *database)
    assert (second["id"], second["name"]) == ("sales", "sales")

    taken = alone("tenants", "create", "research", *database)
    assert taken.code == 1
    assert "(tenant_taken)" in taken.err
    assert alone("tenants", "create", "no good", *database).code == 2

    with Server(tmp_path) as server:
        for number, admin in enumerate((key, default_key, second["adminKey"])):
            with Api(server.url, admin) as api:
                assert api.get("/v1/agents")["items"] == []
                api.post("/v1/agents", {"name": f"agent {number}"})
        busy = alone("tenants", "create", "more", *database)
        assert busy.code == 1
        assert "Another ACT process" in busy.err


def test_a_chosen_first_key_is_not_repeated(alone: Ctl, tmp_path: Path) -> None:
    database = ("--database", f"sqlite:///{tmp_path}/act.db")
    alone("migrate", *database).ok()
    run = alone(
        *("tenants", "create", "research", *database),
        ACT_BOOTSTRAP_API_KEY=ADMIN_KEY,
    ).ok()
    assert ADMIN_KEY not in run.out + run.err
    assert "ACT_BOOTSTRAP_API_KEY" in run.err


def test_migrate_is_done_once(alone: Ctl, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/act.db"
    assert "none -> " in alone("migrate", "--database", database).ok().err
    assert "up to date" in alone("migrate", "--database", database).ok().err
    wrong = alone("migrate", "--database", "mysql://x")
    assert wrong.code == 1
    assert wrong.err.startswith("Error: ")


def test_serve_names_a_port_that_is_taken(alone: Ctl, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.listen()
        run = alone("serve", "--port", port, "--database", f"sqlite:///{tmp_path}/act.db")
    assert run.code == 1
    assert f"Cannot serve at 127.0.0.1:{port}" in run.err
