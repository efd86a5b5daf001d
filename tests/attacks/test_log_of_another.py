"""Two tenants, each with a log and archives: neither reads, erases, resumes or guesses anything of the other."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest

from act import Act
from act.cli.verify import verified
from act.cli.witness import Witness
from tests.attacks.conftest import OTHER_KEY, OTHER_TENANT
from tests.attacks.log import export, keep
from tests.attacks.raw import exchange, head
from tests.attacks.surface import new_world
from tests.audit.old_records import TENANT, fill
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, Server

DAY = 86_400
TEXT = "marigold of the first tenant"


@dataclass(frozen=True)
class Two:
    """The first 512 records of `api`'s log are in an archive; `stranger` has a few records, and archives none."""

    server: Server
    api: Api
    stranger: Api
    token: str
    index: int
    """A record of the first tenant beside which arguments are kept."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    made = InProcess(folder, datetime.now(UTC) - timedelta(days=30))  # so that the first records are old, too
    made.node.tenant_service.create_tenant(OTHER_TENANT, "Other", OTHER_KEY)
    made.close()
    fill(folder / "act.db", 600)
    with Server(folder, {"ACT_WEBHOOK_ALLOW_PRIVATE": "true"}) as server, server.api() as api:
        assert api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]["end"] == 512
        world = new_world(api)
        context = {"conversationId": "of-the-first"}
        asked = api.enforce(world.token, "run", "x", arguments={"note": TEXT}, context=context)
        with server.api(OTHER_KEY) as stranger:
            yield Two(server, api, stranger, world.token, asked["audit"]["index"])


def all_of(two: Two) -> Any:
    """What the first tenant has; nothing that a stranger does changes it."""
    archives = two.api.get("/v1/audit/archives")
    return export(two.api), archives["items"][0]["sha256"], two.api.get(f"/v1/audit/{two.index}")["arguments"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/audit/{index}", 404, "not_found"),
        ("/v1/audit/1", 200, None),  # its own
        ("/v1/audit/511", 404, "not_found"),
        ("/v1/audit/export?begin=0", 200, None),
        ("/v1/audit/export?begin={index}", 422, "document_invalid"),
        ("/v1/audit/tile/entries/000", 404, "not_found"),
        ("/v1/audit/tile/0/001", 404, "not_found"),
        ("/v1/audit/tile/1/000.p/1", 404, "not_found"),
        ("/v1/audit/proof/inclusion?index={index}", 404, "not_found"),
        ("/v1/audit/proof/inclusion?index=0&size={index}", 404, "not_found"),
        ("/v1/audit/proof/consistency?first=1&second={index}", 404, "not_found"),
        ("/v1/audit/archives", 200, None),
        ("/v1/audit?conversation=of-the-first", 200, None),
        ("/v1/audit?kind=audit.archived", 200, None),
        ("/v1/audit?begin=0&order=asc&resource=api%3A%2F%2F*", 200, None),
    ],
)
def test_what_is_there_for_the_one_is_not_there_for_the_other(
    two: Two, path: str, status: int, code: str | None
) -> None:
    answer = two.stranger.send("GET", path.format(index=two.index))
    assert answer.status_code == status
    if code is not None:
        assert answer.json()["code"] == code
    for word in (TEXT, TENANT, "jsonl.gz", "of-the-first"):
        assert word not in answer.text


def test_no_path_leads_to_a_file(two: Two) -> None:
    """No route serves archives; and what a path is made of is made of checked parts."""
    name = two.api.get("/v1/audit/archives")["items"][0]["file"]
    for path in (
        f"/v1/audit/archives/{name}",
        f"/v1/audit/archives/..%2f{name}",
        f"/v1/audit/tile/entries/../../../{name}",
        f"/v1/audit/tile/..%2f..%2f{name.replace('/', '%2f')}",
        f"/v1/audit/tile/%2e%2e/{name}",
        f"/v1/audit/tile//{name}",
        "/v1/audit/tile/entries/x000/000",
        "/v1/audit/tile/entries/000.p/1/../../000.p/1",
    ):
        for key in (ADMIN_KEY, OTHER_KEY):  # by hand: a client would tidy the path up
            answer = exchange(two.server.url, head("GET", path, f"X-Api-Key: {key}", "Connection: close"))
            assert answer.status in (404, 422), path
            assert answer.json()["code"] in ("not_found", "document_invalid")
    for body in ({"file": "../x"}, {"olderThan": DAY, "tenantId": TENANT}, {"olderThan": DAY, "folder": "/"}):
        assert two.stranger.post("/v1/audit/archives", body, status=422)["code"] == "document_invalid"
    assert two.stranger.post("/v1/audit/archives", {"olderThan": DAY}) == {"archive": None, "hasMore": False}


def test_nobody_erases_or_seals_what_another_has(two: Two) -> None:
    auditor = two.api.key("audit")["key"]
    before = all_of(two)
    agent, key = two.api.get(f"/v1/audit/{two.index}")["record"]["agentId"], {"Idempotency-Key": uuid4().hex}
    stranger = two.stranger
    problem = stranger.post(f"/v1/audit/{two.index}/erase", {"reason": "r"}, status=404)
    assert problem["code"] == "not_found"
    for body in ({"agentId": agent}, {"before": "2100-01-01T00:00:00Z"}, {"agentId": agent, "begin": two.index}):
        assert stranger.post("/v1/audit/erase", body | {"reason": "r"}, status=200)["erased"] == 0
    body = {"agentId": agent, "reason": "r"}
    asked = stranger.post("/v1/audit/erase", body, status=200, headers=key)
    with two.server.api(auditor) as reader:
        assert reader.post("/v1/audit/erase", body, status=403, headers=key)["code"] == "scope_missing"
        assert reader.post("/v1/audit/archives", {"olderThan": DAY}, status=403)["code"] == "scope_missing"
    assert all_of(two) == before
    # Nor is the answer that another tenant was given under the same key given again.
    mine = two.api.post("/v1/audit/erase", body | {"before": "2000-01-01T00:00:00Z"}, status=200, headers=key)
    assert (asked["erased"], mine["erased"]) == (0, 0)
    assert all_of(two) == before


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def test_a_cursor_is_a_place_and_opens_nothing(two: Two) -> None:
    """Of another tenant, or of another query, or made up: it narrows what the caller may see anyhow."""
    path = "/v1/audit?limit=1&order=asc&conversation=of-the-first"
    page = two.api.get("/v1/audit?limit=1")
    for made in (page["nextCursor"], cursor(str(two.index - 1)), cursor("0")):
        for query in ("", "&order=asc", "&agent=agt_0", "&kind=decision", "&conversation=of-the-first"):
            found = two.stranger.get(f"/v1/audit?limit=200{query}&cursor={made}")["items"]
            assert {item["record"]["tenantId"] for item in found} <= {OTHER_TENANT}
        found = two.api.get(f"{path}&cursor={made}")["items"]
        assert {item["record"]["conversationId"] for item in found} <= {"of-the-first"}
        assert len(found) == (made != cursor(str(two.index)) and made != page["nextCursor"])
    for made in (cursor("agt_x"), cursor("-1"), cursor("5 OR 1=1"), cursor("9" * 16), cursor("\u0663")):
        problem = two.stranger.get("/v1/audit", params={"cursor": made}, status=422)
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("document_invalid", "/cursor")
    for path in ("/v1/audit/archives", "/v1/agents", "/v1/webhooks", "/v1/approvals"):
        for made in (page["nextCursor"], cursor("0"), cursor("agt_")):
            answer = two.stranger.send("GET", path, params={"cursor": made})
            assert answer.status_code == 200 or answer.json()["code"] == "document_invalid"
            assert TENANT not in answer.text


def test_a_deliverys_place_is_of_its_webhook(two: Two) -> None:
    mine = two.api.post("/v1/webhooks", {"url": "http://127.0.0.1:9/"})["id"]
    theirs = two.stranger.post("/v1/webhooks", {"url": "http://127.0.0.1:9/"})["id"]
    delivery = two.api.post(f"/v1/webhooks/{mine}/test", status=202)["id"]
    for hook in (mine, theirs):
        path = f"/v1/webhooks/{hook}/deliveries/{delivery}/resend"
        assert two.stranger.post(path, status=404)["code"] == "not_found"
    assert two.stranger.get(f"/v1/webhooks/{mine}/deliveries", status=404)["code"] == "not_found"
    params = {"cursor": cursor(f"{delivery}z")}
    assert two.stranger.get(f"/v1/webhooks/{theirs}/deliveries", params=params)["items"] == []


@pytest.mark.parametrize("last", ["-1", "0", "{before}", "{index}", "9007199254740992"])
def test_who_listens_hears_only_the_own_log(two: Two, last: str) -> None:
    headers = {"Last-Event-ID": last.format(index=two.index, before=two.index - 1)}
    size = two.stranger.get("/v1/audit/checkpoint")["size"]
    begin = min(int(headers["Last-Event-ID"]), size - 1) + 1
    with two.stranger.client.stream("GET", f"/v1/events?limit={size - begin + 1}", headers=headers) as heard:
        assert heard.status_code == 200
        two.api.enforce(two.token, "run", "x", arguments={"note": TEXT})
        with two.server.api(OTHER_KEY) as another:
            another.agent()
        events = [event.split("\n") for event in heard.read().decode().split("\n\n") if event]
    assert [int(event[0].removeprefix("id: ")) for event in events] == list(range(begin, size + 1))
    assert {json.loads(event[2].removeprefix("data: "))["tenantId"] for event in events} == {OTHER_TENANT}


def test_what_is_archived_is_told_to_its_own_tenant(two: Two) -> None:
    assert two.api.get("/v1/events?limit=1", headers={"Last-Event-ID": "3"}, status=410)["code"] == "archived"


@pytest.mark.parametrize("scope", ["admin", "audit", "enforce", "approve", "tokens"])
def test_what_reads_the_log_is_the_scope_audit_alone(two: Two, scope: str) -> None:
    with two.server.api(two.stranger.key(scope)["key"]) as caller:
        for path in ("", "/1", "/archives", "/checkpoint", "/export", "/tile/0/000.p/1", "/proof/inclusion?index=0"):
            answer = caller.send("GET", f"/v1/audit{path}")
            assert answer.status_code == (200 if scope in ("admin", "audit") else 403)
            assert answer.status_code == 200 or answer.json()["code"] == "scope_missing"
        answer = caller.send("GET", "/v1/events?limit=0", headers={"Last-Event-ID": "0"})
        assert answer.status_code == 200 if scope in ("admin", "audit") else answer.json()["code"] == "scope_missing"


def test_a_log_is_not_taken_for_that_of_another(two: Two, tmp_path: Path) -> None:
    mine, theirs = keep(two.api), keep(two.stranger)
    assert mine.key != theirs.key
    assert verified(io.BytesIO(export(two.stranger)), {"kept": theirs.note}, theirs.key).ok
    for note, key in ((mine.note, theirs.key), (theirs.note, mine.key), (mine.note, mine.key)):
        assert not verified(io.BytesIO(export(two.stranger)), {"kept": note}, key).ok
    with Act(two.server.url, OTHER_KEY) as act, Act(two.server.url, ADMIN_KEY) as other:
        with pytest.raises(click.ClickException):
            Witness(tmp_path / "first", "w", mine.key).look(act)
        witness = Witness(tmp_path / "second", "w", None)
        assert witness.look(act) is not None
        with pytest.raises(click.ClickException):
            witness.look(other)
    assert not [path for path in (tmp_path / "first").iterdir() if path.suffix == ".note"]
