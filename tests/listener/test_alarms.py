"""What is not certain is said in plain words, once it is late and not before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from listener.alarms import Alarm, Expected, alarms, echo_is_missing
from listener.gaps import Gap
from listener.positions import Standing
from tests.outbox_rows import CHANNEL, HOUR, NOON

MINUTE = timedelta(minutes=1)
EXPECTED = Expected(sweep=15 * MINUTE)
WELL = Standing(
    channel=CHANNEL,
    now=NOON,
    replay_id="7001",
    start="retained",
    moved_at=NOON - HOUR,
    heard_at=NOON,
    event_at=NOON - HOUR,
    covers_from=None,
    swept_until=NOON,
    swept_at=NOON - 10 * MINUTE,
    missed=0,
    missed_at=None,
    compared_at=NOON - 8 * HOUR,
    beat_at=None,
    echo_at=None,
)
GAP = Gap(
    id=3,
    channel=CHANNEL,
    object_name=None,
    opened_at=NOON - 2 * HOUR,
    from_at=NOON - 9 * HOUR,
    to_at=None,
    reason="the org forgot it",
    swept_until=None,
    closed_at=None,
    changed=None,
    enqueued=None,
    deleted=None,
    note=None,
)


def found(*gaps: Gap, expected: Expected = EXPECTED, **standing: Any) -> list[Alarm]:
    """The alarms of a channel that stands well but for that."""
    return alarms(replace(WELL, **standing), gaps, expected)


def codes(*gaps: Gap, **how: Any) -> list[str]:
    """Their codes."""
    return [alarm.code for alarm in found(*gaps, **how)]


def test_a_channel_that_stands_well_gives_no_alarm() -> None:
    assert found() == []


def test_a_channel_that_is_only_beginning_gives_no_alarm() -> None:
    new = dict.fromkeys(("replay_id", "moved_at", "event_at", "swept_until", "swept_at", "compared_at"))
    assert found(**new) == []


@pytest.mark.parametrize(
    ("hours", "code"),
    [(23.9, ""), (24, "position_24h"), (47.9, "position_24h"), (48, "position_48h"), (60, "position_60h")],
)
def test_a_position_grows_old_in_three_steps(hours: float, code: str) -> None:
    assert codes(event_at=NOON - hours * HOUR) == ([code] if code else [])


def test_an_old_event_that_came_just_now_leaves_an_old_position() -> None:
    assert codes(event_at=NOON - 50 * HOUR, moved_at=NOON) == ["position_48h"]


def test_where_no_event_said_its_time_that_of_its_arrival_counts() -> None:
    assert codes(event_at=None, moved_at=NOON - 30 * HOUR) == ["position_24h"]


def test_an_old_position_is_a_stall_where_sweeps_found_more_since() -> None:
    old = {"event_at": NOON - 25 * HOUR, "moved_at": NOON - 25 * HOUR}
    (quiet,) = found(**old, missed_at=NOON - 26 * HOUR)
    (stalled,) = found(**old, missed_at=NOON - HOUR)
    assert quiet.said == (
        "The last event is 25 h old; after 72 h its position is lost. Sweeps found nothing that it did not tell."
    )
    assert "it is stalled" in stalled.said
    assert stalled.code == quiet.code


def test_a_gap_is_an_alarm_once_its_sweep_is_late() -> None:
    assert codes(replace(GAP, opened_at=NOON - 59 * MINUTE)) == []
    (alarm,) = found(GAP)
    assert (alarm.code, "Gap 3" in alarm.said) == ("gap_open", True)


@pytest.mark.parametrize(
    ("sweep", "ago", "late"),
    [(15 * MINUTE, HOUR, False), (15 * MINUTE, 61 * MINUTE, True), (HOUR, 2 * HOUR, False), (HOUR, 4 * HOUR, True)],
)
def test_a_sweep_is_late_after_three_of_its_turns_and_an_hour_at_least(
    sweep: timedelta, ago: timedelta, late: bool
) -> None:
    assert codes(expected=Expected(sweep=sweep), swept_at=NOON - ago) == ["sweep_late"] * late


@pytest.mark.parametrize(("hours", "late"), [(47, False), (49, True)])
def test_a_comparison_is_late_after_two_nights(hours: int, late: bool) -> None:
    assert codes(compared_at=NOON - hours * HOUR) == ["comparison_late"] * late


@pytest.mark.parametrize(
    ("beat", "echo", "missing"),
    [
        (None, None, False),
        (14 * MINUTE, None, False),
        (16 * MINUTE, None, True),
        (16 * MINUTE, 15 * MINUTE, False),
        (16 * MINUTE, 31 * MINUTE, True),  # the echo of the beat before
    ],
)
def test_an_echo_is_missing_after_its_time(beat: timedelta | None, echo: timedelta | None, missing: bool) -> None:
    standing = replace(WELL, beat_at=beat and NOON - beat, echo_at=echo and NOON - echo)
    assert echo_is_missing(standing, 15 * MINUTE) is missing
    with_heartbeat = Expected(sweep=15 * MINUTE, echo=15 * MINUTE)
    assert [alarm.code for alarm in alarms(standing, (), with_heartbeat)] == ["no_echo"] * missing
    assert alarms(standing, (), EXPECTED) == []  # a heartbeat that was switched off is not waited for


def test_each_alarm_says_what_to_do() -> None:
    every = found(
        GAP,
        expected=Expected(sweep=15 * MINUTE, echo=15 * MINUTE),
        event_at=NOON - 61 * HOUR,
        swept_at=NOON - 9 * HOUR,
        compared_at=NOON - 99 * HOUR,
        beat_at=NOON - HOUR,
    )
    assert [alarm.code for alarm in every] == ["no_echo", "position_60h", "gap_open", "sweep_late", "comparison_late"]
    assert all(alarm.said.endswith(".") and alarm.move for alarm in every)
