"""A clinic whose worker looks whether the portal has changed, and what the tests of that ask again and again."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from fusion.drift import Place, Walk
from fusion.patrol import AGAIN, WITHIN, Patrol
from listener import drifts, schema
from listener.change import RecordId
from listener.database import Database
from tests.fusion.desk import INTAKE, OWN, Moment, put_chart
from tests.fusion.round import Round

PHONE = {Place.CONTACTS: '"Phone"'}
IN_ROWS = [field for field in INTAKE if field.startswith(("Guardian_", "Insurance_", "Presenting_", "Case_"))]


class Clinic(Round):
    """A round with a patrol, and what its tests ask for again and again."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.seconds = 0.0
        self.walk: Moment | None = None  # what happens to a walk
        self.failed = 0
        self.new_pack("one")

    def new_pack(self, edition: str, *, within: timedelta = WITHIN) -> None:
        zone = ZoneInfo("America/New_York")
        self.patrol = Patrol(self.db, self._walked, pack=edition, zone=zone, within=within, clock=lambda: self.seconds)

    async def _walked(self, chart: str | None, places: Collection[Place], seen: Walk) -> None:
        if self.walk is not None:
            self.failed += 1
            await self.walk()
        await self.portal.inner.walk(chart, places, seen)

    @property
    def walks(self) -> list[str | None]:
        return self.portal.inner.walks

    @property
    def changed(self) -> dict[Place, str]:
        return self.portal.inner.changed

    async def linked(self, *, rows: bool = True, **differs: Any) -> RecordId:
        """A record whose chart shows all that it did, before these fields were changed; without *rows*, it had none."""
        number = len(self.org.records)
        # The note of a chart bears its record's id.
        record_id = await self.intake(**dict.fromkeys(("Case_Notes__c",) if rows else IN_ROWS))
        chart = put_chart(self.portal.inner, self.org.records[record_id], rows=rows)
        self.org.edit(record_id, {OWN.portal_id: chart, **(differs or {"Preferred_Name__c": f"Nick {number}"})})
        return record_id

    async def looked_long_ago(self, ago: timedelta = AGAIN) -> None:
        """As if so much time had passed since the last walk."""
        self.seconds += ago.total_seconds()
        async with self.db.writing() as tx:
            await tx.execute(update(schema.drift).values(checked_at=func.db_after(-ago.total_seconds())))

    async def waits(self) -> dict[str, int]:
        async with self.db.reading() as tx:
            return dict(await drifts.waits(tx))

    async def due_now(self) -> int:
        async with self.db.reading() as tx:
            due = select(func.count()).select_from(schema.outbox).where(schema.outbox.c.due_at <= func.db_now())
            return int((await tx.execute(due.where(schema.outbox.c.state == "PENDING"))).scalar_one())

    def told(self, record_id: RecordId) -> tuple[Any, ...]:
        record = self.org.records[record_id]
        return record.get(OWN.status), record.get(OWN.error_code), record.get(OWN.error)


@pytest.fixture
def clinic(db: Database) -> Clinic:
    return Clinic(db)


def of(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)
