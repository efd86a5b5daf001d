"""`actctl webhooks`: a webhook's life, and telling a person whether messages arrive."""

from __future__ import annotations

import stat
from collections.abc import Iterator

import pytest

from tests.support import ADMIN_KEY, Server
from tests.webhooks.conftest import PRIVATE
from tests.webhooks.receiver import Receiver, Reply

from .conftest import Ctl


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), PRIVATE) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_a_webhook_from_birth_to_death(ctl: Ctl, receiver: Receiver) -> None:
    made = ctl.json("webhooks", "create", receiver.url, "--event", "approval.expired", "--description", "the bot")
    id = made["id"]
    assert made["events"] == ["approval.expired"]
    shown = ctl.json("webhooks", "show", id)
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert shown in ctl.json("webhooks", "list")
    assert made["secret"] not in ctl("webhooks", "show", id).ok().out

    changed = ctl.json("webhooks", "update", id, "--include-arguments", "--disable", "--event", "approval.approved")
    assert (changed["enabled"], changed["includeArguments"], changed["events"]) == (False, True, ["approval.approved"])
    assert ctl.json("webhooks", "update", id, "--enable")["includeArguments"] is True
    assert ctl.json("webhooks", "update", id, "--to", receiver.url + "2")["url"] == receiver.url + "2"
    assert ctl("webhooks", "update", id).code == 2

    assert ctl("webhooks", "delete", id).code == 2, "there is no terminal to ask at"
    assert ctl.json("webhooks", "delete", id, "--yes") == {"id": id, "deleted": True}
    gone = ctl("webhooks", "show", id)
    assert (gone.code, "not_found" in gone.err) == (1, True)


def test_a_test_tells_how_it_went_and_can_be_sent_again(ctl: Ctl, receiver: Receiver) -> None:
    made = ctl.json("webhooks", "create", receiver.url)
    tried = ctl("webhooks", "test", made["id"]).ok()
    assert "succeeded" in tried.out
    [message] = receiver.wait(1)
    assert message.verified(made["secret"])["type"] == "webhook.test"
    [delivery] = ctl.json("webhooks", "deliveries", made["id"])
    assert (delivery["id"], delivery["status"]) == (message.id, "succeeded")
    assert ctl.json("webhooks", "resend", made["id"], delivery["id"])["id"] == message.id
    assert receiver.wait(2)[1].id == message.id

    receiver.script = [Reply(500, b"we are closed")]
    failed = ctl("webhooks", "test", made["id"])
    assert failed.code == 1
    assert "we are closed" in failed.err
    assert "500 in " in failed.out


def test_a_secret_goes_into_a_file_of_its_owner(ctl: Ctl, receiver: Receiver) -> None:
    run = ctl("webhooks", "create", receiver.url, "--save", "hook.secret").ok()
    file = ctl.folder / "hook.secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = file.read_text().strip()
    assert secret.startswith("whsec_")
    assert secret not in run.out + run.err
    [made] = [one for one in ctl.json("webhooks", "list") if one["url"] == receiver.url]
    rotated = ctl("webhooks", "rotate-secret", made["id"], "--save", "new.secret").ok()
    assert "old secret until" in rotated.out.lower()
    ctl("webhooks", "test", made["id"]).ok()
    [message] = receiver.wait(1)
    assert message.verified(secret) == message.verified((ctl.folder / "new.secret").read_text().strip())


def test_a_url_that_is_a_secret_comes_from_stdin(ctl: Ctl, receiver: Receiver) -> None:
    """Of other processes everybody sees the arguments."""
    made = ctl.json("webhooks", "create", "-", stdin=f"{receiver.url}\n")
    assert made["url"] == receiver.url
    changed = ctl.json("webhooks", "update", made["id"], "--to", "-", stdin=f"{receiver.url}2\n")
    assert changed["url"] == f"{receiver.url}2"


def test_where_nothing_may_be_sent(ctl: Ctl) -> None:
    for url in ("http://user@127.0.0.1:9/", "ftp://127.0.0.1/", "not a url"):
        run = ctl("webhooks", "create", url)
        assert (run.code, run.out) == (1, "")
        assert "/url: Nothing can be sent to this URL: " in run.err


def test_a_key_without_the_scope(ctl: Ctl, server: Server) -> None:
    with server.api(ADMIN_KEY) as api:
        key = api.key("approve")["key"]
    run = ctl("webhooks", "list", ACT_API_KEY=key)
    assert run.code == 1
    assert "scope_missing" in run.err
