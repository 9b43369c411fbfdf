"""A record put on another chart because a person says so, here and in Salesforce.

Salesforce is told first and the link follows: what stops in between is done again by the same words. Until then the row
is parked, and a parked question of identity keeps every visit of its record.
"""

from __future__ import annotations

from fusion.mapping import RecordMapping
from listener import interventions
from listener.change import RecordId
from listener.database import Database
from listener.errors import EntryError
from listener.org import Org


async def relink(
    entry_id: int, portal_id: str, *, db: Database, org: Org, mapping: RecordMapping, actor: str, reason: str
) -> str:
    """What became of it, in a sentence. The id in Salesforce is changed only where it is that of the chart before.

    Raises `EntryError` or `Conflict` where it may not be, and `Outage` where Salesforce does not answer; then nothing
    is changed here.
    """
    async with db.reading() as tx:
        before = await interventions.linked_to(tx, entry_id, portal_id)
    await _tell(before.record_id, before.portal_id, portal_id, org, mapping)
    async with db.writing() as tx:
        return await interventions.relink(tx, entry_id, portal_id, actor=actor, reason=reason)


async def _tell(record_id: RecordId, before: str, after: str, org: Org, mapping: RecordMapping) -> None:
    own = mapping.own.portal_id
    record = (await org.read(mapping.object_name, [record_id], [own])).get(record_id)
    if record is None or record.get("IsDeleted"):
        raise EntryError(f"record {record_id} is gone from Salesforce", hint="`resolve ID --done` ends its entry")
    held = str(record.get(own) or "")
    if held in ("", after):
        return
    if held != before:
        raise EntryError(
            f"Salesforce names chart {held}, neither the old one nor the new", hint="correct it there, or take that one"
        )
    error = (await org.update(mapping.object_name, {record_id: {own: after}}))[record_id]
    if error is not None and error.code == "DUPLICATE_VALUE":
        raise EntryError(f"in Salesforce another record has chart {after}", hint="which of the two is right? see both")
    if error is not None:
        raise EntryError(f"Salesforce does not take the new id: {error.code}", hint="`doctor --salesforce` says why")
