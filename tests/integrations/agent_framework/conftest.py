"""One ACT for all tests of this framework, and for each test agents of its own."""

from collections.abc import Iterator

import pytest
from agent_framework_support import Node, Ran, World


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("agent-framework"))
    yield node
    node.act.close()


@pytest.fixture
def world(node: Node) -> World:
    return World(node)


@pytest.fixture
def ran() -> Ran:
    return Ran()


@pytest.fixture(params=["run", "stream"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)
