"""What the server says of itself: one record a line in either form, bounded, and without secrets."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from act.cli.node import serve
from act.server import serve as serving
from act.server.logs import MAX_MESSAGE, MAX_TRACEBACK, LogFormat, configure
from act.server.settings import Settings
from tests.support import ADMIN_KEY, Api, Server

TOKEN = f"eyJhbGciOiJFZERTQSJ9.{'YWJj' * 20}.{'c2ln' * 20}"
CHOSEN = "a key that looks like none of ours, 40 characters"
FORMS: tuple[LogFormat, ...] = ("text", "json")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The logging of the tests themselves, as it was."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = kept, level
    logging.captureWarnings(False)


def written(form: LogFormat, *arguments: Any, **more: Any) -> str:
    """What becomes of one log call."""
    stream = io.StringIO()
    configure(form, (CHOSEN, None), stream)
    logging.getLogger("act.test").error(*arguments, **more)
    assert stream.getvalue().endswith("\n")
    return stream.getvalue()[:-1]


def raised(error: Exception) -> Any:
    try:
        raise error
    except Exception:
        return sys.exc_info()


def test_a_record_as_json() -> None:
    line = written("json", "request %s failed", "r-1", extra={"requestId": "r-1", "status": 500, "other": "x"})
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "error",
        "logger": "act.test",
        "message": "request r-1 failed",
        "requestId": "r-1",
        "status": 500,
    }


def test_a_record_as_text() -> None:
    line = written("text", "request %s failed", "r-1", extra={"requestId": "r-1"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\S+ ERROR act.test: request r-1 failed", line)


@given(st.text())
def test_whatever_is_said_is_one_line(text: str) -> None:
    assert len(written("text", "said %s", text).splitlines()) == 1
    [line] = written("json", "said %s", text).splitlines()
    message = json.loads(line)["message"]
    assert message == f"said {text}" or "act_" in text or "eyJ" in text


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K", "\u202e"])
def test_nobody_writes_a_line_of_their_own(end: str) -> None:
    forged = f"x{end}2026-11-23 05:00:00.000 INFO act.server: all is well"
    text = written("text", "said %s", forged, exc_info=raised(ValueError(forged)))
    first, *trace = text.splitlines()
    assert first.endswith("all is well")
    assert trace
    assert all(line.startswith("  ") for line in trace)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    assert json.loads(written("json", forged, exc_info=raised(ValueError(forged))))["message"] == forged


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("token", TOKEN),
        ("begin of a token", TOKEN[:70]),
        ("API key", ADMIN_KEY),
        ("chosen key", CHOSEN),
        ("signing secret", "whsec_" + "QUJD" * 8),
        ("key of another service", "ghp_" + "a1B2c3D4e" * 4),
        ("private key of PGP", "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----\nlQOYBGMIGHAgEAMBMGByqG\nSM49AgEGCCqG"),
        ("private key", "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqG\nSM49AgEGCCqG\n-----END PRIVATE KEY-----"),
    ],
)
def test_no_secret_is_written(form: LogFormat, name: str, secret: str) -> None:
    padding = "x " * (MAX_MESSAGE // 2 - 10)  # so that the cut would go through it
    line = written(
        form,
        "%s then %s%s",
        secret,
        padding,
        secret,
        exc_info=raised(ValueError(f"{secret} in {padding} {secret}")),
        extra={"path": f"/v1/{secret}", "requestId": secret},
    )
    assert "[secret]" in line
    for at in range(len(secret) - 20):
        piece = secret[at : at + 20]
        assert piece in "eyJhbGciOiJFZERTQSJ9." or piece not in line.replace("\\n", "\n"), name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["x", "\n", "é", "\U0001f600", "\udc80"], ids=ascii)
def test_a_record_is_bounded(form: LogFormat, text: str) -> None:
    message = text * 300_000
    line = written(form, message, exc_info=raised(ValueError(message)), extra={"path": message})
    assert len(line) < 6 * MAX_MESSAGE + 4 * MAX_TRACEBACK
    assert "[cut]" in line


def test_the_end_of_a_traceback_is_kept() -> None:
    trace = json.loads(written("json", "failed", exc_info=raised(ValueError("y" * MAX_TRACEBACK + " the reason"))))
    assert trace["exception"].endswith("the reason\n")


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_log_call_is_written_all_the_same(form: LogFormat) -> None:
    assert "two %s %s" in written(form, "two %s %s", 1)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ("json", True)),
        (["--log-format", "text"], ("text", True)),
        (["--no-access-log"], ("json", False)),
    ],
    ids=["none", "format", "access"],
)
def test_options_come_before_variables(
    options: list[str], found: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(serving, "serve", served.append)
    monkeypatch.setenv("ACT_LOG_FORMAT", "json")
    monkeypatch.setenv("ACT_ACCESS_LOG", "true")
    assert CliRunner().invoke(serve, options).exit_code == 0
    assert [(settings.log_format, settings.access_log) for settings in served] == [found]


# --- of a real server ---


def story(api: Api, server: Server) -> list[str]:
    """Ordinary calls, and secrets where they do not belong; the secrets."""
    agent = api.agent()
    token, key = api.token(agent), api.key("enforce")["key"]
    api.policy(["run"], appliesTo={"agentIds": [agent]})
    assert api.enforce(token, "run", "x")["reasonCode"] == "allowed"
    for secret in (token, key):
        api.send("GET", f"/v1/agents/{secret}?key={secret}", headers={"X-Request-ID": secret, "User-Agent": secret})
        api.send("POST", f"/v1/tokens/{secret}/revoke")
        api.send("POST", f"/v1/x%0A{uuid4().hex}", {"requestId": secret})
        api.enforce(secret, secret, secret)
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 20) as raw:
        raw.sendall(f"this is no HTTP {token}\r\n\r\n".encode())
        assert raw.recv(100)
    return [token, key, ADMIN_KEY]


def pieces(secret: str) -> set[str]:
    own = secret.split(".", 1)[-1] if secret.startswith("eyJ") else secret.rpartition("_")[2]
    return {own[at : at + 20] for at in range(len(own) - 19)}


@pytest.mark.parametrize("form", FORMS)
def test_a_server_says_what_happens_and_no_secret(tmp_path: Path, form: LogFormat) -> None:
    with Server(tmp_path, {"ACT_LOG_FORMAT": form, "ACT_ACCESS_LOG": "true"}) as server, server.api() as api:
        secrets = story(api, server)
        assert server.stop() == 0
        lines = server.log.splitlines()
    assert not [line for line in lines if any(piece in line for secret in secrets for piece in pieces(secret))]
    if form == "text":
        assert any(
            re.search(r"INFO act.access: POST /v1/enforce 200 [\d.]+ ms, 127.0.0.1, req_", line) for line in lines
        )
        assert all(re.match(r"\d{4}-|ACT serves |First start", line) for line in lines)
        return
    records = [json.loads(line) for line in lines]
    assert all(record.keys() >= {"time", "level", "logger", "message"} for record in records)
    assert {record["logger"] for record in records} >= {"act.server", "act.access", "uvicorn.error"}
    answers = [record for record in records if record["logger"] == "act.access"]
    enforced = next(record for record in answers if record["path"] == "/v1/enforce")
    assert enforced["status"] == 200
    assert enforced["requestId"].startswith("req_")
    assert enforced["milliseconds"] > 0
    assert any(record["path"].startswith("/v1/agents/[secret]") for record in answers)
    assert any("\n" in record["path"] for record in answers)


def test_answers_are_logged_only_on_demand(server: Server, api: Api) -> None:
    api.agent()
    assert "act.access" not in server.log
