"""When the portal may be visited: not more often than people would, within the clinic's hours, not under maintenance.

Hours are written as people write them: `mon-fri 07:00-19:00, sat 08:00-12:00`, and a single night of maintenance as
`2026-12-05 22:00-02:00`. A range that ends before it begins ends on the next day. All by the clinic's own clock.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as clock_time

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d)|(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?)\s+(?P<begins>\d\d?:\d\d)\s*-\s*(?P<ends>\d\d?:\d\d)"
)
_AHEAD = 400
"""Days within which the next opening is looked for."""


class Pace:
    """So many visits a minute in the long run, and no more than `burst` at once."""

    def __init__(
        self,
        per_minute: float,
        *,
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.seconds = 60 / per_minute
        self._ahead = (burst - 1) * self.seconds
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def due_in(self) -> float:
        """Seconds until the next visit may begin; 0 for at once."""
        return max(0.0, self._next - self._ahead - self._clock())

    def took(self) -> None:
        """A visit begins, or will as soon as it may."""
        self._next = max(self._clock(), self._next) + self.seconds

    async def turn(self) -> None:
        """Returns when the next visit may begin; it is counted as begun."""
        wait = self.due_in()
        self.took()
        if wait:
            await self._sleep(wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One range of a day: of each week on these days (0 is Monday), or on one date."""

    days: frozenset[int] = frozenset()
    on: date | None = None
    begins: clock_time
    ends: clock_time

    def of_day(self, day: date, zone: tzinfo | None) -> tuple[datetime, datetime] | None:
        """From when to when it lasts if it begins on that day, in UTC."""
        if day != self.on and day.weekday() not in self.days:
            return None
        last = day if self.ends > self.begins else day + timedelta(days=1)
        begins, ends = datetime.combine(day, self.begins, zone), datetime.combine(last, self.ends, zone)
        return begins.astimezone(UTC), ends.astimezone(UTC)  # a naive one is by this host's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Why nothing goes to the portal now, and until when."""

    why: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When the portal is worked in: within `open` (always, if there is none), and not within `maintenance`."""

    open: Sequence[Window] = ()
    maintenance: Sequence[Window] = ()
    zone: tzinfo | None = None

    def closed(self, now: datetime) -> Closed | None:
        """Why nothing may go there now; None if it may."""
        why = self._why_not(now)
        if why is None:
            return None
        edges = sorted(edge for edge in self._edges(now) if edge > now)
        until = next((edge for edge in edges if self._why_not(edge) is None), now + timedelta(days=1))
        return Closed(why=f"{why} until {until.astimezone(self.zone):%a %Y-%m-%d %H:%M %Z}", until=until)

    def _why_not(self, now: datetime) -> str | None:
        if self._within(self.maintenance, now):
            return "the portal is under maintenance"
        if self.open and not self._within(self.open, now):
            return "the clinic's hours are over"
        return None

    def _within(self, windows: Sequence[Window], now: datetime) -> bool:
        today = now.astimezone(self.zone).date()
        lasting = (one.of_day(day, self.zone) for one in windows for day in (today - timedelta(days=1), today))
        return any(begins <= now < ends for begins, ends in filter(None, lasting))

    def _edges(self, now: datetime) -> Iterator[datetime]:
        today = now.astimezone(self.zone).date()
        for window in (*self.open, *self.maintenance):
            days = [window.on] if window.on else [today + timedelta(days=n) for n in range(-1, 9)]
            for day in days:
                if day is not None and abs((day - today).days) <= _AHEAD and (lasts := window.of_day(day, self.zone)):
                    yield from lasts


def windows(text: str) -> tuple[Window, ...]:
    """The ranges in that text; ValueError with what is not understood."""
    return tuple(_window(part.strip().casefold()) for part in text.split(",") if part.strip())


def _window(text: str) -> Window:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f'has "{text}", which is not like "mon-fri 07:00-19:00" or "2026-12-05 22:00-02:00"')
    try:
        begins, ends = (clock_time.fromisoformat(found[name].zfill(5)) for name in ("begins", "ends"))
        if found["day"]:
            return Window(on=date.fromisoformat(found["day"]), begins=begins, ends=ends)
        first = _DAYS.index(found["first"])
        last = _DAYS.index(found["last"] or found["first"])
    except ValueError:
        raise ValueError(f'has "{text}", in which a day or a time does not exist') from None
    days = frozenset((first + n) % 7 for n in range((last - first) % 7 + 1))
    return Window(days=days, begins=begins, ends=ends)
