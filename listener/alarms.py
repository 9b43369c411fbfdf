"""What we cannot be sure of just now, in plain words. Pure: from how a channel stands and which gaps are open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from listener.gaps import Gap
from listener.positions import Standing

KEPT = timedelta(hours=72)
"""How long Salesforce keeps an event ("Message Durability")."""
AGES = (timedelta(hours=24), timedelta(hours=48), timedelta(hours=60))
LATE_GAP = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How often things should happen; `echo` None: there is no heartbeat."""

    sweep: timedelta
    comparison: timedelta = timedelta(days=1)
    echo: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """`code` is stable, and grows worse by another code (`position_24h`, `position_48h`); `move`: what to do."""

    code: str
    said: str
    move: str


def alarms(standing: Standing, open_gaps: Sequence[Gap], expected: Expected) -> list[Alarm]:
    """Every alarm of a channel, the most urgent first."""
    return [
        *_echo(standing, expected),
        *_position(standing),
        *_gaps(standing, open_gaps),
        *_sweeps(standing, expected),
    ]


def echo_is_missing(standing: Standing, within: timedelta) -> bool:
    """Whether the heartbeat was set off longer ago than that and has not come back."""
    beat, echo = standing.beat_at, standing.echo_at
    return beat is not None and (echo is None or echo < beat) and standing.now - beat > within


def _echo(standing: Standing, expected: Expected) -> Iterator[Alarm]:
    if expected.echo is not None and echo_is_missing(standing, expected.echo):
        since = f"{standing.beat_at:%Y-%m-%d %H:%M} UTC"
        yield Alarm(
            code="no_echo",
            said=f"We changed the heartbeat record at {since}, and the stream has not told of it.",
            move="the stream is opened anew by itself; if that does not help: is the record's object on the channel?",
        )


def _position(standing: Standing) -> Iterator[Alarm]:
    # By the event's own time: an old event that comes late leaves a position that is old already.
    since = standing.event_at or standing.moved_at
    if since is None:
        return
    age = standing.now - since
    reached = [one for one in AGES if age >= one]
    if not reached:
        return
    hours = f"{age.total_seconds() / 3600:.0f} h"
    stalled = (
        standing.missed_at is not None and standing.moved_at is not None and standing.missed_at > standing.moved_at
    )
    said = f"The last event is {hours} old; after {KEPT.total_seconds() / 3600:.0f} h its position is lost."
    if stalled:
        said += " Sweeps found changes meanwhile that the stream did not tell: it is stalled."
        move = "restart the listener; if it stays so, ask Salesforce about the event bus. Sweeps do its work meanwhile"
    else:
        said += " Sweeps found nothing that it did not tell."
        move = "nothing if no patient was saved since; a lost position opens a gap, which is swept by itself"
    yield Alarm(code=f"position_{reached[-1].total_seconds() / 3600:.0f}h", said=said, move=move)


def _gaps(standing: Standing, open_gaps: Sequence[Gap]) -> Iterator[Alarm]:
    late = [gap for gap in open_gaps if standing.now - gap.opened_at > LATE_GAP]
    if late:
        yield Alarm(
            code="gap_open",
            said=f"Gap {late[0].id} in the stream has been open since {late[0].opened_at:%Y-%m-%d %H:%M} UTC.",
            move="`fusion-sync gaps --open`; the next sweep that comes to its end closes it: does Salesforce answer?",
        )


def _sweeps(standing: Standing, expected: Expected) -> Iterator[Alarm]:
    if standing.swept_at is not None and standing.now - standing.swept_at > max(3 * expected.sweep, LATE_GAP):
        yield Alarm(
            code="sweep_late",
            said=f"No sweep has come to its end since {standing.swept_at:%Y-%m-%d %H:%M} UTC.",
            move="is a listener running, and does Salesforce answer? `fusion-sync sweep` tries at once",
        )
    if standing.compared_at is not None and standing.now - standing.compared_at > 2 * expected.comparison:
        yield Alarm(
            code="comparison_late",
            said=f"All records were last compared at {standing.compared_at:%Y-%m-%d %H:%M} UTC.",
            move="`fusion-sync reconcile` does it at once, and says what stands in the way",
        )
