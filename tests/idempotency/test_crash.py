"""The server killed at every point of a change: a retry never makes it twice, and never says less than is known."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.attacks.log import judge
from tests.support import Api, Server, actctl

# A real server that ends itself, as SIGKILL from outside would, at one point.
SCRIPT = """\
#!{python}
import os, signal
from act.idempotency import middleware, service, store

def end(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{patch}

from act.cli import main
main()
"""
IN_THE_COMMIT = "real = store.add; store.add = lambda *a: end(real(*a))"
BETWEEN = "service.IdempotencyService.keep = end"
AFTER = """\
real = service.IdempotencyService.keep
async def keep(*a):
    end(await real(*a))
service.IdempotencyService.keep = keep
"""


class Mortal(Server):
    """A server whose first run ends itself at a point of the first change under a key."""

    def __init__(self, folder: Path, patch: str) -> None:
        super().__init__(folder)
        script = folder / "mortal"
        script.write_text(SCRIPT.format(python=sys.executable, patch=patch))
        script.chmod(0o700)
        self.program = str(script)

    def again(self) -> Api:
        """As it is, after its end."""
        assert self.kill() == -9, "it has ended itself"
        self.program = actctl()
        self.start()
        return self.api()


def asked(api: Api, name: str, key: str) -> httpx2.Response:
    return api.send("POST", "/v1/agents", {"name": name}, headers={"Idempotency-Key": key})


def names(api: Api) -> list[str]:
    return [item["name"] for item in api.get("/v1/agents", params={"limit": 200})["items"]]


@contextmanager
def killed(folder: Path, patch: str) -> Iterator[Api]:
    """The admin of a server that was killed and started again."""
    with Mortal(folder, patch) as server:
        with server.api() as api, pytest.raises(httpx2.TransportError):
            asked(api, "one", "k")
        with server.again() as api:
            yield api


def test_killed_in_the_commit(tmp_path: Path) -> None:
    """Nothing was done, and it is done now."""
    with killed(tmp_path, IN_THE_COMMIT) as api:
        assert names(api) == []
        made = asked(api, "one", "k")
        assert (made.status_code, "Idempotency-Replayed" in made.headers) == (201, False)
        assert names(api) == ["one"]
        assert judge(api).ok


def test_killed_between_the_change_and_its_answer(tmp_path: Path) -> None:
    """It was done, once; nobody knows the answer, and a retry says so."""
    with killed(tmp_path, BETWEEN) as api:
        assert names(api) == ["one"]
        for _ in range(2):
            lost = asked(api, "one", "k")
            assert (lost.status_code, lost.json()["code"]) == (409, "idempotency_answer_lost")
            assert "retry-after" not in lost.headers
        other = asked(api, "two", "k")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert asked(api, "two", "l").status_code == 201
        assert names(api) == ["one", "two"]
        assert judge(api).ok


def test_killed_before_the_answer_has_left(tmp_path: Path) -> None:
    """It was done, and a retry gets the answer."""
    with killed(tmp_path, AFTER) as api:
        made = asked(api, "one", "k")
        assert (made.status_code, made.headers.get("Idempotency-Replayed")) == (201, "true")
        assert api.get(f"/v1/agents/{made.json()['id']}")["name"] == "one"
        assert names(api) == ["one"]


class Clients:
    """Ask for one agent after the other until the server is gone; `unanswered` is what may or may not be done."""

    COUNT = 4

    def __init__(self, url: str) -> None:
        self.answered: dict[str, Any] = {}
        self.unanswered: list[str] = []
        self._url = url
        self.many = threading.Event()
        self._pool = ThreadPoolExecutor(self.COUNT)
        self._running = [self._pool.submit(self._work) for _ in range(self.COUNT)]

    def _work(self) -> None:
        with Api(self._url) as api:
            for turn in itertools.count():
                name = uuid4().hex
                try:
                    answer = asked(api, name, name)
                except (httpx2.TransportError, OSError):
                    self.unanswered.append(name)
                    return
                assert answer.status_code == 201, answer.text
                self.answered[name] = answer.json()
                if turn > 10:
                    self.many.set()

    def end(self) -> None:
        for running in self._running:
            running.result(40)
        self._pool.shutdown()


@pytest.mark.timeout(180)
def test_killed_in_the_middle_of_load(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        for _ in range(4):
            clients = Clients(server.url)
            assert clients.many.wait(40)
            server.kill()
            clients.end()
            server.start()
            with server.api() as api:
                for name, agent in clients.answered.items():
                    again = asked(api, name, name)
                    assert (again.status_code, again.json()) == (201, agent)
                    assert again.headers["Idempotency-Replayed"] == "true"
                for name in clients.unanswered:
                    again = asked(api, name, name)
                    assert (again.status_code, again.json().get("code")) in (
                        (201, None),
                        (409, "idempotency_answer_lost"),
                    )
                    # The name is unique: were it made a second time, this would have been agent_name_taken.
                    assert api.get(f"/v1/agents/{found(api, name)}")["name"] == name
                assert judge(api).ok


def found(api: Api, name: str) -> str:
    cursor: str | None = None
    while True:
        page = api.get("/v1/agents", params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        for item in page["items"]:
            if item["name"] == name:
                return str(item["id"])
        assert page["hasMore"], f"{name} was not made"
        cursor = page["nextCursor"]
