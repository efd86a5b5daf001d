"""Cerbos from npm, with policies like ACT's, as something to compare with over HTTP."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from benchmarks.wrk import ID, Target

VERSION = "0.55.0"
CHECK = "/api/check/resources"
STARTING = 60.0
PLATFORMS = {("Linux", "x86_64"): "linux-x64", ("Linux", "aarch64"): "linux-arm64"}
AUDITS = {"no audit": None, "audit local": "local", "audit file": "file"}
"""How it may log its decisions; `local` is its own store. It answers before either is written."""


class NotToBeHad(Exception):
    """Says why."""


def fetch(folder: Path) -> Path:
    """Install it into the folder; the binary.

    Raises:
        NotToBeHad: there is no npm, no such package, or no way to it.
    """
    system = PLATFORMS.get((platform.system(), platform.machine()))
    npm = shutil.which("npm")
    if npm is None or system is None:
        raise NotToBeHad("npm is missing" if npm is None else "no package for this platform")
    package = f"@cerbos/cerbos-{system}"
    install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"{package}@{VERSION}"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300)
    binary = folder / "node_modules" / package / f"cerbos-{system}"
    if done.returncode or not binary.exists():
        raise NotToBeHad((done.stderr.strip().splitlines() or ["npm said nothing"])[-1][:80])
    binary.chmod(0o755)
    return binary


def write_policies(folder: Path, role: str, services: list[str]) -> None:
    """A policy for each service: the role may read."""
    for service in services:
        rule = {"actions": ["read"], "effect": "EFFECT_ALLOW", "roles": [role]}
        body = {"resource": service, "version": "default", "rules": [rule]}
        document = {"apiVersion": "api.cerbos.dev/v1", "resourcePolicy": body}
        (folder / f"{service}.yaml").write_text(yaml.safe_dump(document))


def question(agent: str, role: str, service: str) -> bytes:
    """What ACT is asked with a token, in Cerbos' words; it is told who asks."""
    resource = {"kind": service, "id": "item", "attr": {"id": 1}}
    body = {
        "requestId": ID,
        "principal": {"id": agent, "roles": [role]},
        "resources": [{"actions": ["read"], "resource": resource}],
    }
    return json.dumps(body, separators=(",", ":")).encode()


@contextmanager
def serving(binary: Path, folder: Path, policies: Path, audit: str, bodies: list[bytes]) -> Iterator[Target]:
    """A server with one of `AUDITS`."""
    here = folder / audit.replace(" ", "-")
    here.mkdir()
    port, other = _free_port(), _free_port()
    config = here / "config.yaml"
    config.write_text(yaml.safe_dump(_config(AUDITS[audit], here, policies, port, other)))
    with (here / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary), "server", f"--config={config}", "--log-level=error"], stdout=log, stderr=log, cwd=here
        )
    try:
        _wait(process, port, here / "log")
        headers = {"Content-Type": "application/json"}
        yield Target(f"Cerbos {VERSION}, {audit}", "127.0.0.1", port, process.pid, CHECK, headers, bodies)
    finally:
        process.terminate()
        process.wait(30)


def _config(audit: str | None, here: Path, policies: Path, port: int, other: int) -> dict[str, Any]:
    backends = {
        "local": {"local": {"storagePath": str(here / "audit")}},
        "file": {"file": {"path": str(here / "audit.log")}},
    }
    return {
        "server": {"httpListenAddr": f"127.0.0.1:{port}", "grpcListenAddr": f"127.0.0.1:{other}"},
        "storage": {"driver": "disk", "disk": {"directory": str(policies), "watchForChanges": False}},
        "telemetry": {"disabled": True},
        "audit": {"enabled": False}
        if audit is None
        else {"enabled": True, "backend": audit, "accessLogsEnabled": False, "decisionLogsEnabled": True}
        | backends[audit],
    }


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/_cerbos/health").is_success:
                return
        except httpx2.HTTPError:
            time.sleep(0.05)
    raise NotToBeHad(f"it did not start: {log.read_text()[-200:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
