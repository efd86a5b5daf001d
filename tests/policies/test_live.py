"""Policies in memory follow the rows: disabled and deleted ones are as if they had never been."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, insert, update

from act.agents.agent import Agent
from act.database.tables import metadata, policy_versions, tenants
from act.policies import store
from act.policies.live import LivePolicies
from tests.policies.strategies import NOW

AGENT = Agent("a1", "a1", ("r1",), "active", 0)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        for tenant_id in ("t1", "t2"):
            tenant = {"id": tenant_id, "name": tenant_id, "max_token_ttl": 1, "default_token_ttl": 1, "created_at": NOW}
            connection.execute(insert(tenants).values(**tenant))
        yield connection
    engine.dispose()


def _write(connection: Connection, id: str, version: int = 1, tenant_id: str = "t1", **changed: Any) -> None:
    if version == 1:
        store.add(connection, tenant_id, id, NOW)
    row = {
        "name": id,
        "description": "",
        "effect": "allow",
        "actions": ["x"],
        "resources": ["p/*"],
        "binding": "explicit",
        "applies_to": {"roles": ["r1"], "agentIds": []},
        "constraints": {},
        "mode": "enforce",
        "enabled": True,
        "valid_from": None,
        "valid_until": None,
        "warnings": [],
        "created_at": NOW,
        "revision": version,
    }
    store.add_version(connection, tenant_id, id, version, **(row | changed))


def _matching(live: LivePolicies, tenant_id: str = "t1") -> list[tuple[str, int]]:
    return [(policy.id, policy.version) for policy in live.of_tenant(tenant_id).matching(AGENT, "x", "p/1")]


def _loaded(connection: Connection) -> LivePolicies:
    live = LivePolicies()
    live.load(connection)
    return live


def test_disabled_and_deleted_are_the_same_as_absent(connection: Connection) -> None:
    live = LivePolicies()
    for id in ("kept", "disabled", "deleted"):
        _write(connection, id)
        live.apply(connection, "t1", [id])
    assert _matching(live) == [("deleted", 1), ("disabled", 1), ("kept", 1)]

    _write(connection, "disabled", 2, enabled=False)
    store.delete(connection, "t1", "deleted", NOW)
    live.apply(connection, "t1", ["disabled", "deleted"])

    for index in (live.of_tenant("t1"), _loaded(connection).of_tenant("t1")):
        assert list(index.policies) == ["kept"]
        assert [policy.id for policy in index.applying(AGENT)] == ["kept"]
    assert _matching(live) == _matching(_loaded(connection)) == [("kept", 1)]


def test_only_the_current_version_counts(connection: Connection) -> None:
    _write(connection, "p")
    live = _loaded(connection)
    _write(connection, "p", 2, resources=["q/*"])
    live.apply(connection, "t1", ["p"])
    assert _matching(live) == _matching(_loaded(connection)) == []
    _write(connection, "p", 3, enabled=False)
    _write(connection, "p", 4)
    live.apply(connection, "t1", ["p"])
    assert _matching(live) == _matching(_loaded(connection)) == [("p", 4)]


def test_a_policy_of_one_tenant_is_nothing_to_another(connection: Connection) -> None:
    _write(connection, "p", tenant_id="t2", binding="tenant", applies_to=None)
    live = _loaded(connection)
    live.apply(connection, "t1", ["p"])
    assert _matching(live) == []
    assert _matching(live, "t2") == [("p", 1)]
    assert _matching(live, "nobody's") == []


def test_an_index_that_was_handed_out_never_changes(connection: Connection) -> None:
    _write(connection, "p")
    live = _loaded(connection)
    before = live.of_tenant("t1")
    _write(connection, "p", 2, enabled=False)
    live.apply(connection, "t1", ["p"])
    assert list(before.policies) == ["p"]
    assert list(live.of_tenant("t1").policies) == []


@pytest.mark.parametrize("binding", ["explicit", "inferred"])
def test_a_missing_audience_is_nobody_unless_the_binding_says_everybody(connection: Connection, binding: str) -> None:
    _write(connection, "p", binding=binding, applies_to=None)
    assert _matching(_loaded(connection)) == []
    _write(connection, "q", binding="tenant", applies_to=None)
    assert _matching(_loaded(connection)) == [("q", 1)]


def test_a_row_that_is_not_understood_stops_the_load(connection: Connection) -> None:
    _write(connection, "p", constraints={"maxConcurrentTasks": 1})
    connection.execute(update(policy_versions).values(constraints={"maxTasksAtOnce": 1}))
    with pytest.raises(ValueError, match="maxTasksAtOnce"):
        _loaded(connection)
