"""One real node of ACT for all tests with AG2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integrations.suite.world import Station


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    station = Station(tmp_path_factory.mktemp("ag2"))
    yield station
    station.close()
