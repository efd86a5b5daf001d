"""The server killed, told to stop, given a full disk: what was answered is in the log, and nothing else is allowed."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.attacks.log import export, judge, keep, records
from tests.support import Api, Server, actctl, environment

CLIENTS = 4


class Load:
    """Clients that ask one thing after the other until the server is gone; `answered` is what they were told."""

    def __init__(self, url: str, token: str) -> None:
        self.answered: list[Any] = []
        self.strange: list[str] = []
        self._url, self._token = url, token
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._running: list[Future[None]] = [self._pool.submit(self._work, n) for n in range(CLIENTS)]

    def _work(self, number: int) -> None:
        with Api(self._url) as api:
            for turn in itertools.count():
                action = ("run", "fly", "ask")[turn % 3]
                body = {
                    "requestId": uuid4().hex,
                    "capabilityToken": self._token,
                    "action": action,
                    "resourceId": f"x{number}",
                    "arguments": {"turn": turn},
                }
                try:
                    answer = api.send("POST", "/v1/enforce", body)
                except (httpx2.TimeoutException, httpx2.PoolTimeout):
                    self.strange.append("no answer in time")
                    return
                except (httpx2.TransportError, OSError):
                    return
                if answer.status_code == 200:
                    self.answered.append(answer.json())
                elif answer.status_code == 503:
                    assert answer.json()["decision"] == "denied"
                    return
                else:
                    self.strange.append(answer.text)

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.answered) < count:
            assert time.monotonic() < deadline, f"only {len(self.answered)} answers"
            time.sleep(0.01)

    def end(self) -> None:
        for running in self._running:
            running.result(40)
        self._pool.shutdown()
        assert self.strange == []


def set_up(api: Api) -> str:
    """An agent that may run, may ask and may not fly; its token."""
    agent = api.agent()
    api.policy(["run"], appliesTo={"agentIds": [agent]})
    api.policy(["ask"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    return api.token(agent)


def in_the_log(api: Api) -> dict[str, dict[str, Any]]:
    return {record["decisionId"]: record for record in records(api) if record["kind"] == "decision"}


def assert_answered_are_logged(api: Api, answered: list[Any]) -> None:
    logged = in_the_log(api)
    for decision in answered:
        record = logged[decision["decisionId"]]
        assert record["index"] == decision["audit"]["index"]
        assert record["decision"] == decision["decision"]
    # By the leaf hash too, for some of them: it is what an answer vouches with.
    for decision in answered[-20:]:
        item = api.get(f"/v1/audit/{decision['audit']['index']}")
        assert item["leafHash"] == decision["audit"]["leafHash"]


@pytest.mark.timeout(180)
def test_killed_in_the_middle_of_load(tmp_path: Path) -> None:
    answered: list[Any] = []
    with Server(tmp_path) as server:
        with server.api() as api:
            token, kept = set_up(api), [keep(api)]
        for _ in range(5):
            load = Load(server.url, token)
            load.wait_for(60)
            server.kill()
            load.end()
            answered += load.answered
            server.start()
            with server.api() as api:
                found = judge(api, *kept)
                assert (found.ok, found.checkpoints) == (True, len(kept)), found.message
                kept.append(keep(api))
        with server.api() as api:
            assert_answered_are_logged(api, answered)
            assert {d["reasonCode"] for d in answered} == {"allowed", "no_matching_policy", "approval_required"}
            # Every approval that was spoken of is there.
            asked = {decision["approval"]["id"] for decision in answered if decision["approval"]}
            for approval in list(asked)[:20]:
                assert api.get(f"/v1/approvals/{approval}")["status"] == "pending"


@pytest.mark.timeout(120)
def test_told_to_stop_under_load(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with server.api() as api:
            token = set_up(api)
            approval = api.enforce(token, "ask", "long")["approval"]["id"]
        pool = ThreadPoolExecutor(1)
        poll = server.api()
        poll.get("/healthz")  # the connection is there
        polled = pool.submit(lambda: poll.get(f"/v1/approvals/{approval}", params={"wait": 60}))
        load = Load(server.url, token)
        load.wait_for(60)
        started = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        assert wait(server, 30) == 0
        load.end()
        assert time.monotonic() - started < 40
        assert polled.result(20)["status"] == "pending"  # who waits is answered too
        assert "stopped" in server.log
        assert "Traceback" not in server.log
        server.stop()
        server.start()
        with server.api() as api:
            assert judge(api).ok
            logged = in_the_log(api)
            mine = {decision["decisionId"] for decision in load.answered}
            assert mine == {id for id, record in logged.items() if record["resourceId"] != "long"}
            assert_answered_are_logged(api, load.answered)


def wait(server: Server, seconds: float) -> int:
    """The exit code of a server that was told to end."""
    assert server._process is not None
    return server._process.wait(seconds)


def serve(database: Path, port: str = "0", **variables: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected to refuse to start; `variables` are those of its environment."""
    command = [actctl(), "serve", "--port", port, "--database", f"sqlite:///{database}"]
    return subprocess.run(command, env=environment(variables), capture_output=True, text=True, timeout=60)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (tmp_path / "link.db").symlink_to(server.database)
        for path in (server.database, tmp_path / "link.db"):
            refused = serve(path)
            assert refused.returncode == 1, path
            assert "already" in refused.stderr, path
            assert str(server.pid) in refused.stderr, path
            assert "Traceback" not in refused.stderr
            assert refused.stdout == ""
        refused = serve(tmp_path / "other.db", server.url.rpartition(":")[2])
        assert refused.returncode == 1
        assert "--port" in refused.stderr
        assert not (tmp_path / "other.db").exists()
        with server.api() as api:
            assert api.get("/readyz")["status"] == "ok"


def test_an_empty_file_is_made_into_a_database(tmp_path: Path) -> None:
    (tmp_path / "act.db").touch(0o600)
    with Server(tmp_path) as server, server.api() as api:
        assert api.get("/readyz")["status"] == "ok"
        assert api.enforce(set_up(api), "run", "x")["reasonCode"] == "allowed"
        assert judge(api).ok
        os.kill(server.pid, signal.SIGINT)
        assert wait(server, 30) == 0


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.api() as api:
        api.agent()
        keys = list((tmp_path / "act.db.keys").iterdir())
        assert len(keys) == 3
        for file in (*tmp_path.glob("act.db*"), *keys):
            assert file.stat().st_mode & 0o077 == 0, file
        server.stop()
        keys[0].chmod(0o644)
        refused = serve(server.database)
        assert refused.returncode == 1
        assert "chmod 600" in refused.stderr


@pytest.mark.timeout(180)
def test_a_full_disk(tmp_path: Path) -> None:
    """Nothing is allowed, nothing is broken, nothing is held, and it goes on as soon as there is room."""
    secret = f"secret-{uuid4().hex}"
    with Server(tmp_path) as server, server.api() as api:
        agent = api.agent()
        for action, constraints in (
            ("run", {}),
            ("one", {"maxConcurrentTasks": 1}),
            ("ask", {"requiresApproval": True}),
        ):
            api.policy([action], appliesTo={"agentIds": [agent]}, constraints=constraints)
        token = api.token(agent)
        before = [api.enforce(token, "run", f"x{number}") for number in range(40)]
        fill_disk(server)
        for action in ("run", "one", "ask", "fly"):
            body = {"requestId": f"full-{action}", "capabilityToken": token, "action": action, "resourceId": "x"}
            problem = api.post("/v1/enforce", body | {"arguments": {"secret": secret}}, status=503)
            assert (problem["code"], problem["decision"]) == ("overloaded", "denied")
        assert api.post("/v1/agents", {"name": "nobody"}, status=503)["code"] == "overloaded"
        unready = api.get("/readyz", status=503)
        assert unready["checks"]["database"] != "ok"
        empty_disk(server)
        assert ready(api)
        assert [api.enforce(token, "one", "x")["reasonCode"] for _ in range(2)] == ["allowed", "concurrency_exceeded"]
        asked = api.enforce(token, "ask", "x", arguments={"secret": secret})
        assert api.get(f"/v1/approvals/{asked['approval']['id']}")["status"] == "pending"
        assert judge(api).ok
        assert_answered_are_logged(api, [*before, asked])
        assert not [record for record in records(api) if record.get("requestId", "").startswith("full-")]
        assert "nobody" not in {agent["name"] for agent in api.get("/v1/agents")["items"]}
        assert secret not in server.log
        assert secret.encode() not in export(api)
        server.kill()
        server.start()
        with server.api() as again:
            assert judge(again).ok


def fill_disk(server: Server) -> None:
    """No file of the server's may grow beyond 64 KB, which its log is far below and its database far above."""
    assert server.log_file.stat().st_size < 32 * 1024
    assert server.database.with_name("act.db-wal").stat().st_size > 128 * 1024
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))


def empty_disk(server: Server) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def ready(api: Api) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if api.send("GET", "/readyz").status_code == 200:
            return True
        time.sleep(0.1)
    return False
