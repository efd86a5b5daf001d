"""`allowedHours` is read off the wall clock of its zone (2-semantics, "Constraints")."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.policies.hours import DAYS, Hours, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")


def hours(written: Any) -> Hours:
    parsed = parse_hours(written)
    assert isinstance(parsed, Hours), parsed
    return parsed


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("09:00-17:00 UTC", "09:00-17:00 UTC"),
        ("00:00-24:00 UTC", "00:00-24:00 UTC"),
        ("09:00-00:00 UTC", "09:00-00:00 UTC"),
        ("09:00-17:00 America/Port-au-Prince", "09:00-17:00 America/Port-au-Prince"),
        ({"from": "22:00", "to": "06:00", "timezone": "Europe/Berlin"}, "22:00-06:00 Europe/Berlin"),
        ({"from": "09:00", "to": "24:00", "timezone": "UTC", "days": ["fri", "mon"]}, "09:00-24:00 UTC on mon, fri"),
    ],
)
def test_both_forms_are_read(written: Any, text: str) -> None:
    assert hours(written).text == text


def test_a_line_and_an_object_that_say_the_same_are_equal() -> None:
    assert hours("09:00-17:00 UTC") == hours({"from": "09:00", "to": "17:00", "timezone": "UTC", "days": [*DAYS]})


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("", "not a daily window"),
        ("09:00-17:00", "not a daily window"),
        ("09:00 - 17:00 UTC", "not a daily window"),
        (" 09:00-17:00 UTC", "not a daily window"),
        ("09:00-17:00 UTC ", "not a daily window"),
        ("09:00-17:00 UTC\n", "not a time zone"),
        ("9:00-17:00 UTC", "'9:00' is not a time"),
        ("24:00-17:00 UTC", "'24:00' is not a time"),
        ("09:00-24:01 UTC", "'24:01' is not a time"),
        ("09:60-17:00 UTC", "'09:60' is not a time"),
        ("09:00:00-17:00 UTC", "'09:00:00' is not a time"),
        ("٠٩:٠٠-17:00 UTC", "is not a time"),
        ("09:00-09:00 UTC", "begins and ends at the same time"),
        ("09:00-17:00 Mars/Olympus", "not a time zone"),
        ("09:00-17:00 europe/berlin", "not a time zone"),
        ("09:00-17:00 Europe", "not a time zone"),
        ("09:00-17:00 ../../etc/passwd", "not a time zone"),
        ("09:00-17:00 /usr/share/zoneinfo/UTC", "not a time zone"),
        ("09:00-17:00 localtime", "not a time zone"),
        ("09:00-17:00 Factory", "not a time zone"),
        ("09:00-17:00 UTC+2", "not a time zone"),
        (5, "a line or an object"),
        (None, "a line or an object"),
        ({}, "no 'from'"),
        ({"from": "09:00", "to": "17:00"}, "no 'timezone'"),
        ({"from": "09:00", "to": "17:00", "timezone": "UTC", "tz": "UTC"}, "no field 'tz'"),
        ({"from": 9, "to": "17:00", "timezone": "UTC"}, "A int is not a time"),
        ({"from": "09:00", "to": None, "timezone": "UTC"}, "A NoneType is not a time"),
        ({"from": "09:00", "to": "17:00", "timezone": None}, "not a time zone"),
        ({"from": "09:00", "to": "17:00", "timezone": "UTC", "days": []}, "days is a list"),
        ({"from": "09:00", "to": "17:00", "timezone": "UTC", "days": None}, "days is a list"),
        ({"from": "09:00", "to": "17:00", "timezone": "UTC", "days": "mon"}, "days is a list"),
        ({"from": "09:00", "to": "17:00", "timezone": "UTC", "days": ["Mon"]}, "days is a list"),
        ({"from": "09:00", "to": "17:00", "timezone": "UTC", "days": ["mon", "mon"]}, "days is a list"),
        ({"from": "09:00", "to": "17:00", "timezone": "UTC", "days": [0]}, "days is a list"),
    ],
)
def test_what_is_not_a_window_is_a_fault(written: Any, named: str) -> None:
    fault = parse_hours(written)
    assert isinstance(fault, str)
    assert named in fault
    assert fault.endswith(".")


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        ("2026-11-23T08:59:59.999999+00:00", False),
        ("2026-11-23T09:00:00+00:00", True),
        ("2026-11-23T16:59:59.999999+00:00", True),
        ("2026-11-23T17:00:00+00:00", False),
        ("2026-11-23T10:00:00+02:00", False),
        ("2026-11-23T11:00:00+02:00", True),
    ],
)
def test_the_start_is_inside_and_the_end_is_not(now: str, allowed: bool) -> None:
    assert hours("09:00-17:00 UTC").allows(at(now)) is allowed


def test_an_end_at_midnight_can_be_written_in_two_ways() -> None:
    last = at("2026-11-23T23:59:59+00:00")
    for written in ("09:00-24:00 UTC", "09:00-00:00 UTC"):
        assert hours(written).allows(last)
        assert not hours(written).allows(last + timedelta(seconds=1))


def test_the_night_belongs_to_the_day_on_which_it_begins() -> None:
    night = hours({"from": "22:00", "to": "06:00", "timezone": "UTC", "days": ["mon"]})
    assert not night.allows(at("2026-11-23T05:59:00+00:00"))  # Monday morning, of Sunday's night
    assert night.allows(at("2026-11-23T22:00:00+00:00"))
    assert night.allows(at("2026-11-24T05:59:59+00:00"))  # Tuesday morning
    assert not night.allows(at("2026-11-24T06:00:00+00:00"))
    assert not night.allows(at("2026-11-24T22:00:00+00:00"))
    sunday = hours({"from": "22:00", "to": "06:00", "timezone": "UTC", "days": ["sun"]})
    assert sunday.allows(at("2026-11-23T05:59:00+00:00"))


def test_the_day_is_that_of_the_zone_not_of_utc() -> None:
    monday = hours({"from": "00:00", "to": "24:00", "timezone": "Pacific/Auckland", "days": ["mon"]})
    assert monday.allows(at("2026-11-22T12:00:00+00:00"))  # already Monday there
    assert not monday.allows(at("2026-11-23T12:00:00+00:00"))


def test_a_window_in_the_hour_that_is_skipped_is_closed_that_day() -> None:
    skipped = hours("02:00-03:00 Europe/Berlin")
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert not any(skipped.allows(start + timedelta(minutes=m)) for m in range(24 * 60 - 60))
    assert skipped.allows(at("2026-03-30T00:30:00+00:00"))


def test_a_window_in_the_hour_that_is_repeated_is_open_both_times() -> None:
    repeated = hours("02:00-03:00 Europe/Berlin")
    for offset in ("+02:00", "+01:00"):
        assert repeated.allows(at(f"2026-10-25T02:30:00{offset}"))
    assert not repeated.allows(at("2026-10-25T03:00:00+01:00"))


def test_a_time_without_a_zone_is_inside_no_window() -> None:
    assert not hours("00:00-24:00 UTC").allows(datetime(2026, 11, 23, 12))


@given(
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.none() | st.sets(st.sampled_from(DAYS), min_size=1),
    st.integers(0, 366 * 24 * 60),
)
def test_a_window_is_the_minutes_that_follow_its_start(
    start: int, end: int, days: set[str] | None, minute: int
) -> None:
    """Held against the clock on the wall: an open minute is less than the window's length after a start."""
    written = {"from": f"{start // 60:02}:{start % 60:02}", "to": f"{end // 60:02}:{end % 60:02}", "timezone": "UTC"}
    if days is not None:
        written["days"] = sorted(days)  # type: ignore[assignment]
    parsed = parse_hours(written)
    if start == end:
        assert isinstance(parsed, str)
        return
    assert isinstance(parsed, Hours)
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    begun = now.replace(hour=0, minute=0) + timedelta(minutes=start)
    if begun > now:
        begun -= timedelta(days=1)
    length = timedelta(minutes=(end - start) % 1440 or 1440)
    on_a_day = days is None or DAYS[begun.weekday()] in days
    assert parsed.allows(now) is (on_a_day and now - begun < length)


@given(st.text(max_size=40) | st.dictionaries(st.sampled_from(["from", "to", "timezone", "days"]), st.text(max_size=8)))
def test_no_text_breaks_the_reader(written: Any) -> None:
    assert isinstance(parse_hours(written), Hours | str)
