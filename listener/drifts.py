"""Which parts of the portal have changed, as was seen last, and the rows of the outbox that wait for them.

A row for each part that was looked at, by the pack that it was held against: another pack knows nothing of what was
found by this one. Who waits and who lifts meet at these rows' locks, so that nobody waits for what is lifted already.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, delete, func, insert, null, or_, select, update

from listener.database import Tx, upsert
from listener.due import is_in
from listener.entry import State
from listener.schema import drift, link, outbox, waiting

_NOW = func.db_now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen of one part. `said`: what is not as expected; `since`: when that was first seen, None: all is.

    `doubted`: something has come up since that makes another look worth it; `now`: the database's, for ages.
    """

    place: str
    pack: str
    said: Sequence[str]
    since: datetime | None
    checked_at: datetime
    doubted: bool
    now: datetime


async def read(tx: Tx) -> list[Looked]:
    """All parts that were looked at."""
    rows = select(drift, _NOW.label("now")).order_by(drift.c.place)
    return [
        Looked(
            place=row["place"],
            pack=row["pack"],
            said=tuple(row["said"]),
            since=row["since"],
            checked_at=row["checked_at"],
            doubted=row["doubted_at"] is not None,
            now=row["now"],
        )
        for row in (await tx.execute(rows)).mappings()
    ]


async def doubt(tx: Tx) -> None:
    """A page was not what was expected: whoever is about to write looks again first."""
    await tx.execute(update(drift).values(doubted_at=_NOW))


async def keep(tx: Tx, pack: str, found: Mapping[str, Sequence[str]]) -> Collection[str]:
    """Put down what was seen of each part; which of them are in order again. Rows that waited for these are due now.

    What was found by another pack is forgotten, and counts as in order until somebody looks.
    """
    before = {one.place: one for one in await read(tx)}
    for place, said in sorted(found.items()):
        values: dict[str, Any] = {"pack": pack, "said": list(said), "checked_at": _NOW, "doubted_at": null()}
        fresh = upsert(tx, drift).values(place=place, since=_NOW if said else null(), **values)
        goes_on = and_(drift.c.since.is_not(None), drift.c.pack == pack)
        since = case((goes_on, drift.c.since), else_=fresh.excluded.since) if said else null()
        await tx.execute(fresh.on_conflict_do_update(index_elements=["place"], set_={**values, "since": since}))
    await tx.execute(delete(drift).where(drift.c.pack != pack))
    still = {place for place, one in before.items() if one.pack == pack and place not in found and one.since}
    lifted = {place for place, one in before.items() if one.since} - still - {p for p, said in found.items() if said}
    if lifted:
        await _release(tx, lifted)
    return lifted


async def wait_for(tx: Tx, entry_id: int, places: Collection[str]) -> bool:
    """Put down that the row waits for these parts; False if none of them is out of order any more."""
    still = select(drift.c.place).where(drift.c.place.in_(places), drift.c.since.is_not(None))
    there: Sequence[str] = (await tx.execute(still.with_for_update(read=True))).scalars().all()
    await tx.execute(delete(waiting).where(waiting.c.outbox_id == entry_id))
    if there:
        await tx.execute(insert(waiting), [{"outbox_id": entry_id, "place": place} for place in sorted(there)])
    return bool(there)


async def waits(tx: Tx) -> Mapping[str, int]:
    """How many rows wait for each part."""
    rows = (
        select(waiting.c.place, func.count().label("rows"))
        .join(outbox, outbox.c.id == waiting.c.outbox_id)
        .where(is_in(State.PENDING))
        .group_by(waiting.c.place)
    )
    return {row.place: row.rows for row in (await tx.execute(rows)).all()}


async def charts_that_wait(tx: Tx, *, limit: int) -> list[str]:
    """Charts of rows that wait for any part, by their ids, those that came last first."""
    rows = (
        select(link.c.portal_id)
        .join(outbox, outbox.c.record_id == link.c.record_id)
        .where(outbox.c.id.in_(select(waiting.c.outbox_id)), is_in(State.PENDING))
        .order_by(outbox.c.id.desc())
        .limit(limit)
    )
    return list((await tx.execute(rows)).scalars())


async def _release(tx: Tx, places: Collection[str]) -> None:
    theirs = select(waiting.c.outbox_id).where(waiting.c.place.in_(places))
    rested = (is_in(State.PENDING), outbox.c.leased_until.is_(None), outbox.c.due_at > _NOW)
    await tx.execute(update(outbox).where(outbox.c.id.in_(theirs), *rested).values(due_at=_NOW))
    gone = or_(waiting.c.place.in_(places), waiting.c.outbox_id.in_(select(outbox.c.id).where(~is_in(State.PENDING))))
    await tx.execute(delete(waiting).where(gone))
