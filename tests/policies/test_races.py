"""Changes of one policy that wait for the same commit."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from act.agents.live import LiveAgents
from act.audit.transaction import Transaction
from act.database.clock import SystemClock
from act.models import PolicyDraft
from act.policies.live import LivePolicies
from act.policies.service import PolicyService
from act.server.app import Node
from act.server.settings import Settings
from act.tenants.tenant import DEFAULT_TENANT
from tests.support import ADMIN_KEY


def draft(**fields: Any) -> PolicyDraft:
    return PolicyDraft.model_validate({"name": "p", "actions": ["run"], "resources": ["job://*"], **fields})


def test_what_was_prepared_from_an_older_version_is_prepared_again(tmp_path: Path) -> None:
    """Without appliesTo a policy stays bound as it is: as the change before has bound it, not as it was when asked."""
    holding, go_on = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        holding.set()
        assert go_on.wait(20)
        transaction.record(DEFAULT_TENANT, "test.held", {})

    settings = Settings(database=f"sqlite:///{tmp_path / 'act.db'}", bootstrap_api_key=ADMIN_KEY)
    with Node(settings) as node, ThreadPoolExecutor(3) as pool:
        clock = SystemClock()
        service = PolicyService(node._writer, node._reading, clock, LiveAgents(), LivePolicies(), require_binding=False)
        caller = node.api_keys.find(ADMIN_KEY, clock.now())
        assert caller is not None
        service.create(caller, draft(id="p", appliesTo={"roles": ["a"], "agentIds": []}))
        pool.submit(node._writer.write, hold)
        assert holding.wait(20)
        first = pool.submit(service.replace, caller, "p", draft(appliesTo={"roles": ["b"], "agentIds": []}), "*")
        _wait(lambda: node._writer._queue.qsize() == 1)
        second = pool.submit(service.replace, caller, "p", draft(), "*")
        _wait(lambda: node._writer._queue.qsize() == 2)
        go_on.set()
        assert first.result(20).version == 2
        last = second.result(20)
    assert (last.version, last.applies_to) == (3, {"roles": ["b"], "agentIds": []})


def _wait(ready: Any) -> None:
    until = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.01)
