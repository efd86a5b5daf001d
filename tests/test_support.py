"""The tools of the tests, held to what other tests rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import Server


def test_a_server_keeps_what_it_answered_over_a_kill(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            agent_id = api.agent("Planner", "planner")
        assert server.kill() == -9
        server.start()
        with server.api() as api:
            assert api.get(f"/v1/agents/{agent_id}")["roles"] == ["planner"]


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ACT_MAX_TOKEN_TTL is 'soon', not a whole number"):
        Server(tmp_path, {"ACT_MAX_TOKEN_TTL": "soon"}).start()
