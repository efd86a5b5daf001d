from __future__ import annotations

from collections.abc import Iterator

import pytest

from act import Act

from .real import Team, team_in
from .wire import KEY, Server


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACT_BASE_URL", "ACT_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def act(server: Server) -> Iterator[Act]:
    with Act(server.url, KEY, timeout=30.0) as act:
        yield act


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team_in(tmp_path_factory.mktemp("team")) as team:
        yield team
