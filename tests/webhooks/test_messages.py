"""What receivers get: every step of an approval, signed, and nothing more than they should know."""

from __future__ import annotations

import base64
import re

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from tests.support import Api

from .conftest import Local, ask, settled, until, webhook
from .receiver import Message, Receiver


def types(messages: list[Message]) -> list[str]:
    return [message.json["type"] for message in messages]


def test_a_question_and_its_answer_are_told_and_signed(api: Api, receiver: Receiver) -> None:
    made = webhook(api, receiver.url)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", made["secret"])
    decision = ask(api)
    [asked] = receiver.wait(1)
    payload = asked.verified(made["secret"])
    assert payload.keys() == {"type", "timestamp", "data"}
    assert payload["type"] == "approval.requested"
    shown = api.get(f"/v1/approvals/{decision['approval']['id']}")
    assert payload["data"] == {
        "approvalId": shown["id"],
        "status": "pending",
        "agentId": shown["agentId"],
        "agentName": shown["agentName"],
        "requesterId": None,
        "action": "send",
        "resourceId": "mail://ann",
        "policies": shown["policies"],
        "approversNeeded": 1,
        "approvedBy": [],
        "reason": None,
        "expiresAt": shown["expiresAt"],
        "tenantId": "default-tenant",
    }
    assert asked.headers["content-type"] == "application/json"
    assert asked.path == "/hook?token=of-the-receiver"

    api.post(f"/v1/approvals/{shown['id']}/approve", {"reason": "fine"}, status=200)
    approved = receiver.wait(2)[1].verified(made["secret"])
    assert (approved["type"], approved["data"]["status"]) == ("approval.approved", "approved")
    assert approved["data"]["reason"] == "fine"
    assert [vote["keyName"] for vote in approved["data"]["approvedBy"]] == ["admin"]

    decision["caller"].enforce(decision["token"], "send", "mail://ann", arguments={"text": "hello"})
    redeemed = receiver.wait(3)[2].verified(made["secret"])
    assert (redeemed["type"], redeemed["data"]["status"]) == ("approval.redeemed", "redeemed")


def test_every_yes_is_told_and_a_no_with_its_reason(api: Api, receiver: Receiver) -> None:
    webhook(api, receiver.url)
    decision = ask(api, approvers=2)
    id = decision["approval"]["id"]
    api.post(f"/v1/approvals/{id}/approve", {}, status=200)
    first = receiver.wait(2)[1]
    assert (first.json["type"], first.data["status"], first.data["approversNeeded"]) == (
        "approval.approved",
        "pending",
        2,
    )
    api.post(f"/v1/approvals/{id}/reject", {"reason": "too much"}, status=200)
    no = receiver.wait(3)[2]
    assert (no.json["type"], no.data["status"], no.data["reason"]) == ("approval.rejected", "rejected", "too much")


def test_an_end_of_time_is_told(local: Local, receiver: Receiver) -> None:
    webhook(local.api, receiver.url)
    ask(local.api, expires_in=60)
    receiver.wait(1)
    local.clock.move(61)
    messages = receiver.wait(2)
    assert types(messages) == ["approval.requested", "approval.expired"]
    assert messages[1].data["status"] == "expired"


def test_arguments_go_only_where_they_are_wanted(api: Api, receiver: Receiver) -> None:
    with Receiver() as other:
        webhook(api, receiver.url)
        webhook(api, other.url, includeArguments=True)
        ask(api)
        assert "arguments" not in receiver.wait(1)[0].data
        assert b"hello" not in receiver.messages[0].body
        assert other.wait(1)[0].data["arguments"] == {"text": "hello"}


def test_what_looks_like_a_token_or_key_is_not_told(api: Api, receiver: Receiver) -> None:
    webhook(api, receiver.url, includeArguments=True)
    agent = api.agent()
    api.policy(["send"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": True})
    token, key = api.token(agent), api.key("audit")["key"]
    api.enforce(token, "send", "mail://ann", arguments={"token": token, "text": f"use {key}, please"})
    [message] = receiver.wait(1)
    assert message.data["arguments"] == {"token": "[secret]", "text": "use [secret], please"}


def test_only_the_events_that_were_chosen(api: Api, receiver: Receiver) -> None:
    webhook(api, receiver.url, events=["approval.rejected"])
    id = ask(api)["approval"]["id"]
    api.post(f"/v1/approvals/{id}/reject", {"reason": "no"}, status=200)
    assert types(receiver.wait(1)) == ["approval.rejected"]


def test_nothing_is_written_when_nobody_listens(local: Local, receiver: Receiver) -> None:
    made = webhook(local.api, receiver.url, events=["approval.rejected"])
    ask(local.api)
    other = webhook(local.api, receiver.url)
    local.api.patch(f"/v1/webhooks/{other['id']}", {"enabled": False})
    ask(local.api)
    for id in (made["id"], other["id"]):
        assert local.api.get(f"/v1/webhooks/{id}/deliveries")["items"] == []


def test_another_tenant_hears_nothing(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> None:
    local = Local(tmp_path_factory.mktemp("two"))
    try:
        key = local.node.tenant_service.create_tenant("other", "Other")
        other = Api(str(local.api.client.base_url), key, local.api.client._transport)
        mine = webhook(local.api, receiver.url)
        theirs = webhook(other, receiver.url)
        ask(local.api)
        receiver.wait(1)
        settled(local.api, mine["id"])
        assert other.get(f"/v1/webhooks/{theirs['id']}/deliveries")["items"] == []
        assert len(receiver.messages) == 1
    finally:
        local.stop()


# --- signatures -------------------------------------------------------------------------------------------------------


def test_a_changed_message_is_refused_by_the_library(api: Api, receiver: Receiver) -> None:
    made = webhook(api, receiver.url)
    api.post(f"/v1/webhooks/{made['id']}/test", status=202)
    [message] = receiver.wait(1)
    good = Webhook(made["secret"])
    assert good.verify(message.body, message.headers)["type"] == "webhook.test"
    changed = [
        (message.body.replace(b"webhook.test", b"webhook.tesT"), message.headers),
        (message.body, message.headers | {"webhook-id": message.id[:-1] + "x"}),
        (message.body, message.headers | {"webhook-timestamp": str(int(message.headers["webhook-timestamp"]) + 1)}),
    ]
    for body, headers in changed:
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            good.verify(body, headers)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(base64.b64encode(bytes(32)).decode()).verify(message.body, message.headers)


def test_a_new_secret_signs_and_the_old_one_for_a_day(local: Local, receiver: Receiver) -> None:
    made = webhook(local.api, receiver.url)
    rotated = local.api.post(f"/v1/webhooks/{made['id']}/rotate-secret", status=200)
    assert rotated["secret"] != made["secret"]
    local.api.post(f"/v1/webhooks/{made['id']}/test", status=202)
    [both] = receiver.wait(1)
    assert len(both.headers["webhook-signature"].split()) == 2
    assert both.verified(made["secret"]) == both.verified(rotated["secret"])

    keys = local.folder / "act.db.keys"
    assert len(list(keys.glob("whs_*.pem"))) == 2
    local.clock.move(24 * 3600)
    local.api.post(f"/v1/webhooks/{made['id']}/test", status=202)
    one = receiver.wait(2)[1]
    assert len(one.headers["webhook-signature"].split()) == 1
    until(lambda: len(list(keys.glob("whs_*.pem"))) == 1, "the old secret to be deleted")
    # A day later than the receiver believes, so the library is asked about the signature alone.
    at = local.clock.now()
    assert one.headers["webhook-signature"] == Webhook(rotated["secret"]).sign(one.id, at, one.body.decode())


def test_the_secrets_of_a_third_rotation_push_out_the_oldest(local: Local, receiver: Receiver) -> None:
    made = webhook(local.api, receiver.url)
    for _ in range(4):
        local.api.post(f"/v1/webhooks/{made['id']}/rotate-secret", status=200)
        local.clock.move(1)
    local.api.post(f"/v1/webhooks/{made['id']}/test", status=202)
    [message] = receiver.wait(1)
    assert len(message.headers["webhook-signature"].split()) == 3
    assert len(list((local.folder / "act.db.keys").glob("whs_*.pem"))) == 3
