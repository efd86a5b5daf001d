"""The live stream: every record once, in order, from where the listener was; and it ends with the key."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from act.audit import store
from act.audit import stream as streams
from act.audit.formats import csv_line
from act.audit.merkle import frontier_of, leaf_hash
from act.audit.record import encode
from act.audit.routes import EXPORTS_AT_ONCE
from act.audit.store import Record
from act.audit.stream import Listening, LogStream, TooManyListeners
from tests.in_process import InProcess
from tests.support import Api, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("stream")) as server:
        yield server


class Listener:
    """Listens in a thread of its own."""

    def __init__(self, server: Server, key: str, **headers: str) -> None:
        self.events: list[dict[str, str]] = []
        self.ended = threading.Event()
        self.began = threading.Event()
        self._request = (server.url, {"X-Api-Key": key, **headers})
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.began.wait(60)

    def _listen(self) -> None:
        url, headers = self._request
        try:
            with httpx2.stream("GET", f"{url}/v1/events", headers=headers, timeout=60) as answer:
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("text/event-stream")
                self.began.set()
                event: dict[str, str] = {}
                for line in answer.iter_lines():
                    if line:
                        name, _, value = line.partition(": ")
                        event[name] = value
                    elif event:
                        self.events.append(event)
                        event = {}
        except httpx2.HTTPError:
            pass
        finally:
            self.began.set()
            self.ended.set()


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_new_records_come_as_they_are_and_once(server: Server) -> None:
    with server.api() as api:
        listener = Listener(server, api.key("audit")["key"])
        agents = [api.agent() for _ in range(5)]
        until(lambda: len(listener.events) >= 5)
        time.sleep(0.3)
        found = [json.loads(event["data"]) for event in listener.events]
        assert [record["agentId"] for record in found] == agents
        assert {event["event"] for event in listener.events} == {"agent.created"}
        for event, record in zip(listener.events, found, strict=True):
            assert api.get(f"/v1/audit/{event['id']}")["record"] == record


def test_a_listener_that_comes_back_misses_nothing(server: Server) -> None:
    with server.api() as api:
        key = api.key("audit")["key"]
        seen = api.get("/v1/audit/checkpoint")["size"] - 1
        agents = [api.agent() for _ in range(700)]  # more than one look
        listener = Listener(server, key, **{"Last-Event-ID": str(seen)})
        until(lambda: len(listener.events) >= 700)
        assert [json.loads(event["data"])["agentId"] for event in listener.events[:700]] == agents
        assert [int(event["id"]) for event in listener.events[:700]] == list(range(seen + 1, seen + 701))


def test_the_stream_ends_with_the_key(server: Server) -> None:
    with server.api() as api:
        issued = api.key("audit")
        listener = Listener(server, issued["key"])
        api.delete(f"/v1/api-keys/{issued['id']}", status=200)
        api.agent()  # so that it looks
        assert listener.ended.wait(60)


@pytest.mark.parametrize("last", ["x", "-2", "1.5"])
def test_nonsense_is_told(server: Server, last: str) -> None:
    with server.api() as api:
        api.get("/v1/events?limit=0", status=422, headers={"Last-Event-ID": last})


def test_the_server_stops_while_somebody_listens(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server, server.api() as api:
        listener = Listener(server, api.key("audit")["key"])
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 25
        assert listener.ended.wait(30)


# --- many listeners ---------------------------------------------------------------------------------------------------


class Counting(LogStream):
    """A stream of a node's log that counts who looks, and how many at once."""

    def __init__(self, node: InProcess) -> None:
        super().__init__(node.node._reading, lambda tenant_id: node.node._writer.head(tenant_id).size)
        self.looked: list[str] = []
        self.most = self._now = 0

    def _look(self, tenant_id: str, after: int, limit: int) -> Sequence[Record]:
        self.looked.append(tenant_id)
        self._now += 1
        self.most = max(self.most, self._now)
        time.sleep(0.01)
        found = super()._look(tenant_id, after, limit)
        self._now -= 1
        return found


def test_listeners_look_when_their_log_has_grown_and_few_at_once(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    stream, newest = Counting(node), node.api.get("/v1/audit/checkpoint")["size"] - 1
    node.node._writer.after_commit = stream.grown

    async def listen(tenant_id: str, heard: list[bytes]) -> None:
        place = stream.admit(tenant_id)
        async for event in stream.events(tenant_id, newest, 3, place, lambda: True):
            heard.append(event)

    async def both() -> tuple[list[bytes], list[bytes]]:
        mine: list[bytes] = []
        others: list[bytes] = []
        tasks = [asyncio.create_task(listen("default-tenant", mine)) for _ in range(20)]
        away = [asyncio.create_task(listen("another", others)) for _ in range(20)]
        for _ in range(3):
            await asyncio.to_thread(node.api.agent)
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        for task in away:
            task.cancel()
        await asyncio.gather(*away, return_exceptions=True)
        return mine, others

    mine, others = asyncio.run(both())
    assert (len(mine), len(others)) == (60, 0)
    assert set(stream.looked) == {"default-tenant"}
    assert len(stream.looked) <= 60
    assert stream.most <= streams.AT_ONCE
    node.close()


def test_one_tenant_does_not_take_all_places(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    stream = Counting(node)

    async def admitted() -> None:
        places = [stream.admit("a") for _ in range(streams.MAX_OF_TENANT)]
        with pytest.raises(TooManyListeners):
            stream.admit("a")
        stream.leave("b", stream.admit("b"))
        stream.leave("a", places[0])
        stream.admit("a")

    asyncio.run(admitted())
    node.close()


def test_who_is_gone_before_the_first_record_leaves_its_place(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    stream = Counting(node)

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise OSError("nobody there")

    async def answered() -> None:
        for _ in range(streams.MAX_OF_TENANT + 1):
            place = stream.admit("a")
            events = stream.events("a", 0, None, place, lambda: True)
            answer = Listening(events, partial(stream.leave, "a", place))
            with pytest.raises(OSError, match="nobody there"):  # the generator is never begun, so it tidies nothing up
                await answer({"type": "http"}, gone, send)

    asyncio.run(answered())
    node.close()


def test_the_places_of_a_tenant_on_a_server(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.api() as api:
        key = api.key("audit")["key"]
        listeners = [Listener(server, key) for _ in range(streams.MAX_OF_TENANT)]
        refused = api.get("/v1/events", status=503)
        assert refused["code"] == "overloaded"
        api.agent()
        until(lambda: all(listener.events for listener in listeners))


# --- exports ----------------------------------------------------------------------------------------------------------


def lines(api: Api, query: str) -> list[bytes]:
    answer = api.send("GET", f"/v1/audit/export{query}")
    assert answer.status_code == 200
    return answer.content.splitlines()


def test_an_export_goes_on_where_it_broke_off(server: Server) -> None:
    with server.api() as api:
        whole, rest = lines(api, ""), lines(api, "?begin=3")
        before = json.loads(rest[0])["begin"]
        assert before["index"] == 3
        roots = [leaf_hash(encode(json.loads(line)["record"])) for line in whole[:3]]
        assert frontier_of(roots).roots == tuple(bytes.fromhex(root) for root in before["roots"])
        assert whole[3:-1] == rest[1:-1]
        assert b"checkpoint" in rest[-1]
        problem = api.get("/v1/audit/export?begin=100000000", status=422)
        assert problem["errors"][0]["pointer"] == "/begin"
        assert api.get("/v1/audit/export?bgin=3", status=422)["errors"][0]["pointer"] == "/bgin"


@pytest.mark.parametrize("form", ["csv", "ocsf"])
def test_what_cannot_be_verified_says_that_it_is_whole(server: Server, form: str) -> None:
    with server.api() as api:
        size = api.get("/v1/audit/checkpoint")["size"]
        last = lines(api, f"?format={form}&begin={size - 2}")[-1]
        assert b"export.closed" in last
        assert b"2 records" in last


def test_csv_has_a_line_for_each_record(server: Server) -> None:
    import csv
    import io

    with server.api() as api:
        token = api.token(api.agent())
        decision = api.enforce(token, "fly", 'api://a,"b"')
        rows = list(csv.DictReader(io.StringIO(api.send("GET", "/v1/audit/export?format=csv").text)))
        row = rows[decision["audit"]["index"]]
        assert (row["decision"], row["reasonCode"], row["resourceId"]) == (
            "denied",
            "no_matching_policy",
            'api://a,"b"',
        )
        assert row["leafHash"] == decision["audit"]["leafHash"]


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "\uff1d1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert f"'{text[0]}".encode() in csv_line({"index": 1, "reason": text}, "00")


def characters() -> Iterator[str]:
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def test_no_cell_is_a_formula_behind_what_nobody_sees() -> None:
    """Controls, formats, white space, and a few of those that are ignorable though of other categories."""
    unseen = [each for each in characters() if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp", "Zs")]
    unseen += "\u034f\u115f\u1160\u17b4\u180b\u2065\u3164\ufe0f\uffa0\U000e0100"
    for each in unseen:
        for text in (f"{each}=1", f"{each}{each}\u2060+1"):
            assert f"'{each}".encode() in csv_line({"reason": text}, "00"), ascii(each)
        if each not in "\t\r\n":
            assert f";'{each}=1".encode() in csv_line({"reason": f"x;{each}=1"}, "00"), ascii(each)


def test_no_cell_is_a_formula_in_other_forms() -> None:
    """What compatibility normalisation makes a formula of."""
    forms = [each for each in characters() if unicodedata.normalize("NFKC", each)[:1] in ("=", "+", "-", "@")]
    assert {"\ufe62", "\ufe63", "\ufe66", "\ufe6b", "\uff0b", "\uff0d", "\uff1d", "\uff20"} < set(forms)
    for each in forms:
        for text in (f"{each}1", f"\u2060{each}1"):
            assert f"'{text}".encode() in csv_line({"reason": text}, "00"), ascii(each)
    assert b"'" not in csv_line({"reason": "1 + 1 = 2; it costs 5 - 3"}, "00")


def test_ocsf_events_have_what_their_class_wants(server: Server) -> None:
    with server.api() as api:
        found: list[dict[str, Any]] = [json.loads(line) for line in lines(api, "?format=ocsf")]
        for event in found:
            assert event["class_uid"] == 6003
            assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
            assert {"time", "severity_id", "actor", "api", "metadata"} <= event.keys()
            assert event["metadata"]["sequence"] == event["unmapped"]["index"]
        assert {event["status"] for event in found} >= {"Success", "Failure"}


@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf"])
def test_few_exports_read_at_once_and_others_do_not_wait_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    node = InProcess(tmp_path)
    whole = node.api.send("GET", f"/v1/audit/export?format={form}").content
    now, most, gate, lock = 0, 0, threading.Event(), threading.Lock()
    following = store.following

    def slow(*of: Any) -> Sequence[Record]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        gate.wait(60)
        with lock:
            now -= 1
        return following(*of)

    monkeypatch.setattr(store, "following", slow)
    with ThreadPoolExecutor(45) as pool:
        exports = [pool.submit(node.api.send, "GET", f"/v1/audit/export?format={form}") for _ in range(45)]
        until(lambda: now > 0)
        began = time.monotonic()
        node.api.get("/v1/agents")
        assert time.monotonic() - began < 20
        gate.set()
        assert {export.result().content.count(b"\n") for export in exports} == {whole.count(b"\n")}
    assert most <= EXPORTS_AT_ONCE
    node.close()


def test_another_format_is_told(server: Server) -> None:
    with server.api() as api:
        api.get("/v1/audit/export?format=xml", status=422)
