"""What a listening process does: it keeps all that the stream tells, and sees to it that nothing is missing.

The stream is one of three. Sweeps find what it missed, and the nightly comparison what a sweep cannot see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from fusion.scheduler import Chore, Scheduler
from fusion.settings import SyncSettings
from listener import alarms, allowance, gaps, positions
from listener.allowance import Limit
from listener.errors import Conflict, EntryError, Outage
from listener.listen import Intake, listen
from listener.login import Login
from listener.org import Org
from listener.positions import Standing
from listener.reconcile import reconcile
from listener.settings import SalesforceSettings
from listener.stream import NEW, RETAINED, Batch, PositionLost, StreamHealth, events
from listener.sweep import sweep

log = structlog.get_logger()

_WATCH = timedelta(minutes=1)
_TURNS, _TURN = 100, 0.3
"""How often, and after how many seconds, it is looked whether the stream is up before the first sweep."""


@dataclass(slots=True, kw_only=True)
class Capture:
    """One channel, listened to. `ready`: the SOQL condition of a record that is ours to sync.

    `pulses` shows what the stream does; `_told` are the alarms that were logged and are not over.
    """

    intake: Intake
    org: Org
    login: Login
    salesforce: SalesforceSettings
    sync: SyncSettings
    object_name: str
    ready: str
    stopping: asyncio.Event
    pulses: MutableMapping[str, Any]
    _told: set[str] = field(default_factory=set)
    _end_session: asyncio.Event = field(default_factory=asyncio.Event)
    _ended_at: datetime | None = None
    _health: StreamHealth = field(default_factory=StreamHealth)

    async def run(self, scheduler: Scheduler) -> None:
        """Listen until `stopping` is set, with all chores beside it. Raises `SetupError`."""
        if not await self._begin():
            return
        for chore in self.chores():
            scheduler.add(chore)
        self.pulses["stream"] = self._health
        while not self.stopping.is_set():
            self._end_session = asyncio.Event()
            stop = asyncio.create_task(self._stop_with_us(self._end_session))
            heard = events(
                self.login,
                self.salesforce,
                position=self._position,
                health=self._health,
                stopping=self._end_session,
            )
            try:
                async with aclosing(_followed_by_a_sweep(heard, scheduler)) as items:
                    await listen(items, self.intake)
            finally:
                stop.cancel()

    async def _stop_with_us(self, session: asyncio.Event) -> None:
        await self.stopping.wait()
        session.set()

    def chores(self) -> list[Chore]:
        """What is done beside the stream, and how often it is looked whether it is due."""
        chores = [
            Chore(name="sweep", every=timedelta(minutes=self.sync.sweep_minutes), run=self._sweep),
            Chore(name="reconcile", every=timedelta(minutes=10), run=self._reconcile),
            Chore(name="watch", every=_WATCH, run=self._watch),
        ]
        if self.sync.heartbeat is not None:
            chores.append(Chore(name="heartbeat", every=_WATCH, run=self._heartbeat))
        return chores

    async def _begin(self) -> bool:
        """Put down how the very first start was meant; False if we are stopped before Salesforce tells the time."""
        channel, pause = self.salesforce.channel, 1.0
        while not self.stopping.is_set():
            try:
                standing = await self._standing()
                if standing is None or not standing.began:
                    at = await self.org.now()
                    async with self.intake.db.writing() as tx:
                        await positions.begin(tx, channel, start=self.sync.start, at=at)
                    log.info("first start", channel=channel, start=self.sync.start, since=at)
                elif standing.start not in (None, self.sync.start):
                    log.info("went on where it was; how to start is for the first start", start=standing.start)
            except (Outage, Conflict, EntryError) as error:
                log.warning("cannot begin yet", why=str(error), hint=error.hint, seconds=pause)
            else:
                return True
            try:
                await asyncio.wait_for(self.stopping.wait(), pause)
            except TimeoutError:
                pause = min(60.0, pause * 2)
        return False

    async def _standing(self) -> Standing | None:
        async with self.intake.db.reading() as tx:
            return await positions.standing(tx, self.salesforce.channel)

    async def _position(self) -> str:
        """The committed one. Before the first event it is as at the first start, and sweeps cover what is between."""
        standing = await self._standing()
        if standing is not None and standing.replay_id is not None:
            return standing.replay_id
        return NEW if standing is not None and standing.start == "now" else RETAINED

    async def _sweep(self) -> None:
        # The first one waits for what the stream says of the position: a gap counts what was found after it was opened.
        for _ in range(_TURNS):
            if self._health.sessions or self.stopping.is_set():
                break
            await asyncio.sleep(_TURN)
        if await self._is_thrifty() and await self._swept_lately():
            return
        await sweep(
            self.org, self.intake, object_name=self.object_name, channel=self.salesforce.channel, where=self.ready
        )

    async def _reconcile(self) -> None:
        standing = await self._standing()
        if standing is None or not due_tonight(
            datetime.now(UTC).astimezone(), standing.compared_at, self.sync.reconcile_hour
        ):
            return
        if await self._is_thrifty():
            return
        await reconcile(
            self.org, self.intake, object_name=self.object_name, channel=self.salesforce.channel, where=self.ready
        )

    async def _is_thrifty(self) -> bool:
        """Whether API calls are scarce."""
        async with self.intake.db.reading() as tx:
            usage = (await allowance.read(tx)).get(Limit.CALLS)
        return usage is not None and usage.is_tight

    async def _swept_lately(self) -> bool:
        """Whether one of the last two sweeps was made and nothing has been lost since: then this one can wait."""
        standing = await self._standing()
        async with self.intake.db.reading() as tx:
            lost = await gaps.list_gaps(tx, channel=self.salesforce.channel, only_open=True)
        if standing is None or standing.swept_at is None or lost:
            return False
        return standing.now - standing.swept_at < 2.5 * timedelta(minutes=self.sync.sweep_minutes)

    async def _watch(self) -> None:
        """Log each alarm once while it lasts, and its end."""
        channel = self.salesforce.channel
        async with self.intake.db.reading() as tx:
            standing = await positions.standing(tx, channel)
            open_gaps = await gaps.list_gaps(tx, channel=channel, only_open=True)
        found = alarms.alarms(standing, open_gaps, self.sync.expected) if standing else []
        for alarm in found:
            if alarm.code not in self._told:
                log.warning("alarm", channel=channel, code=alarm.code, why=alarm.said, hint=alarm.move)
        for code in sorted(self._told - {alarm.code for alarm in found}):
            log.info("alarm is over", channel=channel, code=code)
        self._told = {alarm.code for alarm in found}

    async def _heartbeat(self) -> None:
        """Set off the next beat when the last has come back; end the session that has not brought it in time."""
        beat, within, channel = self.sync.heartbeat_record, self._patience, self.salesforce.channel
        standing = await self._standing()
        if beat is None or standing is None:
            return
        if alarms.echo_is_missing(standing, within):
            if self._ended_at is not None and standing.now - self._ended_at < within:
                return
            # What waits for an answer stays the beat that was not answered, or the alarm would be over.
            log.warning("heartbeat did not come back", channel=channel, record=beat.record_id)
            self._ended_at = standing.now
            self._end_session.set()
        elif standing.beat_at is not None and standing.now - standing.beat_at < within:
            return
        else:
            async with self.intake.db.writing() as tx:
                await positions.beat(tx, channel)
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        refused = (await self.org.update(beat.object_name, {beat.record_id: {beat.field: moment}}))[beat.record_id]
        if refused is not None:
            log.warning("heartbeat was refused", record=beat.record_id, code=refused.code)

    @property
    def _patience(self) -> timedelta:
        return timedelta(minutes=self.sync.heartbeat_minutes)


async def _followed_by_a_sweep(
    items: AsyncIterator[Batch | PositionLost], scheduler: Scheduler
) -> AsyncGenerator[Batch | PositionLost, None]:
    """The same. Once a lost position was put down as a gap, a sweep need not wait for its turn."""
    async for item in items:
        yield item
        if isinstance(item, PositionLost):
            scheduler.wake("sweep")


def due_tonight(now: datetime, last: datetime | None, hour: int) -> bool:
    """Whether that hour of the day has come, in `now`'s zone, since the last time; at once if there was none."""
    if last is None:
        return True
    come = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    if come > now:
        come -= timedelta(days=1)
    return last < come
