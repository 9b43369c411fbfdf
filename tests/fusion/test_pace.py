"""When the portal may be visited: hours as people write them, and a bounded pace."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fusion.pace import Hours, Pace, windows

NEW_YORK = ZoneInfo("America/New_York")
CLINIC = Hours(
    open=windows("mon-fri 07:00-19:00, sat 8:00-12:00"), maintenance=windows("2026-12-01 12:00-13:00"), zone=NEW_YORK
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-11-24 07:00", None),  # a Tuesday
        ("2026-11-24 18:59", None),
        ("2026-11-24 19:00", "2026-11-25 07:00"),
        ("2026-11-24 06:59", "2026-11-24 07:00"),
        ("2026-11-27 20:00", "2026-11-28 08:00"),
        ("2026-11-28 12:00", "2026-11-30 07:00"),
        ("2026-12-01 12:30", "2026-12-01 13:00"),
    ],
)
def test_the_clinics_week(moment: str, until: str | None) -> None:
    closed = CLINIC.closed(at(moment))
    assert (closed.until if closed else None) == (at(until) if until else None)


def test_it_says_why_and_until_when_by_the_clinics_clock() -> None:
    closed = CLINIC.closed(at("2026-11-28 12:00").astimezone(UTC))
    assert closed is not None
    assert closed.why == "the clinic's hours are over until Mon 2026-11-30 07:00 EST"
    closed = CLINIC.closed(at("2026-12-01 12:30"))
    assert closed is not None
    assert closed.why == "the portal is under maintenance until Tue 2026-12-01 13:00 EST"


def test_maintenance_that_ends_when_the_clinic_is_closed_leads_to_its_morning() -> None:
    hours = Hours(open=CLINIC.open, maintenance=windows("tue 18:00-23:00"), zone=NEW_YORK)
    closed = hours.closed(at("2026-11-24 18:30"))
    assert closed is not None
    assert closed.until == at("2026-11-25 07:00")


def test_a_range_may_go_over_midnight_and_over_the_end_of_the_week() -> None:
    hours = Hours(open=windows("sat-mon 22:00-02:00"), zone=UTC)
    inside = [day for day in range(22, 30) if hours.closed(datetime(2026, 11, day, 1, tzinfo=UTC)) is None]
    assert inside == [22, 23, 24, 29]  # Sunday, Monday, Tuesday, Sunday


def test_hours_are_the_clocks_when_it_is_changed() -> None:
    """On 2026-11-01 New York's clocks go back: seven o'clock is an hour later in UTC."""
    hours = Hours(open=windows("sat-sun 07:00-19:00"), zone=NEW_YORK)
    assert hours.closed(datetime(2026, 10, 31, 11, 30, tzinfo=UTC)) is None
    closed = hours.closed(datetime(2026, 11, 1, 11, 30, tzinfo=UTC))
    assert closed is not None
    assert closed.until == datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def test_without_hours_it_is_always_open() -> None:
    assert Hours().closed(datetime(2026, 11, 24, 3, tzinfo=UTC)) is None


@pytest.mark.parametrize("text", ["9-5", "mon 07:00", "mun 07:00-08:00", "mon 07:00-25:00", "2026-13-01 07:00-08:00"])
def test_what_is_not_understood_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        windows(f"tue 07:00-08:00, {text}")


def test_visits_come_at_once_up_to_the_burst_and_then_at_the_pace() -> None:
    now = [0.0]
    pace = Pace(30, burst=3, clock=lambda: now[0])
    waits = []
    for _ in range(6):
        waits.append(pace.due_in())
        now[0] += pace.due_in()
        pace.took()
    assert waits == [0, 0, 0, 2, 2, 2]
    now[0] += timedelta(minutes=10).total_seconds()
    assert pace.due_in() == 0
