"""The stream of change events: sessions, one after the other, each from the position that is committed by then.

Yields and never stores. Who reads has committed a batch before asking for the next, so whatever ends a session, and
whenever, the next one begins behind the last committed event: nothing is lost, and what comes twice has the same keys.
A Pub/Sub API source would take the place of this module, `session` and `bayeux`, and touch nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from random import Random
from typing import Any, TypeVar

import structlog

from listener.bayeux import SessionTimes
from listener.endings import SessionOver, Why
from listener.errors import Outage, SetupError
from listener.login import Login
from listener.session import Session
from listener.settings import SalesforceSettings

log = structlog.get_logger()
T = TypeVar("T")

RETAINED, NEW = "-2", "-1"
"""Replay ids that stand for all events that the org still keeps, and for those after the subscription."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Raw messages of a channel in the order of arrival; never empty. Several may have one replay id."""

    channel: str
    messages: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionLost:
    """The org no longer knows our position: events may be missing, and the stream goes on with all that it keeps."""

    channel: str
    replay_id: str
    reason: str


@dataclass(slots=True, kw_only=True)
class StreamHealth:
    """What the stream last did. Times are aware UTC; `last_error` has kinds and codes, never contents."""

    state: str = "starting"
    sessions: int = 0
    last_heard_at: datetime | None = None
    """When the server last answered a poll, with news or without."""
    last_event_at: datetime | None = None
    last_error: str | None = None

    def note_poll(self) -> None:
        self.last_heard_at = datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Seconds between two sessions: `first`, doubled up to `longest`; `limit` when an allowance is used up."""

    first: float = 1.0
    longest: float = 60.0
    limit: float = 300.0


@dataclass(slots=True, kw_only=True)
class _Pauses:
    """How long to stay away, by what the last sessions came to. Jittered, so that no two hosts keep step."""

    backoff: Backoff
    random: Random
    failures: int = 0

    def after(self, why: Why, session: Session | None) -> float:
        """Seconds. A session that heard anything after its subscription makes the next pause a short one."""
        if session is not None and session.proven:
            self.failures = 0
        self.failures += 1
        if why is Why.LIMIT:
            return self.backoff.limit * self.random.uniform(0.8, 1.2)
        doubled = self.backoff.first * 2.0 ** min(self.failures - 1, 16)
        return min(self.backoff.longest, doubled) * self.random.uniform(0.5, 1.0)


class _Stopped(Exception):
    """`stopping` was set while we waited."""


async def events(
    login: Login,
    settings: SalesforceSettings,
    *,
    position: Callable[[], Awaitable[str]],
    health: StreamHealth,
    stopping: asyncio.Event,
    times: SessionTimes | None = None,
    backoff: Backoff | None = None,
    at_most: int = 500,
    random: Random | None = None,
) -> AsyncIterator[Batch | PositionLost]:
    """All that the channel tells, until `stopping` is set.

    `position` gives the last committed replay id, `RETAINED` or `NEW`, and is asked before each session. A batch has
    `at_most` messages. Raises `SetupError` where another session would do no better: log-in or subscription refused.
    """
    pauses = _Pauses(backoff=backoff or Backoff(), random=random or Random())  # noqa: S311 - for jitter
    lost = ""
    stop = asyncio.ensure_future(stopping.wait())
    log.info("stream starts", channel=settings.channel, version=_versions())
    try:
        while True:
            health.state = "connecting"
            session, start = None, RETAINED
            try:
                committed = await _unless(stop, position())
                start = RETAINED if committed == lost else committed
                session = Session(
                    await _unless(stop, login.token()),
                    api_version=settings.api_version,
                    channel=settings.channel,
                    replay_id=start,
                    times=times or SessionTimes(),
                    heard=health.note_poll,
                )
                await _unless(stop, session.open())
                health.state, health.sessions = "listening", health.sessions + 1
                log.info("stream session open", channel=settings.channel, replay_id=start, session=health.sessions)
                while True:
                    messages = await _unless(stop, session.receive(at_most=at_most))
                    health.last_event_at = datetime.now(UTC)
                    yield Batch(channel=settings.channel, messages=messages)
            except SessionOver as ended:
                over = ended
            except Outage as outage:
                over = SessionOver(Why.LOST, str(outage))
            finally:
                # Also when the reader closes us in mid-batch, or is cancelled.
                if session is not None:
                    await session.close()

            health.last_error = f"{over.why}: {over}"
            if over.why is Why.POSITION and start not in (RETAINED, NEW):
                lost = start
                yield PositionLost(channel=settings.channel, replay_id=start, reason=str(over))
                continue
            if over.why is Why.SETUP:
                raise _refused(settings.channel, over)
            if over.why is Why.UNAUTHORIZED and session is not None:
                login.refuse(session.token)
            seconds = pauses.after(over.why, session)
            health.state = "waiting"
            log.warning("stream session over", channel=settings.channel, why=str(over), seconds=round(seconds, 1))
            await _unless(stop, asyncio.sleep(seconds))
    except _Stopped:
        log.info("stream stopped", channel=settings.channel)
    finally:
        health.state = "stopped"
        stop.cancel()
        await asyncio.wait({stop})


async def _unless(stop: asyncio.Future[Any], work: Awaitable[T]) -> T:
    """What `work` comes to; `_Stopped` if we are told to stop first, and then the work is cancelled and waited for."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            raise _Stopped
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # or it would be reported as never looked at


def _refused(channel: str, over: SessionOver) -> SetupError:
    return SetupError(
        f"Salesforce refuses the subscription to {channel} ({over})",
        hint="are SALESFORCE_CHANNEL and SALESFORCE_API_VERSION right, and is the package deployed in this org?",
    )


def _versions() -> str:
    """Of the libraries whose private methods are overridden; they matter when something is odd."""
    return ",".join(f"{name}/{version(name)}" for name in ("aiosfstream-ng", "aiocometd-ng", "aiohttp"))
