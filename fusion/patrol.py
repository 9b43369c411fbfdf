"""When the portal is walked through before anything is written, and who has to wait for what was found there.

A walk is made before the first write of a clinic's day, and again after a surprise or while something is out of order:
then not more often than every ten minutes, since it opens some ten pages of a portal in which people work.

What is out of order stops what needs it and nothing else. Without search or section Patient nobody can say whose chart
it is, so every visit waits; without the form of a new patient those that would make a chart. Of any other section what
is typed there waits, while the rest of the chart is brought up to date. A new chart is made even so: the chart that a
person sees without its guardian is marked as waiting for it in Salesforce, while a patient who is not in the portal at
all is soon made there by hand, and then there are two.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta, tzinfo

import structlog

from fusion.codes import Code
from fusion.drift import ENTRANCE, VITAL, Place, Waits, Walk, waits
from fusion.portal import Refused
from fusion.visit import on_lane
from listener import drifts, gates, links
from listener.database import Database
from listener.drifts import Looked
from listener.errors import SyncError
from listener.gates import Lane

log = structlog.get_logger()

AGAIN = timedelta(minutes=10)
"""How long a walk is good for at the least."""
SURPRISES = frozenset({Code.PORTAL_CHANGED, Code.UNEXPECTED_PAGE, Code.NOT_SAVED})
"""What may mean that the portal has changed."""

Drifts = Mapping[Place, str]
"""The places that are out of order, each with what was found there first."""


class Patrol:
    """One worker's eyes for what has changed. What it finds is the database's, for all who work with the same pack."""

    def __init__(
        self,
        db: Database,
        walk: Callable[[str | None], Awaitable[Walk]],
        *,
        pack: str,
        zone: tzinfo | None = None,
        again: timedelta = AGAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*pack*: its edition; *zone*: the clinic's, None for this host's; *clock*: seconds, for what is tried here."""
        self._db = db
        self._walk = walk
        self._pack = pack
        self._zone = zone
        self._again = again
        self._clock = clock
        self._not_before = clock()
        self._evidence: dict[Place, str] = {}

    async def known(self) -> Drifts:
        """What is out of order as far as is known; looked at again where it is time."""
        await self.look_again()
        return _drifts(await self._looked())

    async def before_writing(self, chart: str | None) -> Drifts:
        """What is out of order, right before something is written to that chart, or one is made.

        Raises as the portal does where a walk has to be made.
        """
        looked = await self._looked()
        needed = ENTRANCE if chart is None else frozenset(Place) - ENTRANCE
        return await self._walked([chart]) if self._is_time(looked, needed) else _drifts(looked)

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
        found = _drifts(looked)
        if not found:
            whole = len(looked) == len(Place)
            age = max(one.now - one.checked_at for one in looked) if whole else self._again
            if age < self._again:
                if waited:
                    return
                said = f"{Code.PORTAL_CHANGED.sentence(refused.detail)} It is looked into by itself."
                raise Waits((), said[:255], until=self._again - age, evidence=refused.evidence)
            found = await self._walked([chart] if chart is not None else await self._some_charts())
            if found and not VITAL & found.keys():
                # Now that it is known, the rest of the chart can be brought up to date.
                raise Waits((), str(waits(found, found.keys())), until=timedelta(0), evidence=refused.evidence)
        if found:
            raise waits(found, found.keys(), evidence=refused.evidence)

    async def look_again(self) -> None:
        """Look whether what is out of order still is, if it is time, and the portal may be visited."""
        if self._clock() < self._not_before:
            return
        async with self._db.reading() as tx:
            found = [one for one in await drifts.read(tx) if one.since]
            if not any(one.pack != self._pack or one.now - one.checked_at >= self._again for one in found):
                return
            may = (await gates.read(tx))[Lane.PORTAL].is_open
        if may:
            self._not_before = self._clock() + self._again.total_seconds()
            try:
                await self._walked(await self._some_charts())
            except SyncError as error:
                log.warning("cannot look whether the portal is as it was", why=str(error), hint=error.hint)

    def evidence_of(self, places: Iterable[Place]) -> str | None:
        """The file about the first of them, if we have seen it."""
        return next((self._evidence[place] for place in places if place in self._evidence), None)

    def _is_time(self, looked: Sequence[Looked], needed: Collection[Place]) -> bool:
        seen = {Place(one.place): one for one in looked}
        return any(place not in seen or self._is_old(seen[place]) for place in needed)

    def _is_old(self, one: Looked) -> bool:
        today, then = (moment.astimezone(self._zone).date() for moment in (one.now, one.checked_at))
        return then < today or ((one.doubted or one.since is not None) and one.now - one.checked_at >= self._again)

    async def _looked(self) -> list[Looked]:
        async with self._db.reading() as tx:
            return [one for one in await drifts.read(tx) if one.pack == self._pack]

    async def _walked(self, charts: Sequence[str | None]) -> Drifts:
        """What is out of order after a walk with the first of the charts that there is.

        What of a chart is not in order must be so on a second one, too: one odd chart does not hold up all the others.
        """
        walk, chart = await self._with_first_of(charts)
        if walk.blames_a_chart and (others := [one for one in await self._some_charts() if one not in (None, chart)]):
            other, _ = await self._with_first_of(others)
            walk = walk.confirmed_by(other)
        self._evidence |= walk.evidence
        said = {str(place): [str(drift) for drift in found] for place, found in walk.found.items()}
        async with self._db.writing() as tx:
            lifted = await drifts.keep(tx, self._pack, said)
        for drift in walk.drifts:
            log.warning("the portal has changed", section=drift.place.name, why=str(drift))
        for place in sorted(lifted):
            log.info("the portal is as its pack says again", section=Place(place).name)
        return _drifts(await self._looked())

    async def _with_first_of(self, charts: Sequence[str | None]) -> tuple[Walk, str | None]:
        for chart in charts:
            with on_lane(Lane.PORTAL):
                walk = await self._walk(chart)
            if walk.of_a_chart:
                break
        return walk, chart

    async def _some_charts(self) -> Sequence[str | None]:
        async with self._db.reading() as tx:
            return await links.newest(tx, limit=3) or [None]


def _drifts(looked: Iterable[Looked]) -> Drifts:
    return {Place(one.place): one.said[0] for one in looked if one.since is not None}
