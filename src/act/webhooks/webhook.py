"""Webhooks as values, pure: who hears of what, what is sent, and what follows from an attempt (docs/webhooks.md).

Messages and signatures are those of Standard Webhooks 1.0.0 (standardwebhooks.com).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from standardwebhooks import Webhook as Signer

from act.models import DeliveryError, DeliveryStatus, rfc3339
from act.text import without_secrets

TEST: Final = "webhook.test"
MAX_ANSWER: Final = 200
"""So many characters of an answer are kept."""
MAX_RETRY_AFTER: Final = 3600.0
GIVES_UP_AFTER: Final = timedelta(days=5)
OVERLAP: Final = timedelta(hours=24)
"""For so long a secret that was replaced signs too."""
MAX_SECRETS: Final = 3

_SIGNING_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
_SECONDS = re.compile(r"[0-9]{1,10}")

DisabledReason = Literal["gone", "failing"]


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret by the id of its file; `until` is None for the current one."""

    id: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook. Its URL may hold a credential, so no repr shows it."""

    id: str
    tenant_id: str
    url: str = field(repr=False)
    events: frozenset[str]
    include_arguments: bool
    enabled: bool
    secrets: tuple[Secret, ...]

    def hears(self, event: str) -> bool:
        return self.enabled and event in self.events


def in_use(secrets: Iterable[Secret], now: datetime) -> tuple[Secret, ...]:
    """The secrets that sign at `now`, the current one first."""
    good = [secret for secret in secrets if secret.until is None or now < secret.until]
    return tuple(sorted(good, key=lambda secret: secret.until is not None))


def rotated(secrets: Iterable[Secret], new: str, now: datetime) -> tuple[Secret, ...]:
    """`new` becomes the current secret; the one before signs too for 24 hours. Three are the most."""
    until = now + OVERLAP
    before = [Secret(secret.id, secret.until or until) for secret in in_use(secrets, now)]
    newest = sorted(before, key=lambda secret: secret.until or until, reverse=True)
    return (Secret(new), *newest[: MAX_SECRETS - 1])


# --- what is sent -----------------------------------------------------------------------------------------------------


def payload(event: str, at: datetime, data: Mapping[str, Any], *, include_arguments: bool) -> str:
    """The body of a message as JSON text, in which nothing looks like one of our tokens or keys.

    Args:
        data: what happened; its `arguments` are left out unless they are wanted.
    """
    told = {name: value for name, value in data.items() if include_arguments or name != "arguments"}
    # In ASCII, so that no text of the data can fail to be encoded.
    body = json.dumps({"type": event, "timestamp": rfc3339(at), "data": told}, separators=(",", ":"), allow_nan=False)
    return without_secrets(body)


def headers(id: str, body: str, secrets: Iterable[str], now: datetime) -> dict[str, str]:
    """The headers that identify and sign a message; one signature for each secret (`whsec_...`)."""
    signatures = [Signer(secret).sign(id, now, body) for secret in secrets]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


# --- what comes back --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and its end: `status` when one came, `error` when it is no success.

    `retry_after` is how many seconds the receiver asked to wait.
    """

    at: datetime
    duration_ms: int
    status: int | None = None
    error: DeliveryError | None = None
    answer: str = ""
    retry_after: float | None = None


def error_of(status: int) -> DeliveryError | None:
    """Why a status is no success; None for 2xx."""
    if 200 <= status < 300:
        return None
    return "redirect" if 300 <= status < 400 else "status"


def shown(answer: bytes, secrets: Iterable[str]) -> str:
    """What is kept of an answer: its begin, without anything that looks like a secret or is one of these."""
    text = answer.decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, "[secret]").replace(secret.removeprefix("whsec_"), "[secret]")
    return without_secrets(_SIGNING_SECRET.sub("[secret]", text))[:MAX_ANSWER]


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that the header `Retry-After` asks for (RFC 9110, section 10.2.3), an hour at most; None without one."""
    if not value:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


# --- what follows -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds between the attempts, each made longer at random by up to `jitter` of itself."""

    pauses: tuple[float, ...] = (5, 60, 300, 1800, 7200, 18000, 36000)
    jitter: float = 0.2

    def pause(self, tries: int, asked: float | None, chance: float) -> float | None:
        """Seconds until the next attempt after `tries` of them; None when that was the last.

        Args:
            asked: what the receiver asked for; it is never tried earlier than that.
            chance: a number from 0 to 1.
        """
        if tries > len(self.pauses):
            return None
        return max(self.pauses[tries - 1] * (1 + self.jitter * chance), asked or 0.0)


@dataclass(frozen=True, slots=True)
class Following:
    """What follows from an attempt, for its delivery and for its webhook."""

    status: DeliveryStatus
    next_at: datetime | None
    failing_since: datetime | None
    disabled: DisabledReason | None = None


def following(
    attempt: Attempt, tries: int, failing_since: datetime | None, schedule: Schedule, chance: float
) -> Following:
    """What follows from the attempt that is number `tries` of its delivery.

    A receiver that answers 410 is gone. One whose deliveries fail for good after 5 days without any success is
    taken for gone.
    """
    if attempt.error is None:
        return Following("succeeded", None, None)
    since = failing_since or attempt.at
    if attempt.status == 410:
        return Following("failed", None, since, "gone")
    pause = schedule.pause(tries, attempt.retry_after, chance)
    if pause is not None:
        return Following("pending", attempt.at + timedelta(seconds=pause), since)
    return Following("failed", None, since, "failing" if attempt.at - since >= GIVES_UP_AFTER else None)
