"""`actctl webhooks`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from act.cli.command import Group, confirm, wants_json, yes_option
from act.cli.connection import connected
from act.cli.output import Column, print_json, print_list, print_one, say
from act.cli.secrets import issue

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import Delivery, IssuedWebhook, Webhook, WebhookSecretRotated

EVENTS = ("approval.requested", "approval.approved", "approval.rejected", "approval.expired", "approval.redeemed")
WAIT_SECONDS = 15.0
"""For so long `test` waits for the first attempt."""

_SHORT: list[Column[Webhook]] = [
    ("id", lambda webhook: webhook.id),
    ("url", lambda webhook: webhook.url),
    ("events", lambda webhook: webhook.events),
    ("enabled", lambda webhook: webhook.enabled),
    ("failing since", lambda webhook: webhook.failing_since),
]
_LONG: list[Column[Webhook]] = [
    ("id", lambda webhook: webhook.id),
    ("url", lambda webhook: webhook.url),
    ("description", lambda webhook: webhook.description),
    ("events", lambda webhook: webhook.events),
    ("arguments", lambda webhook: webhook.include_arguments),
    ("enabled", lambda webhook: webhook.enabled),
    ("disabled because", lambda webhook: webhook.disabled_reason),
    ("failing since", lambda webhook: webhook.failing_since),
    ("created", lambda webhook: webhook.created_at),
    ("updated", lambda webhook: webhook.updated_at),
]
_ISSUED: list[Column[IssuedWebhook]] = [
    ("id", lambda webhook: webhook.id),
    ("url", lambda webhook: webhook.url),
    ("events", lambda webhook: webhook.events),
]
_ROTATED: list[Column[WebhookSecretRotated]] = [
    ("id", lambda rotated: rotated.id),
    ("old secret until", lambda rotated: rotated.previous_until),
]
_DELIVERIES: list[Column[Delivery]] = [
    ("id", lambda delivery: delivery.id),
    ("event", lambda delivery: delivery.event),
    ("status", lambda delivery: delivery.status),
    ("attempts", lambda delivery: len(delivery.attempts)),
    ("last", lambda delivery: _last(delivery)),
    ("next attempt", lambda delivery: delivery.next_attempt_at),
    ("created", lambda delivery: delivery.created_at),
]


def _last(delivery: Delivery) -> str | None:
    """How the last attempt went, in a few words."""
    if not delivery.attempts:
        return None
    last = delivery.attempts[-1]
    said = " ".join(str(part) for part in (last.status, last.error) if part is not None and part != "status")
    return f"{said} in {last.duration_ms} ms"


@click.group(cls=Group)
def webhooks() -> None:
    """Which programs are told of what happens.

    Messages are signed as Standard Webhooks. These commands need a key with the scope admin.
    """


@webhooks.command("list")
def list_webhooks() -> None:
    """All webhooks."""
    with connected() as act:
        print_list(act.webhooks.list(), _SHORT, nothing="No webhooks; `actctl webhooks create URL` makes one.")


@webhooks.command()
@click.argument("to", metavar="URL")
@click.option("--event", "events", type=click.Choice(EVENTS), multiple=True, help="May be repeated.  [default: all]")
@click.option("--description", default="")
@click.option("--include-arguments", is_flag=True, help="Send the arguments of what is asked as well.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the secret there, mode 0600.")
def create(to: str, events: tuple[str, ...], description: str, include_arguments: bool, save: Path | None) -> None:
    """Tell a URL of events. The signing secret is shown now and never again.

    A URL that is a secret itself is better read from stdin, with - in its place: arguments are seen by all processes.

    \b
    Example:
      actctl webhooks create https://hooks.example.com/act --event approval.requested --save hook.secret
    """
    with connected() as act:
        more: dict[str, Any] = {"description": description, "include_arguments": include_arguments}
        url = _url(to)
        issue(lambda: act.webhooks.create(url, events or None, **more), "secret", _ISSUED, save)


def _url(given: str) -> str:
    """A URL as it was given, or the one line on stdin."""
    return sys.stdin.readline().strip() if given == "-" else given


@webhooks.command()
@click.argument("id")
def show(id: str) -> None:
    """One webhook."""
    with connected() as act:
        print_one(act.webhooks.get(id), _LONG)


@webhooks.command()
@click.argument("id")
@click.option("--to", metavar="URL", help="Send there from now on; - reads it from stdin.")
@click.option("--event", "events", type=click.Choice(EVENTS), multiple=True, help="Takes the place of all events.")
@click.option("--description")
@click.option("--include-arguments/--no-arguments", default=None, help="Whether the arguments are sent as well.")
@click.option("--enable/--disable", "enabled", default=None, help="Disabling ends what waits to be sent.")
def update(
    id: str,
    to: str | None,
    events: tuple[str, ...],
    description: str | None,
    include_arguments: bool | None,
    enabled: bool | None,
) -> None:
    """Change a webhook. What is not named stays."""
    given = {
        "url": None if to is None else _url(to),
        "events": list(events) or None,
        "description": description,
        "include_arguments": include_arguments,
        "enabled": enabled,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Say what to change, for example --enable.")
    with connected() as act:
        print_one(act.webhooks.update(id, **changes), _LONG)


@webhooks.command()
@click.argument("id")
@yes_option
def delete(id: str, yes: bool) -> None:
    """Delete a webhook, its deliveries and its secret."""
    confirm(f"Delete the webhook {id}?", yes)
    with connected() as act:
        act.webhooks.delete(id)
    say(f"Deleted the webhook {id}.")
    if wants_json():
        print_json({"id": id, "deleted": True})


@webhooks.command("rotate-secret")
@click.argument("id")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the secret there, mode 0600.")
def rotate_secret(id: str, save: Path | None) -> None:
    """Sign with a new secret. The old one signs too for 24 hours."""
    with connected() as act:
        issue(lambda: act.webhooks.rotate_secret(id), "secret", _ROTATED, save)


@webhooks.command()
@click.argument("id")
def test(id: str) -> None:
    """Send the event webhook.test and tell how it went.

    Ends with 1 when the first attempt fails.
    """
    with connected() as act:
        found = _tried(act, id, act.webhooks.test(id))
    print_one(found, _DELIVERIES)
    if found.status != "succeeded":
        answer = found.attempts[-1].answer if found.attempts else ""
        raise click.ClickException(f"It was not accepted. {answer}".rstrip())


def _tried(act: Act, id: str, delivery: Delivery) -> Delivery:
    """The delivery after its first attempt, or as it is when that takes too long."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not delivery.attempts and time.monotonic() < deadline:
        time.sleep(0.2)
        delivery = next((one for one in act.webhooks.deliveries(id) if one.id == delivery.id), delivery)
    return delivery


@webhooks.command()
@click.argument("id")
def deliveries(id: str) -> None:
    """What was sent and what waits, the newest first.

    Finished deliveries are kept for 7 days.
    """
    with connected() as act:
        print_list(act.webhooks.deliveries(id), _DELIVERIES, nothing="Nothing was sent in the last 7 days.")


@webhooks.command()
@click.argument("id")
@click.argument("delivery")
def resend(id: str, delivery: str) -> None:
    """Send a message again, under the id it had."""
    with connected() as act:
        print_one(act.webhooks.resend(id, delivery), _DELIVERIES)
