"""The database file goes away under a server, or was away before it: nothing is answered into the void."""

from __future__ import annotations

from pathlib import Path

import pytest

from act.database.engine import DatabaseUnusable
from act.server.app import Node
from act.server.settings import Settings, SettingsInvalid
from tests.support import Server


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_goes_away(tmp_path: Path, how: str) -> None:
    with Server(tmp_path) as server, server.api() as api:
        agent = api.agent()
        token = api.token(agent)
        assert api.enforce(token, "x", "y")["reasonCode"] == "no_matching_policy"
        server.database.rename(tmp_path / "elsewhere.db")
        if how == "replaced":
            server.database.write_bytes(b"")
        body = {"requestId": "1", "capabilityToken": token, "action": "x", "resourceId": "y"}
        problem = api.call("POST", "/v1/enforce", body, status=503)
        assert (problem["code"], problem["decision"]) == ("overloaded", "denied")
        assert api.send("GET", "/readyz").status_code == 503


def test_keys_without_their_database(tmp_path: Path) -> None:
    settings = Settings(database=f"sqlite:///{tmp_path}/act.db")
    Node(settings).close()
    (tmp_path / "act.db").unlink()
    with pytest.raises(DatabaseUnusable, match="is missing, but its keys are there"):
        Node(settings)
    assert not (tmp_path / "act.db").exists()


@pytest.mark.parametrize("key", ["k" * 40 + "\n", "k" * 20 + " " + "k" * 20, "é" * 40])
def test_a_bootstrap_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(SettingsInvalid, match="ACT_BOOTSTRAP_API_KEY"):
        Settings(bootstrap_api_key=key)


def test_the_settings_do_not_show_the_bootstrap_key() -> None:
    assert "k" * 40 not in repr(Settings(bootstrap_api_key="k" * 40))
