"""Making, changing and ending webhooks over the API, what of it is recorded, and where secrets are."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from act.webhooks import addresses
from act.webhooks.service import CHECKED_AT_ONCE
from tests.support import Api, Server

from .conftest import PRIVATE, Local, ask, deliveries, settled, until, webhook
from .receiver import Receiver, Reply

URL = "http://127.0.0.1:9/hook"  # where nobody listens
EVENTS = ["requested", "approved", "rejected", "expired", "redeemed"]
FIELDS = {"id", "url", "description", "events", "includeArguments", "enabled", "disabledReason", "failingSince"}
FIELDS |= {"createdAt", "updatedAt", "revision"}


def test_from_birth_to_death(api: Api) -> None:
    made = webhook(api, URL, description="the bot", events=["approval.requested", "approval.requested"])
    assert made.keys() == FIELDS | {"secret"}
    assert made["id"].startswith("whk_")
    assert made["events"] == ["approval.requested"]
    assert (made["enabled"], made["includeArguments"]) == (True, False)
    del made["secret"]
    assert api.get(f"/v1/webhooks/{made['id']}") == made
    assert api.get("/v1/webhooks")["items"] == [made]

    wanted = {"enabled": False, "description": "", "url": URL + "2", "includeArguments": True}
    changed = api.patch(f"/v1/webhooks/{made['id']}", wanted | {"events": ["approval.expired"]})
    assert changed == made | wanted | {
        "events": ["approval.expired"],
        "updatedAt": changed["updatedAt"],
        "revision": changed["revision"],
    }
    assert changed["revision"] > made["revision"]
    assert api.patch(f"/v1/webhooks/{made['id']}", {"enabled": True})["url"] == URL + "2"

    api.delete(f"/v1/webhooks/{made['id']}")
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/whd_x/resend"),
    ):
        problem = api.call(method, f"/v1/webhooks/{made['id']}{path}", {} if method == "PATCH" else None, status=404)
        assert problem["code"] == "not_found"


def test_all_events_of_approvals_by_default(api: Api) -> None:
    assert webhook(api, URL)["events"] == [f"approval.{event}" for event in EVENTS]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/url"]),
        ({"url": URL, "events": []}, ["/events"]),
        ({"url": URL, "events": ["approval.*"]}, ["/events/0"]),
        ({"url": URL, "events": ["webhook.test"]}, ["/events/0"]),
        ({"url": "", "includeArguments": "yes", "secret": "mine"}, ["/includeArguments", "/secret", "/url"]),
        ({"url": "http://127.0.0.1/" + "x" * 2048}, ["/url"]),
        ({"url": URL, "enabled": True}, ["/enabled"]),
    ],
)
def test_a_body_with_faults(api: Api, body: Any, pointers: list[str]) -> None:
    problem = api.post("/v1/webhooks", body, status=422)
    assert sorted(fault["pointer"] for fault in problem["errors"]) == pointers
    assert api.get("/v1/webhooks")["items"] == []


@pytest.mark.parametrize("name", ["url", "events", "description", "includeArguments", "enabled"])
def test_a_patch_takes_nothing_away(api: Api, name: str) -> None:
    made = webhook(api, URL)
    api.patch(f"/v1/webhooks/{made['id']}", {name: None}, status=422)
    api.patch(f"/v1/webhooks/{made['id']}", {"url": "http://user@127.0.0.1:9/"}, status=422)
    assert api.get(f"/v1/webhooks/{made['id']}")["url"] == URL


def test_twenty_are_the_most(local: Local) -> None:
    made = [webhook(local.api, URL) for _ in range(20)]
    assert local.api.post("/v1/webhooks", {"url": URL}, status=409)["code"] == "webhooks_full"
    keys = local.folder / "act.db.keys"
    assert len(list(keys.glob("whs_*"))) == 20
    local.api.delete(f"/v1/webhooks/{made[0]['id']}")
    webhook(local.api, URL)


def test_only_an_admin(server: Server, api: Api) -> None:
    key = api.key("agents", "policies", "tokens", "enforce", "approve", "audit", "analysis")["key"]
    with server.api(key) as other:
        assert other.post("/v1/webhooks", {"url": URL}, status=403)["code"] == "scope_missing"
        assert other.get("/v1/webhooks", status=403)["code"] == "scope_missing"


def test_every_change_is_recorded_without_the_path_of_the_url(local: Local) -> None:
    api = local.api
    made = webhook(api, "http://localhost:9/secret-path?token=of-the-receiver")
    api.patch(f"/v1/webhooks/{made['id']}", {"enabled": False})
    api.post(f"/v1/webhooks/{made['id']}/rotate-secret", status=200)
    api.delete(f"/v1/webhooks/{made['id']}")
    records = [item["record"] for item in api.get("/v1/audit?limit=200&order=asc")["items"]]
    mine = [record for record in records if record.get("webhookId") == made["id"]]
    assert [record["kind"] for record in mine] == [
        "webhook.created",
        "webhook.updated",
        "webhook.secret_rotated",
        "webhook.deleted",
    ]
    assert all(record["host"] == "localhost" for record in mine)
    assert [record["enabled"] for record in mine] == [True, False, False, False]
    revisions = [record["revision"] for record in mine]
    assert revisions == sorted(set(revisions))
    assert "secret-path" not in json.dumps(records)


def test_deliveries_come_in_pages_the_newest_first(local: Local) -> None:
    made = webhook(local.api, URL)
    ids = [local.api.post(f"/v1/webhooks/{made['id']}/test", status=202)["id"] for _ in range(5)]
    path, found, cursor = f"/v1/webhooks/{made['id']}/deliveries", [], None
    while True:
        page = local.api.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        found += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
        if not page["hasMore"]:
            break
    assert found == ids[::-1]


def test_disabling_ends_what_waits(local: Local) -> None:
    made = webhook(local.api, URL)
    local.api.post(f"/v1/webhooks/{made['id']}/test", status=202)
    settled(local.api, made["id"])
    local.api.patch(f"/v1/webhooks/{made['id']}", {"enabled": False})
    [delivery] = deliveries(local.api, made["id"])
    assert (delivery["status"], delivery["nextAttemptAt"]) == ("failed", None)
    path = f"/v1/webhooks/{made['id']}"
    assert local.api.post(f"{path}/test", status=409)["code"] == "webhook_disabled"
    again = f"{path}/deliveries/{delivery['id']}/resend"
    assert local.api.post(again, status=409)["code"] == "webhook_disabled"


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_signing_secrets_are_in_their_files_and_nowhere_else(tmp_path: Path) -> None:
    with Receiver() as receiver, Server(tmp_path, PRIVATE) as server:
        api = server.api()
        made = webhook(api, receiver.url)
        ask(api)
        receiver.wait(1)
        secrets = [made["secret"], api.post(f"/v1/webhooks/{made['id']}/rotate-secret", status=200)["secret"]]
        receiver.script = [Reply(500, " ".join(secrets).encode())]
        api.post(f"/v1/webhooks/{made['id']}/test", status=202)
        settled(api, made["id"])
        told = [api.client.get(f"/v1/webhooks/{made['id']}").content]
        told += [api.client.get(path).content for path in ("/v1/webhooks", f"/v1/webhooks/{made['id']}/deliveries")]
        told += [api.client.get("/v1/audit/export").content, server.log.encode()]
        server.stop()
        kept = [file for file in tmp_path.rglob("*") if file.is_file()]
        told += [file.read_bytes() for file in kept if "act.db.keys" not in str(file)]
        for secret in secrets:
            bare = secret.removeprefix("whsec_")
            forms = (bare.encode(), base64.b64decode(bare), base64.b64decode(bare).hex().encode())
            assert not any(form in content for form in forms for content in told)
            [file] = [file for file in kept if bare.encode() in file.read_bytes()]
            assert file.parent.name == "act.db.keys"
            assert file.stat().st_mode & 0o777 == 0o600
        # Nor the URL of the receiver, which may be a credential, in the log.
        assert "of-the-receiver" not in server.log


def test_with_a_master_key_the_secrets_are_encrypted(tmp_path: Path) -> None:
    master = "m" * 40
    with Receiver() as receiver:
        local = Local(tmp_path, master_key=master)
        made = webhook(local.api, receiver.url)
        [file] = (tmp_path / "act.db.keys").glob("whs_*.pem")
        assert b"ENCRYPTED" in file.read_bytes()
        assert made["secret"].removeprefix("whsec_").encode() not in file.read_bytes()
        local.stop()
        local.start()
        local.api.post(f"/v1/webhooks/{made['id']}/test", status=202)
        assert receiver.wait(1)[0].verified(made["secret"])["data"]["webhookId"] == made["id"]
        local.stop()


def test_a_secret_that_others_can_read_signs_nothing(local: Local, receiver: Receiver) -> None:
    made = webhook(local.api, receiver.url)
    [file] = (local.folder / "act.db.keys").glob("whs_*.pem")
    file.chmod(0o644)
    local.api.post(f"/v1/webhooks/{made['id']}/test", status=202)
    [attempt] = settled(local.api, made["id"])["attempts"]
    assert attempt["error"] == "secret_missing"
    file.chmod(0o600)
    file.write_text("-----BEGIN SOMETHING-----\nx\n-----END SOMETHING-----\n")
    local.clock.move(10)
    assert settled(local.api, made["id"], 2)["attempts"][1]["error"] == "secret_missing"
    assert receiver.messages == []


def test_names_that_are_not_answered_keep_nobody_waiting(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes webhooks cannot take all threads that calls have, by a name server of their own."""
    gate = threading.Event()

    def silent(host: str, port: int) -> list[str]:
        gate.wait(60)
        return ["127.0.0.1"]

    monkeypatch.setattr(addresses, "lookup", silent)
    with ThreadPoolExecutor(45) as pool:
        body = {"url": "https://hooks.example.com/"}
        making = [pool.submit(local.api.send, "POST", "/v1/webhooks", body) for _ in range(45)]
        refused = until(lambda: [one for one in making if one.done()], "a refusal")
        began = time.monotonic()
        local.api.agent()
        assert time.monotonic() - began < 20
        gate.set()
        answers = [one.result() for one in making]
    assert {answer.status_code for answer in answers} == {201, 503}
    assert sum(answer.status_code == 201 for answer in answers) <= CHECKED_AT_ONCE
    assert refused[0].result().json()["code"] == "overloaded"
    webhook(local.api, URL)  # the places are free again
