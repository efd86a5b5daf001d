"""What leaves the log: nothing in it is run by whoever opens it, no line is two, what broke off comes to its end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from act import Act
from act.audit import service
from act.audit.formats import COLUMNS, csv_line
from act.audit.service import AuditService
from act.cli import export as exports
from act.client.embedded import URL
from tests.attacks.log import judge, keep
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, Server

HOSTILE = [
    "=cmd|' /C calc'!A0",
    'x;=HYPERLINK("http://evil.example")',
    'x;"=1+1"',
    "x\t@SUM(A1)",
    "x\n=1",
    "x\r\n-1",
    "\ufeff=1",
    ' "=1',
    "\x00=1",
    "\uff1d1",
    'x"}}\n{"index":0,"leafHash":"00"',
    "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "data: x\n\nid: 9999",
]
PIECES = [*"=+-@;,\t\r\n\"' \x00\ufeff\uff1d|x1", "\r\n", '""', ";="]


def formulas(line: str, delimiter: str) -> list[str]:
    """The cells that a program which takes this delimiter would run."""
    cells = [cell for row in csv.reader(io.StringIO(line, newline=""), delimiter=delimiter) for cell in row]
    return [cell for cell in cells if cell.lstrip(' \t\r\n\x00\ufeff"')[:1] in tuple("=+-@\uff1d")]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@example('x\n"\n=1')
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_no_program_finds_a_formula(delimiter: str, text: str) -> None:
    line = csv_line({"index": 1, "reason": text, "action": text}, "00", json.dumps({"x": text})).decode()
    assert formulas(line, delimiter) == []


def test_a_formula_would_be_found() -> None:
    assert formulas('1,x,"=1"', ",") == ["=1"]
    assert formulas('1,"x;=1"', ";") == ['=1"']


@dataclass(frozen=True)
class Told:
    """A log in which every text is hostile."""

    api: Api
    texts: list[str]
    indexes: list[int]


@pytest.fixture(scope="module")
def told(server: Server) -> Iterator[Told]:
    with server.api() as api:
        agent = api.agent()
        api.policy(["run"], appliesTo={"agentIds": [agent]})
        token, indexes = api.token(agent), list[int]()
        for text in HOSTILE:
            context = {"conversationId": text}
            asked = api.enforce(token, text, text, requester=text, context=context, arguments={text: text})
            assert asked["decision"] == "denied"
            indexes.append(asked["audit"]["index"])
            asked = api.enforce(token, "run", "x", arguments={text: text}, context=context)
            assert asked["reasonCode"] == "allowed"
            indexes.append(asked["audit"]["index"])
        yield Told(api, [text for text in HOSTILE for _ in range(2)], indexes)


def exported(told: Told, form: str) -> str:
    answer = told.api.client.get(f"/v1/audit/export?format={form}&begin={min(told.indexes)}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_csv_of_hostile_texts(told: Told) -> None:
    text = exported(told, "csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert all(row.keys() == set(COLUMNS) for row in rows)
    assert {int(row["index"]) for row in rows} >= set(told.indexes)
    for delimiter in ",;\t":
        assert formulas(text, delimiter) == []


def test_a_line_of_ocsf_is_one_event_for_every_program(told: Told) -> None:
    events = [json.loads(line) for line in exported(told, "ocsf").splitlines()]
    found = {event["metadata"]["sequence"]: event for event in events}
    assert len(found) == len(events)
    for text, index in zip(told.texts, told.indexes, strict=True):
        assert found[index]["unmapped"]["conversationId"] == text
        record = told.api.get(f"/v1/audit/{index}")["record"]
        assert found[index]["unmapped"] == record
        if record["decision"] == "allowed":
            assert found[index]["api"]["request"]["data"] == {text: text}


def test_json_lines_and_events_end_at_line_feeds_alone(told: Told) -> None:
    lines = {found["index"]: found for line in exported(told, "jsonl").split("\n") if "index" in (found := _read(line))}
    for text, index in zip(told.texts, told.indexes, strict=True):
        assert lines[index]["record"]["conversationId"] == text
    assert judge(told.api, keep(told.api)).ok
    first = min(told.indexes)
    heard = told.api.client.get(f"/v1/events?limit={len(told.indexes)}", headers={"Last-Event-ID": str(first - 1)})
    events = [event.split("\n") for event in heard.content.decode().split("\n\n") if event]
    assert {len(event) for event in events} == {3}, "id, event and data, and nothing that a text has added"
    assert [int(event[0].removeprefix("id: ")) for event in events] == list(range(first, first + len(events)))
    with Act(str(told.api.client.base_url), ADMIN_KEY) as act:
        seen = {line.index: line for line in act.audit.export()}
    assert [seen[index].record["conversationId"] for index in told.indexes] == told.texts


def _read(line: str) -> Any:
    return json.loads(line) if line else {}


# --- broken off ---


def test_an_export_that_breaks_off_at_any_byte_comes_to_the_same_end(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    try:
        token = node.api.token(node.api.agent())
        for text in ("\u2028", "x\n=1"):
            node.api.enforce(token, text, "y", arguments={"é": text})
        file, partial = tmp_path / "log.jsonl", tmp_path / "log.jsonl.partial"
        act = Act(URL, ADMIN_KEY, transport=node.api.client._transport)
        exports.to_file(act, file)
        whole = file.read_bytes()
        file.unlink()
        # About each end of a line, and in the middle of lines and of characters; every byte takes a minute.
        ends = [at + 1 for at, byte in enumerate(whole) if byte == 0x0A]
        places = {at + by for at in (0, *ends[-4:]) for by in (-1, 0, 1, 12)} | set(range(0, len(whole), 601))
        places |= {whole.rfind("\u2028".encode()) + by for by in (1, 2)}
        for at in sorted(places & set(range(len(whole)))):
            partial.write_bytes(whole[:at])
            exports.resume(act, file)
            assert file.read_bytes() == whole, at
            file.unlink()
    finally:
        node.close()


@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf"])
def test_a_key_that_is_revoked_gets_no_more_of_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Whoever has stolen it may read slowly. What it got says by its end that it is cut off."""
    node = InProcess(tmp_path)
    try:
        key, rows = node.api.key("audit"), AuditService.rows
        thief = Api(URL, key["key"], node.api.client._transport)
        whole = thief.send("GET", f"/v1/audit/export?format={form}").content.splitlines()

        def revoking(*of: Any) -> Iterator[Any]:
            for number, row in enumerate(rows(*of)):
                if number == 2:
                    node.api.delete(f"/v1/api-keys/{key['id']}", status=200)
                yield row

        monkeypatch.setattr(service, "GATHERED", 1)  # so that every line is sent by itself
        monkeypatch.setattr(AuditService, "rows", revoking)
        cut = thief.send("GET", f"/v1/audit/export?format={form}")
        assert (cut.status_code, cut.content.splitlines()) == (200, whole[: 3 if form == "csv" else 2])
        assert thief.get(f"/v1/audit/export?format={form}", status=401)["code"] == "api_key_invalid"
    finally:
        node.close()
