"""`make bench-http`: decisions over HTTP, next to the same server answering a constant and to Cerbos, in one run.

All servers run throughout and are asked one after the other, by the same driver on the same machine, pinned to no
core. ACT verifies a capability token, decides, and in its full path answers when the record is on disk. Cerbos is told
who asks and what role it has, and writes its log after the answer, if it has one.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks import cerbos, wrk
from benchmarks.http import KEY, Server, serving
from benchmarks.wrk import ID, Measured, Target

CONNECTIONS = (1, 16, 64, 256)
AGENTS = 32
ROLE = "bench"
SERVICES = [f"service-{number}" for number in range(100)]
DURABLE, UNRECORDED, CONSTANT = "ACT, durable", "ACT, no record", "ACT's server, a constant"
VARIANTS = {
    DURABLE: ["act"],
    UNRECORDED: ["benchmarks.variants", "unrecorded"],
    CONSTANT: ["benchmarks.variants", "constant"],
}


def questions(at: Server) -> list[bytes]:
    """Agents of one role, a policy for each service, and a question of each agent with its token."""
    with httpx2.Client(base_url=f"http://{at.host}:{at.port}", headers={"X-Api-Key": KEY}) as client:

        def post(path: str, **body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.is_success, answer.text
            return answer.json()

        for service in SERVICES:
            applies = {"appliesTo": {"roles": [ROLE]}}
            post("/v1/policies", name=service, actions=["read"], resources=[f"api://{service}/*"], **applies)
        bodies = []
        for number, service in enumerate(asked_for()):
            agent = post("/v1/agents", name=f"agent-{number}", roles=[ROLE])["id"]
            token = post("/v1/tokens", agentId=agent)["token"]
            question = {"requestId": ID, "capabilityToken": token, "action": "read"}
            question |= {"resourceId": f"api://{service}/item", "arguments": {"id": 1}}
            bodies.append(json.dumps(question, separators=(",", ":")).encode())
        return bodies


def asked_for() -> list[str]:
    """The service that each agent asks for."""
    return [SERVICES[number * 3 % len(SERVICES)] for number in range(AGENTS)]


def check(target: Target, yes: str) -> None:
    """Ask everything once: all of it is allowed, and warm from now on."""
    with httpx2.Client(base_url=f"http://{target.host}:{target.port}", headers=target.headers) as client:
        for number, body in enumerate(target.bodies):
            answer = client.post(target.path, content=body.replace(ID.encode(), b"%016x" % number))
            assert answer.is_success, answer.text
            assert yes in answer.text, answer.text


@contextmanager
def targets(folder: Path) -> Iterator[list[Target]]:
    """All that run, asked and found to say yes; of the others is said why they do not."""
    with ExitStack() as stack:
        found = []
        headers = {"X-Api-Key": KEY, "Content-Type": "application/json"}
        for name, run in VARIANTS.items():
            at = stack.enter_context(serving(f"sqlite:///{tempfile.mkdtemp(dir=folder)}/act.db", run))
            bodies = found[0].bodies if name == CONSTANT else questions(at)
            found.append(Target(name, at.host, at.port, at.pid, "/v1/enforce", headers, bodies))
            check(found[-1], '"decision":"allowed"')
        try:
            binary = cerbos.fetch(folder)
            policies = folder / "policies"
            policies.mkdir()
            cerbos.write_policies(policies, ROLE, SERVICES)
            asked = [cerbos.question(f"agent-{number}", ROLE, it) for number, it in enumerate(asked_for())]
            for audit in cerbos.AUDITS:
                found.append(stack.enter_context(cerbos.serving(binary, folder, policies, audit, asked)))
                check(found[-1], '"EFFECT_ALLOW"')
        except cerbos.NotToBeHad as error:
            print(f"Cerbos is not to be had: {error}")
        yield found


def measured(found: list[Target], connections: int, seconds: int) -> dict[str, Measured]:
    """All in turns of a second, so that what else the machine does meets all alike; the first turn is not counted."""
    turns = [[wrk.measure(target, connections, 1) for target in found] for _ in range(seconds + 1)][1:]
    return {target.name: wrk.together([turn[at] for turn in turns]) for at, target in enumerate(found)}


def compare(rows: dict[str, Measured]) -> None:
    """What ACT's full path reaches of each of the others."""
    ours = rows[DURABLE]
    for name, row in rows.items():
        if name != DURABLE:
            print(f"{'':>6}  of {name:<30} {ours.rate / row.rate:>7.2f} of the rate, {ours.cpu / row.cpu:>5.2f} x CPU")


def main(seconds: int = 5) -> None:
    wrk.binary()  # what is missing is said before anything is started
    print(f"Decisions over HTTP; {len(SERVICES)} policies, {AGENTS} agents, one worker, {seconds} s each in turns;")
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, which the driver shares.")
    with tempfile.TemporaryDirectory(prefix="act-bench-") as folder, targets(Path(folder)) as found:
        print(f"{'conn.':>6}  {'':<33} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8}", flush=True)
        for connections in CONNECTIONS:
            rows = measured(found, connections, seconds)
            for name, row in rows.items():
                times = f"{row.p50:>8.2f} {row.p99:>8.2f} {row.cpu:>8.0f}"
                print(f"{connections:>6}  {name:<33} {row.rate:>8.0f} {times}", flush=True)
            compare(rows)


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except wrk.DriverMissing as missing:
        sys.exit(str(missing))
