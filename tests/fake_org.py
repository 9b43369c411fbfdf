"""An org in memory that keeps the promises of `listener.org.Org`; `tests/contract/test_org.py` holds it to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from listener.change import RecordId, long_id
from listener.errors import SetupError
from listener.org import FieldDescription, Record, RecordError, Touched

_now = partial(datetime.now, UTC)


class FakeOrg:
    """Records by id. `writes` is the ledger of what `update` wrote; `outages` are raised by the next calls, in order;
    `refusals` are answered by `update` for their records; `fields` are those that exist (None: whatever is asked)."""

    def __init__(
        self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), fields: Sequence[str] | None = None
    ):
        self.records: dict[RecordId, dict[str, Any]] = {}
        self.writes: list[tuple[RecordId, dict[str, Any]]] = []
        self.outages: list[Exception] = []
        self.refusals: dict[RecordId, RecordError] = {}
        self.purged: list[Touched] = []
        self._fields = None if fields is None else {"Id", "IsDeleted", "SystemModstamp", *fields}
        self._clock = clock

    def create(self, values: Mapping[str, Any]) -> RecordId:
        record_id = long_id(f"a0P{len(self.records) + len(self.purged) + 1:012d}")
        self.records[record_id] = {"Id": record_id, "IsDeleted": False, **values, "SystemModstamp": self._clock()}
        return record_id

    def edit(self, record_id: RecordId, values: Mapping[str, Any]) -> None:
        self.records[record_id] |= {**values, "SystemModstamp": self._clock()}

    def delete(self, record_id: RecordId) -> None:
        self.edit(record_id, {"IsDeleted": True})

    def purge(self, record_id: RecordId) -> None:
        """Gone from the recycle bin too."""
        del self.records[record_id]
        self.purged.append(Touched(record_id=record_id, modified_at=self._clock(), deleted=True))

    async def read(
        self, object_name: str, record_ids: Sequence[RecordId], fields: Sequence[str]
    ) -> dict[RecordId, Record]:
        self._answer(object_name, fields)
        names = ["Id", "IsDeleted", *fields]
        return {one: {n: self.records[one].get(n) for n in names} for one in record_ids if one in self.records}

    async def changed_since(
        self, object_name: str, since: datetime, until: datetime, *, where: str | None = None
    ) -> AsyncIterator[Touched]:
        self._answer(object_name, ())
        for one in sorted(self.records.values(), key=lambda record: (record["SystemModstamp"], record["Id"])):
            if since <= one["SystemModstamp"] <= until:
                yield Touched(record_id=one["Id"], modified_at=one["SystemModstamp"], deleted=one["IsDeleted"])

    async def deleted_since(self, object_name: str, since: datetime, until: datetime) -> AsyncIterator[Touched]:
        async for one in self.changed_since(object_name, since, until):
            if one.deleted:
                yield one
        for one in self.purged:
            if since <= one.modified_at <= until:
                yield one

    async def update(self, object_name: str, values: Mapping[RecordId, Record]) -> dict[RecordId, RecordError | None]:
        self._answer(object_name, [name for one in values.values() for name in one])
        gone = {one: RecordError(code="ENTITY_IS_DELETED") for one in values if self.records[one]["IsDeleted"]}
        for one in sorted(values.keys() - gone.keys() - self.refusals.keys()):
            self.edit(one, values[one])
            self.writes.append((one, dict(values[one])))
        return {one: self.refusals.get(one) or gone.get(one) for one in values}

    async def describe(self, object_name: str) -> dict[str, FieldDescription]:
        self._answer(object_name, ())
        names = self._fields or ()
        return {n: FieldDescription(name=n, label=n, type="string", length=255, updateable=True) for n in names}

    async def now(self) -> datetime:
        self._answer("Patient__c", ())
        return self._clock().replace(microsecond=0)

    async def user_id(self) -> str:
        return "005000000000001AAA"

    def _answer(self, object_name: str, fields: Sequence[str]) -> None:
        if self.outages:
            raise self.outages.pop(0)
        missing = [n for n in fields if self._fields and n not in self._fields]
        if missing or object_name == "Nothing__c":
            raise SetupError(f"Salesforce has no {object_name}.{missing[:1]} for this user", hint="the permission set?")
