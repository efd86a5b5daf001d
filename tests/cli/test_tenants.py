"""`actctl tenants`: lifetimes and the kill switch over the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import Server

from .conftest import Ctl
from .test_itself import on_a_terminal

ID = "default-tenant"


@pytest.fixture(autouse=True)
def _open_again(ctl: Ctl) -> Iterator[None]:
    yield
    ctl("tenants", "unfreeze", ID).ok()


def able(ctl: Ctl) -> str:
    """The token of an agent that may `run`."""
    agent = ctl.json("agents", "create", f"agent {uuid4().hex}")["id"]
    ctl("policies", "create", "--name", uuid4().hex, "--action", "run", "--resource", "*", "--agent", agent).ok()
    return ctl("tokens", "issue", agent).ok().out.strip()


def test_freeze_and_unfreeze(ctl: Ctl) -> None:
    token = able(ctl)
    assert ctl("enforce", "run", "x", ACT_TOKEN=token).code == 0
    frozen = ctl.json("tenants", "freeze", ID, "--reason", "incident 42", "--yes")
    assert (frozen["tenantId"], frozen["frozen"], frozen["reason"]) == (ID, True, "incident 42")
    denied = ctl("enforce", "run", "x", "-o", "json", ACT_TOKEN=token)
    assert (denied.code, denied.json()["reasonCode"]) == (3, "tenant_frozen")
    shown = dict(line.split(maxsplit=1) for line in ctl("tenants", "show", ID).ok().out.splitlines())
    assert (shown["frozen"], shown["reason"]) == ("yes", "incident 42")
    assert ctl.json("tenants", "unfreeze", ID, "--reason", "over")["frozen"] is False
    assert ctl("enforce", "run", "x", ACT_TOKEN=token).code == 0


def test_a_token_for_a_frozen_tenant(ctl: Ctl) -> None:
    agent = ctl.json("agents", "create", f"agent {uuid4().hex}")["id"]
    ctl("tenants", "freeze", ID, "--yes").ok()
    refused = ctl("tokens", "issue", agent)
    assert (refused.code, refused.out) == (1, "")
    assert "(tenant_frozen, 409)" in refused.err


def test_a_person_is_asked_before_everything_stops(ctl: Ctl) -> None:
    run = ctl("tenants", "freeze", ID)
    assert run.code == 2
    assert "--yes" in run.err
    code, screen = on_a_terminal(ctl, "tenants", "freeze", ID, answer="n")
    assert code == 1
    assert f"Freeze the tenant '{ID}'?" in screen
    assert ctl.json("tenants", "show", ID)["frozen"] is False
    code, _ = on_a_terminal(ctl, "tenants", "freeze", ID, answer="y")
    assert code == 0
    assert ctl.json("tenants", "show", ID)["frozen"] is True


def test_lifetimes(ctl: Ctl) -> None:
    assert ctl("tenants", "set", ID).code == 2
    changed = ctl.json("tenants", "set", ID, "--max-token-ttl", "2h")
    assert (changed["maxTokenTtl"], changed["defaultTokenTtl"]) == (7200, 3600)
    changed = ctl.json("tenants", "set", ID, "--default-token-ttl", "60", "--max-token-ttl", "86400")
    assert (changed["maxTokenTtl"], changed["defaultTokenTtl"]) == (86400, 60)
    over = ctl("tenants", "set", ID, "--max-token-ttl", "59")
    assert over.code == 1
    assert "\n  /maxTokenTtl: " in over.err
    ctl("tenants", "set", ID, "--default-token-ttl", "3600").ok()


def test_the_tenant_of_others_is_not_there(ctl: Ctl) -> None:
    for command in (("show",), ("set", "--max-token-ttl", "3600"), ("freeze", "--yes"), ("unfreeze",)):
        run = ctl("tenants", *command, "elsewhere")
        assert run.code == 1
        assert "(not_found, 404)" in run.err


def test_a_mistyped_path_makes_no_database(tmp_path: Path) -> None:
    with Server(tmp_path):
        pass
    before = sorted(path.name for path in tmp_path.iterdir())
    for wrong in (tmp_path / "atc.db", tmp_path / "no" / "act.db"):
        run = Ctl({}, tmp_path)("tenants", "create", "research", "--database", f"sqlite:///{wrong}")
        assert (run.code, run.out) == (1, "")
        assert f"There is no database at {wrong}" in run.err
        assert "--database" in run.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_the_log_keeps_of_arguments(ctl: Ctl) -> None:
    shown = ctl.json("tenants", "show", ID)
    assert (shown["auditArguments"], shown["redactPatterns"]) == ("redacted", [])
    changed = ctl.json(
        "tenants", "set", ID, "--audit-arguments", "full", "--redact", "*phone*", "--redact", "/c/*/mail"
    )
    assert (changed["auditArguments"], changed["redactPatterns"]) == ("full", ["*phone*", "/c/*/mail"])
    assert ctl.json("tenants", "set", ID, "--no-redact")["redactPatterns"] == []
    assert ctl("tenants", "set", ID, "--redact", "x", "--no-redact").code == 2
    refused = ctl("tenants", "set", ID, "--redact", "/a~")
    assert refused.code == 1
    assert "\n  /redactPatterns/0: " in refused.err
    assert ctl.json("tenants", "set", ID, "--audit-arguments", "redacted")["auditArguments"] == "redacted"
