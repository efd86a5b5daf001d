"""Webhooks: who is told of what, and how the telling went."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from act.models.base import Answer, Moment, Request, Text

WebhookEvent = Literal[
    "approval.requested", "approval.approved", "approval.rejected", "approval.expired", "approval.redeemed"
]
WEBHOOK_EVENTS: Final[tuple[WebhookEvent, ...]] = get_args(WebhookEvent)

DeliveryStatus = Literal["pending", "succeeded", "failed"]
DeliveryError = Literal[
    "address_blocked",
    "host_unknown",
    "connect_failed",
    "tls_failed",
    "timeout",
    "protocol_error",
    "redirect",
    "status",
    "secret_missing",
    "internal",
]

_Url = Annotated[str, Field(min_length=1, max_length=2048)]
_Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WEBHOOK_EVENTS))]


class WebhookCreate(Request):
    """Tell `url` of `events`. The arguments of what is asked go along only with `include_arguments`."""

    url: _Url
    events: _Events = list(WEBHOOK_EVENTS)
    description: Text = ""
    include_arguments: bool = False


class WebhookPatch(Request):
    """Change what is named; leave the rest."""

    url: _Url | None = None
    events: _Events | None = None
    description: Text | None = None
    include_arguments: bool | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{to_camel(name)} cannot be null; leave it out to keep it")
        return self


class Webhook(Answer):
    """`failing_since` is the first of the failures that no success has followed yet.

    `disabled_reason` is there when ACT disabled the webhook itself: `gone` (the receiver answered 410) or `failing`.
    """

    id: str
    url: str
    description: str
    events: list[str]
    include_arguments: bool
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None
    failing_since: Moment | None
    created_at: Moment
    updated_at: Moment
    revision: int


class IssuedWebhook(Webhook):
    """The only answer that ever carries the first signing secret."""

    secret: Annotated[str, Field(repr=False)]


class WebhookSecretRotated(Answer):
    """The only answer that ever carries the new secret. The one before signs too until `previous_until`."""

    id: str
    secret: Annotated[str, Field(repr=False)]
    previous_until: Moment
    revision: int


class DeliveryAttempt(Answer):
    """One request: the status that came back, or the error why none did that counts.

    `answer` is the begin of what the receiver answered, without secrets.
    """

    at: Moment
    status: int | None
    error: DeliveryError | None
    answer: str
    duration_ms: int


class Delivery(Answer):
    """One event on its way to one webhook. `id` is the `webhook-id` of every attempt."""

    id: str
    webhook_id: str
    event: str
    status: DeliveryStatus
    attempts: list[DeliveryAttempt]
    next_attempt_at: Moment | None
    created_at: Moment
    finished_at: Moment | None
