"""A real server process and a small client for it, shared by all tests: `from tests.support import Api, Server`."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2

from tests import warm

ADMIN_KEY = "act_test_admin_0123456789abcdef0123456789abcdef"
STARTING = 90.0
"""Seconds in which a server must have started, or stopped."""

# Servers are here and speak no TLS; to read the certificates that this machine trusts takes longer than most tests.
_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_SERVES = re.compile(r"""(?:^|"message": ")ACT serves .* at (http://\S+)""", re.MULTILINE)
_MADE_KEY = re.compile(r"^act_\S+$", re.MULTILINE)


class Api:
    """Calls ACT with one API key. `get`, `post`, ... check the status and give the parsed body.

    Args:
        key: the API key, or None to send none.
        transport: how requests travel, instead of over the network.
    """

    def __init__(self, url: str, key: str | None = ADMIN_KEY, transport: httpx2.BaseTransport | None = None) -> None:
        # What is changed is changed whatever its version, unless a test says otherwise.
        headers = {"If-Match": "*"} | ({} if key is None else {"X-Api-Key": key})
        self.client = httpx2.Client(
            base_url=url, headers=headers, timeout=20.0, transport=transport, verify=_NOBODY, trust_env=False
        )

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """Send and give the response, whatever its status."""
        if body is not None:
            options["json"] = body
        return self.client.request(method, path, **options)

    def call(self, method: str, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        """Send, insist on the status, and give the parsed body (None when it is empty)."""
        response = self.send(method, path, body, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code}, not {status}: {response.text}"
        return response.json() if response.content else None

    def get(self, path: str, *, status: int = 200, **options: Any) -> Any:
        return self.call("GET", path, status=status, **options)

    def post(self, path: str, body: Any = None, *, status: int = 201, **options: Any) -> Any:
        return self.call("POST", path, body, status=status, **options)

    def put(self, path: str, body: Any, *, status: int = 200, **options: Any) -> Any:
        return self.call("PUT", path, body, status=status, **options)

    def patch(self, path: str, body: Any, *, status: int = 200, **options: Any) -> Any:
        return self.call("PATCH", path, body, status=status, **options)

    def delete(self, path: str, *, status: int = 204, **options: Any) -> Any:
        return self.call("DELETE", path, status=status, **options)

    # --- what most tests begin with ---

    def agent(self, name: str | None = None, *roles: str, **more: Any) -> str:
        """Register an agent; its id. Without a name it gets one of its own."""
        body = {"name": name or f"agent-{uuid4().hex}", "roles": list(roles), **more}
        return str(self.post("/v1/agents", body)["id"])

    def policy(self, actions: Sequence[str] = ("*",), resources: Sequence[str] = ("*",), **more: Any) -> Any:
        """Store a policy, by default for everything; the answer. `more` are fields as they are on the wire."""
        body = {"name": f"policy-{uuid4().hex}", "actions": list(actions), "resources": list(resources), **more}
        return self.post("/v1/policies", body)

    def token(self, agent_id: str, **more: Any) -> str:
        """Issue a token; the string."""
        return str(self.post("/v1/tokens", {"agentId": agent_id, **more})["token"])

    def key(self, *scopes: str, name: str = "test", **more: Any) -> Any:
        """Make an API key; the answer, with the key in `key`."""
        return self.post("/v1/api-keys", {"name": name, "scopes": list(scopes), **more})

    def enforce(self, token: str, action: str, resource: str, **more: Any) -> Any:
        """One decision, as parsed JSON. `more` are fields as they are on the wire."""
        request = {"requestId": uuid4().hex, "capabilityToken": token, "action": action, "resourceId": resource}
        return self.post("/v1/enforce", request | more, status=200)

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Server:
    """A real `actctl serve` process on a SQLite file of its own, at a free port.

    Started by `with` or by `start`; killed at the end, however the test ends. Every start takes another port, so
    ask for `url` and `api` after a restart.

    Args:
        folder: where the database is, or will be made.
        environment: more `ACT_*` variables; those of the calling process are not passed on.
        admin_key: the key that the first start is given; None has it make one, which is in `admin_key` then.

    Attributes:
        program: what is started next.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, admin_key: str | None = ADMIN_KEY
    ) -> None:
        self.database = folder / "act.db"
        self.log_file = folder / "act.log"
        self.admin_key = admin_key or ""
        self.program = actctl()
        self.url = ""
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | warm.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything that all runs have written to stdout and stderr."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def api(self, key: str | None = "") -> Api:
        """A client of this server; with the admin key unless told otherwise, with none for None."""
        return Api(self.url, self.admin_key if key == "" else key)

    def start(self) -> Self:
        assert self._process is None, "the server runs already"
        skipped = len(self.log)
        chosen = {"ACT_BOOTSTRAP_API_KEY": self.admin_key} if self.admin_key else {}
        variables = environment(chosen | self._environment)
        serve = ["serve", "--port", "0", "--database", f"sqlite:///{self.database}"]
        with self.log_file.open("ab") as log, Path(os.devnull).open() as nothing:
            if self.program == actctl() and warm.can_be(variables):
                self._process = warm.Process(serve, variables, (nothing.fileno(), log.fileno(), log.fileno()))
            else:
                self._process = subprocess.Popen(
                    [self.program, *serve], stdin=nothing, stdout=log, stderr=log, env=variables
                )
        try:
            self.url = self._wait_for_url(skipped)
        except BaseException:
            self.kill()
            raise
        if not self.admin_key and (made := _MADE_KEY.search(self.log)):
            self.admin_key = made[0]
        return self

    def stop(self) -> int:
        """Ask it to end (SIGTERM) and wait; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it at once (SIGKILL); its exit code."""
        return self._end(signal.SIGKILL)

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def _wait_for_url(self, skipped: int) -> str:
        assert self._process is not None
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline:
            # The line comes just before the socket is served; connections that are early wait in its backlog.
            if found := _SERVES.search(self.log[skipped:]):
                return found[1]
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}:\n{self.log[skipped:]}")
            time.sleep(0.02)
        raise TimeoutError(f"the server did not start in {STARTING:.0f} s:\n{self.log[skipped:]}")

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(STARTING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STARTING)
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()


def actctl() -> str:
    """The command line as it is installed beside the running Python."""
    return str(Path(sys.executable).with_name("actctl"))


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process: without the settings and proxies of the calling one."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ACT_") and k.lower() not in proxies}
    return kept | dict(more or {})
