"""When the portal is walked through before anything is written, and who has to wait for what was found there.

A walk is made before the first write of a clinic's day, and again after a surprise or while something is out of order:
then not more often than every ten minutes, since it opens some ten pages of a portal in which people work. Where the
portal is so slow that a walk does not come to its end in time, the next one goes on where it was cut off.

What is out of order stops what needs it and nothing else. Without search or section Patient nobody can say whose chart
it is, so every visit waits; without the form of a new patient those that would make a chart. Of any other section what
is typed there waits, while the rest of the chart is brought up to date. A new chart is made even so: the chart that a
person sees without its guardian is marked as waiting for it in Salesforce, while a patient who is not in the portal at
all is soon made there by hand, and then there are two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from datetime import timedelta, tzinfo

import structlog

from fusion.codes import Code
from fusion.drift import ENTRANCE, VITAL, Place, Waits, Walk, waits
from fusion.portal import Refused
from fusion.visit import on_lane
from listener import drifts, gates, links
from listener.database import Database
from listener.drifts import Looked
from listener.errors import EntryError, SyncError
from listener.gates import Lane

log = structlog.get_logger()

AGAIN = timedelta(minutes=10)
"""How long a walk is good for at the least."""
WITHIN = timedelta(seconds=90)
"""How long one walk may take: half of what a visit may."""
SURPRISES = frozenset({Code.PORTAL_CHANGED, Code.UNEXPECTED_PAGE, Code.NOT_SAVED})
"""What may mean that the portal has changed."""

Drifts = Mapping[Place, str]
"""The places that are out of order, each with what was found there first."""


class Patrol:
    """One worker's eyes for what has changed. What it finds is the database's, for all who work with the same pack."""

    def __init__(
        self,
        db: Database,
        walk: Callable[[str | None, Set[Place], Walk], Awaitable[object]],
        *,
        pack: str,
        zone: tzinfo | None = None,
        within: timedelta = WITHIN,
        again: timedelta = AGAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*pack*: its edition; *zone*: the clinic's, None for this host's; *within*: how long one walk may take;
        *clock*: seconds, for what is tried here."""
        self._db = db
        self._walk = walk
        self._pack = pack
        self._zone = zone
        self._within = within
        self._again = again
        self._clock = clock
        self._not_before = clock()
        self._evidence: dict[Place, str] = {}

    async def known(self) -> Drifts:
        """What is out of order as far as is known; looked at again if it is time, and the portal may be visited."""
        async with self._db.reading() as tx:
            known = await drifts.read(tx)
        looked = self._of_our_pack(known)
        is_time = any(one.since and (one.pack != self._pack or self._is_due(one)) for one in known)
        if not is_time or self._clock() < self._not_before:
            return _drifts(looked)
        return await self._looked_again(looked)

    async def before_writing(self, chart: str | None) -> Drifts:
        """What is out of order, right before something is written to that chart, or one is made.

        Raises as the portal does where a walk has to be made, and `Waits` where it goes on with the next visit.
        """
        looked = await self._looked()
        needed = ENTRANCE if chart is None else frozenset(Place) - ENTRANCE
        if not self._is_time(looked, needed):
            return _drifts(looked)
        due = self._due(looked)
        return await self._walked([chart], due & ENTRANCE if chart is None else due, looked)

    async def surprised(self, refused: Refused, chart: str | None, *, waited: bool) -> None:
        """A page was not as it was expected to be. Raises `Waits` where that is because the portal has changed, or
        where nobody can say so yet. *waited*: the entry has waited for that before."""
        if refused.code not in SURPRISES:
            return
        async with self._db.writing() as tx:
            await drifts.doubt(tx)
        if refused.code is not Code.PORTAL_CHANGED:
            return
        looked = await self._looked()
        if found := _drifts(looked):
            raise waits(found, found.keys(), evidence=refused.evidence)
        if due := self._due(looked):
            found = await self._walked([chart] if chart is not None else await self._some_charts(), due, looked)
            if found and not VITAL & found.keys():
                # Now that it is known, the rest of the chart can be brought up to date.
                raise Waits((), str(waits(found, found.keys())), until=timedelta(0), evidence=refused.evidence)
            if found:
                raise waits(found, found.keys(), evidence=refused.evidence)
        ages = [one.now - one.checked_at for one in looked if Place(one.place) not in due]
        if ages and not waited:
            said = f"{Code.PORTAL_CHANGED.sentence(refused.detail)} It is looked into by itself."
            raise Waits((), said[:255], until=self._again - max(ages), evidence=refused.evidence)

    def evidence_of(self, places: Iterable[Place]) -> str | None:
        """The file about the first of them, if we have seen it."""
        return next((self._evidence[place] for place in places if place in self._evidence), None)

    async def _looked_again(self, looked: Sequence[Looked]) -> Drifts:
        async with self._db.reading() as tx:
            may = (await gates.read(tx))[Lane.PORTAL].is_open
        if not may:
            return _drifts(looked)
        self._not_before = self._clock() + self._again.total_seconds()
        try:
            return await self._walked(await self._some_charts(), self._due(looked), looked)
        except Waits:
            self._not_before = self._clock()
        except SyncError as error:
            log.warning("cannot look whether the portal is as it was", why=str(error), hint=error.hint)
        return _drifts(await self._looked())

    def _is_time(self, looked: Sequence[Looked], needed: Set[Place]) -> bool:
        seen = {Place(one.place): one for one in looked}
        return any(place not in seen or self._is_old(seen[place]) for place in needed)

    def _is_old(self, one: Looked) -> bool:
        today, then = (moment.astimezone(self._zone).date() for moment in (one.now, one.checked_at))
        return self._is_due(one) and (then < today or one.doubted or one.since is not None)

    def _is_due(self, one: Looked) -> bool:
        return one.now - one.checked_at >= self._again

    def _due(self, looked: Sequence[Looked]) -> Set[Place]:
        """What a walk looks at: all but what was looked at a moment ago, be it by a walk that was cut off."""
        return frozenset(Place) - {Place(one.place) for one in looked if not self._is_due(one)}

    def _of_our_pack(self, looked: Iterable[Looked]) -> list[Looked]:
        return [one for one in looked if one.pack == self._pack]

    async def _looked(self) -> list[Looked]:
        async with self._db.reading() as tx:
            return self._of_our_pack(await drifts.read(tx))

    async def _walked(self, charts: Sequence[str | None], places: Set[Place], looked: Sequence[Looked]) -> Drifts:
        """What is out of order after a walk over these places, on the first of the charts that there is.

        What it has seen is put down even if it is cut off, so that the next one goes on from there. Raises `Waits`
        where it took too long but came on, and EntryError where it did not.
        """
        wrong, seen = {Place(one.place) for one in looked if one.since is not None}, Walk()
        try:
            async with asyncio.timeout(self._within.total_seconds()) as limit:
                walk = await self._agreed(charts, places, wrong, seen)
        except BaseException as cut_off:
            sure = seen.sure - (seen.bare & wrong)
            if sure:
                await self._put_down(seen.of(sure))
            if isinstance(cut_off, TimeoutError) and limit.expired():
                raise self._too_slow(len(sure), len(places)) from None
            raise
        return await self._put_down(walk)

    def _too_slow(self, seen: int, of: int) -> SyncError:
        setting = f"{self._within.total_seconds():.0f} s are half of FUSION_SYNC_DEADLINE_SECONDS"
        if not seen:
            return EntryError("the portal is too slow to look whether it is as it was", hint=f"{setting}: raise it")
        said = (
            f"The portal is slow. Of {of} parts to look at before the first write {seen} were seen in time ({setting})."
        )
        log.warning("a walk through the portal goes on with the next visit", seen=seen, missed=of - seen, hint=setting)
        return Waits((), f"{said} The rest is next.", until=timedelta(0), code=None)

    async def _agreed(self, charts: Sequence[str | None], places: Set[Place], wrong: Set[Place], seen: Walk) -> Walk:
        """What *seen* holds after the walk, as far as other charts do not gainsay it.

        What of a chart is not in order must be so on a second one, too: one odd chart does not hold up all the others.
        Nor is what was *wrong* right for a chart that has no row to show it.
        """
        chart = await self._with_first_of(charts, places, seen)
        if not (seen.blamed or seen.bare & wrong):
            return seen
        others = [one for one in await self._some_charts() if one not in (None, chart)]
        await self._ask(others, seen.bare & wrong, seen)
        other = Walk()
        await self._ask(others, seen.blamed, other)
        return seen.confirmed_by(other)

    async def _with_first_of(self, charts: Sequence[str | None], places: Set[Place], seen: Walk) -> str | None:
        for chart in charts:
            await self._look(chart, places - seen.found.keys(), seen)
            if seen.of_a_chart or places <= ENTRANCE:
                break
        return chart

    async def _ask(self, charts: Sequence[str | None], places: Set[Place], seen: Walk) -> None:
        """Look at these on one chart after the other, until they are seen whole."""
        for chart in charts:
            if left := places - seen.whole:
                await self._look(chart, left, seen)

    async def _look(self, chart: str | None, places: Set[Place], seen: Walk) -> None:
        with on_lane(Lane.PORTAL):
            await self._walk(chart, places, seen)

    async def _put_down(self, walk: Walk) -> Drifts:
        self._evidence |= walk.evidence
        said = {str(place): [str(drift) for drift in found] for place, found in walk.found.items()}
        async with self._db.writing() as tx:
            lifted = await drifts.keep(tx, self._pack, said)
        for drift in walk.drifts:
            log.warning("the portal has changed", section=drift.place.name, why=str(drift))
        for place in sorted(lifted):
            log.info("the portal is as its pack says again", section=Place(place).name)
        return _drifts(await self._looked())

    async def _some_charts(self) -> Sequence[str | None]:
        """Charts to look at: of those that wait, since theirs are not in order, and those that were linked last."""
        async with self._db.reading() as tx:
            found = [*await drifts.charts_that_wait(tx, limit=3), *await links.newest(tx, limit=3)]
        return list(dict.fromkeys(found)) or [None]


def _drifts(looked: Iterable[Looked]) -> Drifts:
    return {Place(one.place): one.said[0] for one in looked if one.since is not None}
