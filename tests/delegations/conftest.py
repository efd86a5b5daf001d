"""A node in the process for each module, whose clock the tests move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.in_process import InProcess
from tests.support import Api


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    world = InProcess(tmp_path_factory.mktemp("delegations"))
    yield world
    world.close()


@pytest.fixture
def api(world: InProcess) -> Api:
    return world.api
