"""`make bench-engine`: the decision procedure alone, against others, on the same synthetic tenants in one run.

ACT gives its full decision (the call as a value; the worded reason, policies, obligations, near misses on denial), with
no cache of decisions: nothing is asked for twice in a pass. The others give what they give. Peers run one after the
other, each in an environment of its own that uv makes; one that is not to be had is said to be so.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from act.agents.agent import Agent
from act.enforcement.decide import decide
from act.policies.audience import Audience
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import compile_policy
from act.tokens.chain import Link
from benchmarks import tenants
from benchmarks.peers.measure import Ask, Request, measured
from benchmarks.tenants import Tenant

SIZES = (10, 100, 1_000, 10_000)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE = Path(__file__).parent
PEERS = {
    "cedarpy": ("cedar.py", "cedarpy==4.12.2"),
    "pycasbin": ("casbin_enforcers.py", "pycasbin==2.8.0"),
    "governance toolkit": ("governance_toolkit.py", "agent-governance-toolkit-core==5.0.0"),
}
PATIENCE = 300.0


def act(tenant: Tenant) -> Ask:
    index = PolicyIndex(
        compile_policy(
            id=policy["id"],
            name=policy["id"],
            version=1,
            effect=policy["effect"],
            audience=Audience(roles=frozenset((policy["role"],))),
            actions=policy["actions"],
            resources=[f"{service}*" for service in policy["services"]],
            when=tenants.cel(policy["condition"]),
        )
        for policy in tenant["policies"]
    )
    asked = {
        request["resource"]: (
            (Link(Agent(request["agent"], request["agent"], (request["role"],), "active", 0), None, {}),),
            request["action"],
            {"amount": request["amount"], "to": request["to"]},
            {"env": request["env"]},
        )
        for request in tenant["requests"]
    }
    gc.collect()
    gc.freeze()  # as the server does when it has loaded

    def ask(request: Request) -> bool:
        resource = request["resource"]
        chain, action, arguments, context = asked[resource]
        return decide(index, chain, Call(action, resource, NOW, arguments, context)).permitted

    return ask


def naive(tenant: Tenant) -> Ask:
    """A loop over all policies with fnmatch; no reason, no list of policies."""
    stored = [(policy, [f"{service}*" for service in policy["services"]]) for policy in tenant["policies"]]

    def holds(condition: dict[str, Any] | None, request: Request) -> bool:
        if condition is None:
            return True
        if "env" in condition:
            return bool(request["env"] == condition["env"])
        return bool(request["amount"] <= condition["max"] and request["to"] in condition["to"])

    def ask(request: Request) -> bool:
        allowed = False
        for policy, globs in stored:
            if policy["role"] != request["role"]:
                continue
            if not any(fnmatchcase(request["action"], pattern) for pattern in policy["actions"]):
                continue
            if not any(fnmatchcase(request["resource"], pattern) for pattern in globs):
                continue
            if holds(policy["condition"], request):
                if policy["effect"] == "deny":
                    return False
                allowed = True
        return allowed

    return ask


def peers(path: Path, which: Mapping[str, tuple[str, str]] = PEERS) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """What each peer measured on what is in the file, or why it did not."""
    uv = shutil.which("uv", path=f"{HERE.parent / '.tools/uv/bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    for name, (script, package) in which.items():
        if uv is None:
            yield name, "not to be had: uv is missing"
            continue
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        run = [uv, "run", "--quiet", "--no-project", "--isolated", "--python", python, "--with", package]
        try:
            done = subprocess.run(
                [*run, HERE / "peers" / script, path], capture_output=True, text=True, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            yield name, f"no result within {PATIENCE:.0f} s"
            continue
        if done.returncode:
            yield name, f"not to be had: {(done.stderr.strip().splitlines() or ['no word'])[-1][:80]}"
            continue
        yield from json.loads(done.stdout.splitlines()[-1]).items()


def rows(tenant: Tenant) -> Iterator[tuple[str, dict[str, Any] | str]]:
    yield "ACT", measured(act(tenant), tenant["requests"])
    yield "fnmatch loop", measured(naive(tenant), tenant["requests"])
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder:
        path = Path(folder) / "tenant.json"
        path.write_text(json.dumps(tenant))
        yield from peers(path)


def main() -> None:
    conditions = "a third with a simple condition, a tenth with two parts"
    print(f"One decision, in process, microseconds; Python {platform.python_version()}, {platform.machine()}.")
    print(f"{tenants.PER_ROLE} policies a role, 1 to 3 actions, 1 to 3 globs, {conditions}; up to 1,000 requests.")
    print("ratio: its p50 to ACT's. alike: decisions that are ACT's.")
    print(f"{'policies':>8}  {'engine':<36} {'p50':>10} {'p99':>10} {'per s':>9} {'ratio':>8} {'alike':>11}")
    for size in SIZES:
        ours: dict[str, Any] = {}
        for name, row in rows(tenants.tenant(size)):
            if isinstance(row, str):
                print(f"{size:>8}  {name:<36} {row}", flush=True)
                continue
            ours = ours or row
            alike = sum(one == other for one, other in zip(row["allowed"], ours["allowed"], strict=False))
            print(
                f"{size:>8}  {name:<36} {row['p50']:>10.1f} {row['p99']:>10.1f} {1e6 / row['mean']:>9.0f}"
                f" {row['p50'] / ours['p50']:>7.1f}x {alike:>5}/{len(row['allowed'])}",
                flush=True,
            )
    print()


if __name__ == "__main__":
    main()
