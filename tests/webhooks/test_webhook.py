"""The pure part: signatures, schedules, and what follows from an attempt."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from act.webhooks.webhook import (
    GIVES_UP_AFTER,
    MAX_ANSWER,
    MAX_RETRY_AFTER,
    OVERLAP,
    Attempt,
    Following,
    Schedule,
    Secret,
    Webhook,
    error_of,
    following,
    headers,
    in_use,
    payload,
    retry_after,
    rotated,
    shown,
)

NOW = datetime(2026, 11, 22, 18, 0, 0, 900_000, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FAILED = Attempt(NOW, 12, 500, "status")
SCHEDULE = Schedule((5, 60), jitter=0.2)


def test_the_example_of_the_specification() -> None:
    """The worked example in the text of Standard Webhooks."""
    body = '{"test": 2432232314}'
    at = datetime.fromtimestamp(1614265330, UTC)
    assert headers("msg_p5jXN8AQM9LWM0D4loKWxJek", body, [SECRET], at) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_timestamp_is_the_second_that_was_signed() -> None:
    made = headers("whd_1", "{}", [SECRET], NOW)
    assert made["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert made["webhook-signature"] == Verifier(SECRET).sign("whd_1", NOW.replace(microsecond=0), "{}")


def test_who_hears() -> None:
    webhook = Webhook("whk_1", "t", "https://x.example/credential", frozenset(["a"]), False, True, ())
    assert webhook.hears("a")
    assert not webhook.hears("b")
    assert not replace(webhook, enabled=False).hears("a")
    assert "credential" not in repr(webhook)


def test_a_payload_has_the_arguments_only_when_they_are_wanted() -> None:
    data = {"status": "pending", "arguments": {"x": "ü\ud800"}}
    assert json.loads(payload("e", NOW, data, include_arguments=False)) == {
        "type": "e",
        "timestamp": "2026-11-22T18:00:00.900Z",
        "data": {"status": "pending"},
    }
    assert json.loads(payload("e", NOW, data, include_arguments=True))["data"] == data


# --- secrets ---


def test_a_secret_that_was_replaced_signs_for_a_day() -> None:
    both = rotated([Secret("old")], "new", NOW)
    assert both == (Secret("new"), Secret("old", NOW + OVERLAP))
    assert in_use(both, NOW + OVERLAP - timedelta(microseconds=1)) == both
    assert in_use(both, NOW + OVERLAP) == (Secret("new"),)
    assert in_use(reversed(both), NOW) == both, "the current one comes first"


def test_a_later_rotation_gives_no_secret_more_time() -> None:
    hour = timedelta(hours=1)
    first = rotated([Secret("a")], "b", NOW)
    second = rotated(first, "c", NOW + hour)
    assert second == (Secret("c"), Secret("b", NOW + hour + OVERLAP), Secret("a", NOW + OVERLAP))
    third = rotated(second, "d", NOW + 2 * hour)
    assert [secret.id for secret in third] == ["d", "c", "b"]
    assert rotated(second, "d", NOW + OVERLAP) == (
        Secret("d"),
        Secret("c", NOW + 2 * OVERLAP),
        Secret("b", NOW + hour + OVERLAP),
    )


# --- what comes back ---


@pytest.mark.parametrize(
    ("status", "error"),
    [(200, None), (204, None), (299, None), (199, "status"), (300, "redirect"), (304, "redirect"), (399, "redirect"),
     (400, "status"), (410, "status"), (500, "status"), (999, "status")],
)  # fmt: skip
def test_only_2xx_is_a_success(status: int, error: str | None) -> None:
    assert error_of(status) == error


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("3600", 3600.0),
        ("86400", MAX_RETRY_AFTER),
        ("9999999999", MAX_RETRY_AFTER),
        ("99999999999", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 18:01:00 GMT", 59.1),
        ("Sun, 22 Nov 2026 18:01:00 -0000", 59.1),
        ("Sun, 22 Nov 2026 17:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2037 17:00:00 GMT", MAX_RETRY_AFTER),
        ("Sun, 99 Nov 2026 18:01:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    found = retry_after(value, NOW)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(st.text())
def test_retry_after_is_never_an_accident(value: str) -> None:
    found = retry_after(value, NOW)
    assert found is None or 0 <= found <= MAX_RETRY_AFTER


def test_what_is_shown_of_an_answer() -> None:
    assert shown(b"\xff" + b"x" * 500, []) == "\ufffd" + "x" * (MAX_ANSWER - 1)
    assert shown(f"{SECRET} {SECRET[6:]} whsec_other+/==".encode(), [SECRET]) == "[secret] [secret] [secret]"
    # What stands across the place of the cut is taken out before.
    assert SECRET[6:16] not in shown(b"x" * 190 + SECRET.encode(), [])


# --- what follows ---


def test_a_success_ends_it() -> None:
    done = Attempt(NOW, 12, 204)
    assert following(done, 3, NOW - timedelta(days=9), SCHEDULE, 0.5) == Following("succeeded", None, None)


def test_failures_are_tried_again_as_the_schedule_says() -> None:
    first = following(FAILED, 1, None, SCHEDULE, 0.0)
    assert first == Following("pending", NOW + timedelta(seconds=5), NOW)
    before = NOW - timedelta(hours=1)
    assert following(FAILED, 2, before, SCHEDULE, 1.0) == Following("pending", NOW + timedelta(seconds=72), before)
    assert following(FAILED, 3, before, SCHEDULE, 0.0) == Following("failed", None, before)


def test_a_receiver_may_ask_for_later_and_not_for_earlier() -> None:
    assert following(replace(FAILED, retry_after=30.0), 1, None, SCHEDULE, 0.0).next_at == NOW + timedelta(seconds=30)
    assert following(replace(FAILED, retry_after=1.0), 1, None, SCHEDULE, 0.0).next_at == NOW + timedelta(seconds=5)
    assert following(replace(FAILED, retry_after=30.0), 3, None, SCHEDULE, 0.0).status == "failed"


def test_who_is_gone_is_disabled() -> None:
    gone = replace(FAILED, status=410)
    assert following(gone, 1, None, SCHEDULE, 0.0) == Following("failed", None, NOW, "gone")


def test_five_days_of_failures_disable_at_the_end_of_a_delivery() -> None:
    since = NOW - GIVES_UP_AFTER
    assert following(FAILED, 3, since, SCHEDULE, 0.0) == Following("failed", None, since, "failing")
    assert following(FAILED, 3, since + timedelta(microseconds=1), SCHEDULE, 0.0).disabled is None
    # One that fails for the first time again after long silence has all its tries first.
    assert following(FAILED, 1, since, SCHEDULE, 0.0).disabled is None


def test_the_schedule_of_the_documentation() -> None:
    schedule = Schedule()
    assert [schedule.pause(tries, None, 0.0) for tries in range(1, 9)] == [
        5, 60, 300, 1800, 7200, 18000, 36000, None,
    ]  # fmt: skip
    assert schedule.pause(1, None, 1.0) == 6.0
