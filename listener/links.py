"""Which chart is which record's: at most one each way, and for ever unless a person says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, update

from listener.change import RecordId
from listener.database import Database, Tx, upsert
from listener.errors import Conflict
from listener.schema import link


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`identity`: a digest of whose chart it was when we last saw it (see `fusion.identity`)."""

    record_id: RecordId
    portal_id: str
    how: str
    identity: str | None


class LinksIn:
    """The links in that database, each question in a transaction of its own."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_record(self, record_id: RecordId) -> Link | None:
        """The record's link, if it has one."""
        async with self._db.reading() as tx:
            return await of_record(tx, record_id)

    async def of_chart(self, portal_id: str) -> Link | None:
        """The chart's link, if it has one."""
        async with self._db.reading() as tx:
            return await of_chart(tx, portal_id)


async def of_record(tx: Tx, record_id: RecordId) -> Link | None:
    """The record's link, if it has one."""
    return await _one(tx, link.c.record_id == record_id)


async def of_chart(tx: Tx, portal_id: str) -> Link | None:
    """The chart's link, if it has one."""
    return await _one(tx, link.c.portal_id == portal_id)


async def newest(tx: Tx, *, limit: int) -> list[str]:
    """The charts that were linked last, by their ids."""
    rows = select(link.c.portal_id).order_by(link.c.made_at.desc()).limit(limit)
    return list((await tx.execute(rows)).scalars())


async def make(tx: Tx, made: Link) -> None:
    """Link the two, or renew the digest of the link that they have.

    Raises `Conflict` if the chart belongs to another record or the record to another chart: neither is overwritten.
    """
    fresh = upsert(tx, link).values(
        record_id=made.record_id,
        portal_id=made.portal_id,
        made_at=func.db_now(),
        how=made.how,
        identity=made.identity,
    )
    kept = fresh.on_conflict_do_update(
        index_elements=["record_id"],
        set_={"identity": fresh.excluded.identity},
        where=link.c.portal_id == fresh.excluded.portal_id,
    )
    # By what comes back: psycopg does not count the rows of an INSERT.
    if (await tx.execute(kept.returning(link.c.record_id))).first() is None:
        raise Conflict(f"record {made.record_id} is linked to another chart already")


async def move(tx: Tx, record_id: RecordId, portal_id: str) -> None:
    """Link the record, which has a chart, to this one instead, as a person says; what it showed is not known yet."""
    values = {"portal_id": portal_id, "how": "by_hand", "identity": None, "made_at": func.db_now()}
    await tx.execute(update(link).where(link.c.record_id == record_id).values(values))


async def _one(tx: Tx, where: ColumnElement[bool]) -> Link | None:
    row = (await tx.execute(select(link).where(where))).mappings().first()
    if row is None:
        return None
    return Link(
        record_id=RecordId(row["record_id"]), portal_id=row["portal_id"], how=row["how"], identity=row["identity"]
    )
