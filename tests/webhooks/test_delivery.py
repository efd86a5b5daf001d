"""At least once, whatever the receiver does, and never at the cost of anybody else."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from act.webhooks import sender
from act.webhooks.webhook import MAX_ANSWER
from tests.support import Api, Server

from .conftest import PRIVATE, Local, ask, deliveries, settled, until, webhook
from .receiver import Receiver, Reply


def sent(local_or_api: Local | Api, webhook_id: str) -> Any:
    api = local_or_api.api if isinstance(local_or_api, Local) else local_or_api
    return api.post(f"/v1/webhooks/{webhook_id}/test", status=202)


def test_a_failure_is_tried_again_with_the_same_id(local: Local) -> None:
    with Receiver(Reply(500, b"not now"), Reply(503), Reply(204, b"")) as receiver:
        made = webhook(local.api, receiver.url)
        put_out = sent(local, made["id"])
        assert (put_out["status"], put_out["attempts"]) == ("pending", [])
        after_one = settled(local.api, made["id"])
        assert after_one["status"] == "pending"
        assert local.api.get(f"/v1/webhooks/{made['id']}")["failingSince"] is not None
        local.clock.move(4.9)
        time.sleep(0.6)
        assert len(receiver.messages) == 1, "five seconds are not over"
        local.clock.move(1.2)
        receiver.wait(2)
        settled(local.api, made["id"], 2)
        local.clock.move(73)
        third = receiver.wait(3)[2]
        done = settled(local.api, made["id"], 3)
        assert len({message.id for message in receiver.messages} | {put_out["id"], done["id"]}) == 1
        assert len({message.body for message in receiver.messages}) == 1
        assert third.verified(made["secret"])["type"] == "webhook.test"
        assert [(a["status"], a["error"], a["answer"]) for a in done["attempts"]] == [
            (500, "status", "not now"),
            (503, "status", "thanks"),
            (204, None, ""),
        ]
        assert all(0 <= a["durationMs"] < 10_000 for a in done["attempts"])
        assert (done["status"], done["nextAttemptAt"]) == ("succeeded", None)
        assert local.api.get(f"/v1/webhooks/{made['id']}")["failingSince"] is None


def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    with Receiver(Reply(500), Reply(200)) as receiver, Server(tmp_path, PRIVATE) as server:
        made = webhook(server.api(), receiver.url)
        id = ask(server.api())["approval"]["id"]
        settled(server.api(), made["id"])
        server.kill()
        assert len(receiver.messages) == 1
        server.start()
        again = receiver.wait(2)[1]
        assert again.id == receiver.messages[0].id
        assert again.verified(made["secret"])["data"]["approvalId"] == id
        assert again.at - receiver.messages[0].at >= 5
        assert settled(server.api(), made["id"], 2)["status"] == "succeeded"


def test_what_was_under_way_when_the_process_died_is_sent_again(tmp_path: Path) -> None:
    with Receiver(Reply(200, delay=60), Reply(200)) as receiver, Server(tmp_path, PRIVATE) as server:
        made = webhook(server.api(), receiver.url)
        sent(server.api(), made["id"])
        receiver.wait(1)
        server.kill()
        server.start()
        first, second = receiver.wait(2)[:2]
        assert first.id == second.id
        assert settled(server.api(), made["id"])["status"] == "succeeded"


def test_a_server_that_is_told_to_stop_does_not_wait_for_receivers(tmp_path: Path) -> None:
    with Receiver(Reply(200, delay=60), Reply(200)) as receiver, Server(tmp_path, PRIVATE) as server:
        made = webhook(server.api(), receiver.url)
        sent(server.api(), made["id"])
        receiver.wait(1)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 9  # waiting for the receiver takes ten
        assert "Traceback" not in server.log
        server.start()
        receiver.wait(2)


def test_the_last_try_ends_it(local: Local) -> None:
    with Receiver(Reply(500)) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        for attempts, pause in enumerate((5, 60, 300, 1800, 7200, 18000, 36000), 1):
            waiting = settled(local.api, made["id"], attempts)
            assert waiting["status"] == "pending"
            local.clock.move(pause * 1.2 + 1)
        failed = settled(local.api, made["id"], 8)
        assert (failed["status"], failed["nextAttemptAt"]) == ("failed", None)
        assert local.api.get(f"/v1/webhooks/{made['id']}")["enabled"] is True


def test_five_days_of_failures_disable_it_and_are_recorded(local: Local) -> None:
    with Receiver(Reply(500)) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        settled(local.api, made["id"])
        local.clock.move(timedelta(days=5).total_seconds())
        for attempts in range(2, 8):
            settled(local.api, made["id"], attempts)
            assert local.api.get(f"/v1/webhooks/{made['id']}")["enabled"] is True
            local.clock.move(50_000)
        settled(local.api, made["id"], 8)
        found = local.api.get(f"/v1/webhooks/{made['id']}")
        assert (found["enabled"], found["disabledReason"]) == (False, "failing")
        [record] = local.api.get("/v1/audit?kind=webhook.disabled")["items"]
        assert (record["record"]["webhookId"], record["record"]["reason"]) == (made["id"], "failing")
        assert local.api.post(f"/v1/webhooks/{made['id']}/test", status=409)["code"] == "webhook_disabled"

        receiver.script = [Reply(200)]
        enabled = local.api.patch(f"/v1/webhooks/{made['id']}", {"enabled": True})
        assert (enabled["enabled"], enabled["disabledReason"], enabled["failingSince"]) == (True, None, None)
        sent(local, made["id"])
        assert settled(local.api, made["id"])["status"] == "succeeded"


def test_gone_disables_at_once_and_ends_what_waits(local: Local) -> None:
    with Receiver(Reply(500), Reply(410)) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        settled(local.api, made["id"])
        sent(local, made["id"])
        until(lambda: not local.api.get(f"/v1/webhooks/{made['id']}")["enabled"], "the webhook to be disabled")
        assert local.api.get(f"/v1/webhooks/{made['id']}")["disabledReason"] == "gone"
        assert [(d["status"], d["nextAttemptAt"]) for d in deliveries(local.api, made["id"])] == [("failed", None)] * 2
        local.clock.move(10)
        time.sleep(0.6)
        assert len(receiver.messages) == 2
        assert len(local.api.get("/v1/audit?kind=webhook.disabled")["items"]) == 1


def test_the_receiver_may_ask_for_more_time_up_to_an_hour(local: Local) -> None:
    with Receiver(Reply(503, headers={"retry-after": "120"}), Reply(503, headers={"retry-after": "86400"})) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        settled(local.api, made["id"])
        local.clock.move(119)
        time.sleep(0.6)
        assert len(receiver.messages) == 1
        local.clock.move(1)
        settled(local.api, made["id"], 2)
        local.clock.move(3599)
        time.sleep(0.6)
        assert len(receiver.messages) == 2
        local.clock.move(1)
        receiver.wait(3)


def test_a_redirect_is_not_followed(local: Local) -> None:
    with Receiver() as elsewhere, Receiver(Reply(302, headers={"location": elsewhere.url})) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        [attempt] = settled(local.api, made["id"])["attempts"]
        assert (attempt["status"], attempt["error"]) == (302, "redirect")
        assert elsewhere.messages == []


def test_nobody_listens_there(local: Local) -> None:
    with Receiver() as receiver:
        url = receiver.url
    made = webhook(local.api, url)
    sent(local, made["id"])
    [attempt] = settled(local.api, made["id"])["attempts"]
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (None, "connect_failed", "")


def test_of_a_long_answer_little_is_read_and_less_is_kept(local: Local) -> None:
    with Receiver(Reply(400, b"x" * 50_000_000)) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        [attempt] = settled(local.api, made["id"])["attempts"]
        assert attempt["status"] == 400
        assert attempt["answer"] == "x" * MAX_ANSWER
        assert attempt["durationMs"] < 5_000


def test_secrets_in_an_answer_are_not_kept(local: Local) -> None:
    with Receiver() as receiver:
        made = webhook(local.api, receiver.url)
        secret, key = made["secret"], local.api.key("audit")["key"]
        said = f"got {secret} and {secret.removeprefix('whsec_')}, key {key}, \x1b[31m red, end"
        receiver.script = [Reply(400, said.encode())]
        sent(local, made["id"])
        [attempt] = settled(local.api, made["id"])["attempts"]
        assert attempt["answer"] == "got [secret] and [secret], key [secret], \x1b[31m red, end"


def test_who_drips_is_cut_off(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.node._sender._post, "_seconds", 2.0)
    with Receiver(Reply(500, b"x" * 1000, drip=0.1), Reply(500, delay=60)) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        [attempt] = settled(local.api, made["id"])["attempts"]
        assert (attempt["status"], attempt["error"]) == (500, "status")
        assert attempt["durationMs"] < 9_000  # and not the 100 s that the whole answer takes
        monkeypatch.setattr(local.node._sender._post, "_seconds", 0.5)
        local.clock.move(10)
        attempt = settled(local.api, made["id"], 2)["attempts"][1]
        assert (attempt["status"], attempt["error"]) == (None, "timeout")
        assert attempt["durationMs"] < 9_000


def test_a_slow_receiver_holds_up_no_decision_and_no_other_receiver(api: Api, server: Server) -> None:
    with Receiver(Reply(200, delay=60)) as slow, Receiver() as quick:  # of which ten are waited for
        webhook(api, slow.url)
        webhook(api, quick.url)
        agent = api.agent()
        rule = {"requiresApproval": True}
        api.policy(["send"], ["*"], appliesTo={"agentIds": [agent]}, constraints=rule)
        token = api.token(agent)
        began = time.monotonic()
        for number in range(10):
            api.enforce(token, "send", f"mail://{number}")
        messages = quick.wait(10, 9)
        assert time.monotonic() - began < 9
        assert [message.data["resourceId"] for message in messages] == [f"mail://{number}" for number in range(10)]
        assert len(slow.messages) <= sender.PER_WEBHOOK


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_tenant_with_slow_receivers_does_not_use_up_the_turns_of_others(
    local: Local, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Nor where all that is under way ends at the same time, which one at once always does."""
    monkeypatch.setattr(sender, "AT_ONCE", at_once)
    key = local.node.tenant_service.create_tenant("other", "Other")
    other = Api(str(local.api.client.base_url), key, local.api.client._transport)
    with Receiver(Reply(200, delay=1.0)) as slow, Receiver() as quick:
        for _ in range(2):
            made = webhook(local.api, slow.url)
            for _ in range(5):
                sent(local, made["id"])
        others = webhook(other, quick.url)["id"]  # the last of them, which no order of theirs prefers
        slow.wait(at_once)
        sent(other, others)
        asked = time.monotonic()
        served = quick.wait(1)[0].at
        # Of the eight or nine that are left. What came earlier or later, for the machine was slow, does not count.
        before_it = sum(asked < message.at < served for message in slow.messages)
        assert before_it <= 2 * at_once, "the other is next, or nearly"


def test_a_message_is_sent_again_when_a_person_says_so(local: Local) -> None:
    with Receiver() as receiver:
        made = webhook(local.api, receiver.url)
        first = sent(local, made["id"])
        assert settled(local.api, made["id"])["status"] == "succeeded"
        again = local.api.post(f"/v1/webhooks/{made['id']}/deliveries/{first['id']}/resend", status=202)
        assert (again["id"], again["status"]) == (first["id"], "pending")
        assert {message.id for message in receiver.wait(2)} == {first["id"]}
        assert len(settled(local.api, made["id"], 2)["attempts"]) == 2
        path = f"/v1/webhooks/{made['id']}/deliveries"
        assert local.api.post(f"{path}/whd_x/resend", status=404)["code"] == "not_found"
        other = webhook(local.api, receiver.url)
        wrong = f"/v1/webhooks/{other['id']}/deliveries/{first['id']}/resend"
        assert local.api.post(wrong, status=404)["code"] == "not_found"


def test_finished_deliveries_are_kept_for_a_week(local: Local) -> None:
    with Receiver() as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        settled(local.api, made["id"])
        local.clock.move(6.9 * 86400)
        time.sleep(1.5)
        assert len(deliveries(local.api, made["id"])) == 1
        local.clock.move(0.2 * 86400)
        until(lambda: not deliveries(local.api, made["id"]), "the delivery to be forgotten")
        assert len(receiver.messages) == 1


def test_a_result_that_cannot_be_written_is_no_end(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "HOLD_SECONDS", 0.1)
    results = local.node._sender._attempted
    failures = [OSError("disk full")]

    def failing(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        results(*arguments)

    monkeypatch.setattr(local.node._sender, "_attempted", failing)
    with Receiver() as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        assert len({message.id for message in receiver.wait(2)}) == 1
        assert settled(local.api, made["id"])["status"] == "succeeded"


def test_nothing_is_sent_after_the_end(local: Local) -> None:
    with Receiver(Reply(500)) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        settled(local.api, made["id"])
        local.api.delete(f"/v1/webhooks/{made['id']}")
        local.clock.move(100)
        time.sleep(0.6)
        assert len(receiver.messages) == 1
        with closing(sqlite3.connect(local.folder / "act.db")) as connection:
            assert connection.execute("SELECT count(*) FROM webhook_deliveries").fetchone() == (0,)
            assert connection.execute("SELECT count(*) FROM webhooks").fetchone() == (0,)
        assert list((local.folder / "act.db.keys").glob("whs_*")) == []


def test_a_lost_secret_stops_messages_and_not_decisions(tmp_path: Path) -> None:
    with Receiver() as receiver, Server(tmp_path, PRIVATE) as server:
        made = webhook(server.api(), receiver.url)
        for file in (tmp_path / "act.db.keys").glob("whs_*.pem"):
            file.unlink()
        server.restart()
        api = server.api()
        assert ask(api)["decision"] == "pending_approval"
        [attempt] = settled(api, made["id"])["attempts"]
        assert (attempt["status"], attempt["error"]) == (None, "secret_missing")
        api.post(f"/v1/webhooks/{made['id']}/rotate-secret", status=200)
        assert receiver.messages == []


def test_the_body_is_compact_json(local: Local, receiver: Receiver) -> None:
    made = webhook(local.api, receiver.url)
    sent(local, made["id"])
    body = receiver.wait(1)[0].body
    assert json.dumps(json.loads(body), separators=(",", ":")).encode() == body


def test_an_answer_that_cannot_be_read_is_not_asked_for_again_and_again(
    local: Local, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr("act.webhooks.post.shown", broken)
    made = webhook(local.api, receiver.url)
    sent(local, made["id"])
    receiver.wait(1)
    time.sleep(1.0)
    assert len(receiver.messages) == 1
    assert deliveries(local.api, made["id"])[0]["status"] == "pending"


def test_an_answer_made_to_be_looked_through_for_long_holds_up_nobody(local: Local) -> None:
    """What is kept of an answer has no secrets in it, and looking for them takes no time that grows with its square."""
    with Receiver(Reply(500, b"eyJ" * 5_400)) as receiver:
        made = webhook(local.api, receiver.url)
        sent(local, made["id"])
        [attempt] = settled(local.api, made["id"])["attempts"]
        assert attempt["answer"].startswith("eyJeyJ")
        assert attempt["durationMs"] < 5_000


def test_an_argument_made_to_be_looked_through_for_long_holds_up_nobody(local: Local, receiver: Receiver) -> None:
    """The payload is made while decisions wait for the commit."""
    made = webhook(local.api, receiver.url, includeArguments=True, events=["approval.requested"])
    agent = local.api.agent()
    rule = {"approvers": 1, "expiresIn": 900}
    local.api.policy(["send"], ["mail://*"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": rule})
    token = local.api.token(agent)
    began = time.monotonic()
    text = "eyJ" * 70_000
    decision = local.api.enforce(token, "send", "mail://ann", arguments={"text": text})
    assert decision["decision"] == "pending_approval"
    assert time.monotonic() - began < 15.0
    assert receiver.wait(1)[0].data["arguments"] == {"text": text}
    assert settled(local.api, made["id"])["status"] == "succeeded"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nx: " + b"y" * 1000 + b"\r\n\r\n",
    ],
)
def test_a_receiver_that_never_stops_answering_is_heard_no_further(local: Local, answer: bytes) -> None:
    """Reading it for the whole ten seconds would take the time from decisions."""
    heard: list[int] = []

    def run(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        with connection, suppress(OSError):
            connection.recv(65_536)
            heard.append(0)
            while True:
                heard[0] += connection.send(answer * 1000)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=run, args=(listener,), daemon=True).start()
        made = webhook(local.api, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        sent(local, made["id"])
        [attempt] = settled(local.api, made["id"])["attempts"]
    assert (attempt["status"], attempt["error"]) == (None, "protocol_error")
    assert attempt["durationMs"] < 5_000
    assert heard
