"""Mistakes of newcomers: what was wrong is named as it was typed, no secret is said back, and nothing stays behind."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from act.cli.app import actctl as command_line
from act.cli.connection import told_so_far
from act.client.errors import Unreachable
from tests.support import actctl, environment

from .conftest import Ctl

TOKEN = "eyJhbGciOiJSUzI1NiIsInR5cCI6.eyJpc3MiOiJ1cm4.c2lnbmF0dXJl"


def mistake(*arguments: str, code: int = 2) -> str:
    """What is said on stderr."""
    result: Result = CliRunner().invoke(command_line, list(arguments))
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("agents", "create", "X", "--metadata", "role"), "'--metadata': 'role' is not of the form name=value."),
        (("agents", "create", "X", *("--metadata", "a=b") * 2), "'--metadata': 'a' is given twice."),
        (("tokens", "issue", "X", "--scope", "read"), "'--scope': 'read' is not of the form ACTIONS:RESOURCES"),
        (("audit", "show", "first"), "'INDEX': 'first' is not a valid integer."),
        (("audit", "list", "--limit", "all"), "'--limit': 'all' is not a valid integer."),
        (("audit", "tail", "--interval", "often"), "'--interval': 'often' is not a valid number."),
        (("audit", "tail", "--interval", "inf"), "'--interval': inf is not in the range 0.1<=x<=86400."),
        (("audit", "tail", "--interval", "nan"), "'--interval': 'nan' is no number to count with."),
        (("tokens", "issue", "X", "--expires-in", "1.5h"), "'--expires-in': '1.5h': write for example 90d, 12h,"),
        (("tenants", "set", "X", "--max-token-ttl", "-1"), "'--max-token-ttl': '-1': write for example"),
        (("serve", "--port", "http"), "'--port': 'http' is not a valid integer."),
    ],
)
def test_the_option_is_named(arguments: tuple[str, ...], said: str) -> None:
    assert said in mistake(*arguments)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("policy.json", b"name: X", "The text is not JSON: Expecting value"),
        ("policy.json", b"\xad\xff", "The text is not JSON: it is not UTF-8."),
        ("policy.json", b"[]", "It must be a JSON object"),
        ("policy.yaml", b"\xad\xff", "The file is not UTF-8 text."),
        ("policy.yaml", b"- a", "It must be an object"),
    ],
)
def test_the_file_is_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    error = mistake("policies", "create", str(file))
    assert f"'{file}'" in error
    assert said in error


@pytest.mark.parametrize("secret", [TOKEN, "act_0123456789abcdefghijklmnop"])
@pytest.mark.parametrize("command", [("tokens", "introspect"), ("enforce", "a", "b"), ("audit", "show")])
def test_a_secret_in_the_wrong_place_is_not_said_back(command: tuple[str, ...], secret: str) -> None:
    error = mistake(*command, secret)
    assert "A key or a token is no argument" in error
    assert secret not in error


def test_who_types_a_token_is_told_how_to_end(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [actctl(), "tokens", "introspect"], stdin=theirs, stderr=subprocess.PIPE, env=environment(), cwd=tmp_path
    ) as run:
        assert run.stderr is not None
        assert b"Ctrl-D" in run.stderr.readline()
        os.write(ours, b"\x04")
        assert b"holds no key and no token" in run.stderr.read()
    assert run.returncode == 1
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.1", "Choose another with --host."),  # TEST-NET-1, RFC 5737
        ("\u00e9" * 70, "this is no name of a host."),
        ("", "ACT_HOST is empty"),
    ],
)
def test_a_host_that_is_not_here(host: str, said: str, tmp_path: Path) -> None:
    run = Ctl({}, tmp_path)("serve", "--host", host, "--port", 0, "--database", "act.db")
    assert run.code == 1
    assert said in run.err
    assert list(tmp_path.iterdir()) == []


def test_faults_of_a_document_are_listed_and_no_member_of_it_is_named(ctl: Ctl) -> None:
    error = ctl("agents", "create", "").err
    assert error.startswith("Error: The document has 1 fault; nothing was changed. (document_invalid, 422)\n  /name: ")


def test_a_url_with_a_path_is_shown_when_nothing_is_there(ctl: Ctl) -> None:
    assert f"\nAsked {ctl.url}/v1; is the path in it right?" in ctl("--url", f"{ctl.url}/v1", "agents", "list").err
    assert "Asked" not in ctl("agents", "show", "nobody").err


def test_a_backup_that_fails_leaves_no_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "act.db").write_bytes(b"rubbish" * 100)
    (tmp_path / "act.db.keys").mkdir()
    (tmp_path / "act.db.keys" / "one.pem").write_text("private")
    saved = tmp_path / "saved"
    assert "cannot be read" in mistake("backup", str(saved), "--database", str(tmp_path / "act.db"), code=1)
    assert not saved.exists()
    saved.mkdir()
    (saved / "mine").touch()
    assert "is there already" in mistake("backup", str(saved), "--database", str(tmp_path / "act.db"), code=1)
    assert [file.name for file in saved.iterdir()] == ["mine"]


def test_what_was_done_before_it_broke_off_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []
    with pytest.raises(Unreachable), told_so_far(lambda: f"{sum(done)} were erased"):
        done.extend(iter([1, 2]))
        raise Unreachable("gone")
    assert capsys.readouterr().err == "Until then 3 were erased; run the same command again for the rest.\n"
