"""A record that a person puts on another chart: what changes here, in Salesforce, and in the portal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fusion.patient import Section
from fusion.relinking import relink
from listener import links, schema
from listener.change import RecordId
from listener.database import Database
from listener.entry import Outcome, ParkedReason, State
from listener.errors import Conflict, EntryError, Outage
from listener.links import Link
from listener.org import RecordError
from tests import outbox_rows as rows
from tests.fusion.desk import MAPPING, OWN, put_chart
from tests.fusion.round import Round
from tests.fusion.shell import Shell, arrived, shell

__all__ = ["shell"]


@pytest.fixture
def work(db: Database) -> Round:
    return Round(db)


async def _merged(work: Round) -> tuple[RecordId, str, str]:
    """A record whose chart staff merged into another of the same child's; its next change has parked. Both charts."""
    record_id = await work.intake()
    await work.go()
    old = (await work.entry())["portal_id"]
    new = put_chart(work.portal.inner, work.org.records[record_id])
    del work.portal.inner.charts[old]
    await work.changes(record_id, Guardian_Phone__c="(919) 555-0177")
    await work.go()
    assert await _at(work, 2) == (State.PARKED, ParkedReason.IDENTITY, "chart_not_found")
    work.org.writes.clear()
    work.portal.inner.ledger.clear()
    return record_id, old, new


async def _at(work: Round, number: int) -> tuple[Any, ...]:
    row = await work.entry(number)
    return row["state"], row["parked_reason"], row["code"]


async def _relink(work: Round, number: int, chart: str) -> str:
    entry = (await work.entry(number))["id"]
    return await relink(entry, chart, db=work.db, org=work.org, mapping=MAPPING, actor="dana", reason="merged there")


async def _link(work: Round, record_id: RecordId) -> Link | None:
    async with work.db.reading() as tx:
        return await links.of_record(tx, record_id)


async def test_a_record_goes_on_with_the_chart_that_its_own_was_merged_into(work: Round) -> None:
    record_id, old, new = await _merged(work)
    entry = (await work.entry(2))["id"]
    assert await _relink(work, 2, new) == f"Entry {entry} is due now."
    assert work.org.writes == [(record_id, {OWN.portal_id: new})]
    await work.go()
    row = await work.entry(2)
    assert (row["state"], row["outcome"], row["portal_id"]) == (State.DONE, Outcome.UPDATED, new)
    assert [(deed, chart, section) for deed, chart, section, _ in work.portal.inner.ledger] == [
        ("save", new, Section.CONTACTS)
    ]
    assert work.org.records[record_id][OWN.portal_id] == new
    found = await rows.rows(work.db, schema.action)
    assert [(one["actor"], one["verb"], one["target"], one["reason"]) for one in found] == [
        ("dana", "relink", str(entry), f"chart {old} -> {new}: merged there")
    ]


async def test_a_chart_of_another_child_is_not_typed_into(work: Round) -> None:
    record_id, _, _ = await _merged(work)
    sister = put_chart(work.portal.inner, {**work.org.records[record_id], "First_Name__c": "Nora"})
    await _relink(work, 2, sister)
    await work.go()
    assert await _at(work, 2) == (State.PARKED, ParkedReason.IDENTITY, "identity_mismatch")
    assert work.portal.inner.ledger == []


async def test_a_chart_of_another_record_is_refused_and_nothing_is_changed(work: Round) -> None:
    record_id, old, _ = await _merged(work)
    await work.intake()
    await work.go()
    hers = (await work.entry(3))["portal_id"]
    work.org.writes.clear()
    with pytest.raises(Conflict, match="already"):
        await _relink(work, 2, hers)
    assert work.org.writes == []
    link = await _link(work, record_id)
    assert link is not None
    assert link.portal_id == old


@pytest.mark.parametrize("why", ["a third chart", "refused", "silent", "gone"])
async def test_what_salesforce_says_against_it_leaves_all_as_it_was(work: Round, why: str) -> None:
    record_id, old, new = await _merged(work)
    match why:
        case "a third chart":
            work.org.edit(record_id, {OWN.portal_id: "10000099"})
        case "refused":
            work.org.refusals[record_id] = RecordError(code="DUPLICATE_VALUE")
        case "silent":
            work.org.outages.append(Outage("Salesforce is away"))
        case _:
            work.org.delete(record_id)
    with pytest.raises((EntryError, Outage)):
        await _relink(work, 2, new)
    link = await _link(work, record_id)
    assert link is not None
    assert (link.portal_id, (await _at(work, 2))[0]) == (old, State.PARKED)
    assert work.org.records[record_id][OWN.portal_id] in (old, "10000099")


async def test_what_stopped_after_salesforce_was_told_is_done_by_the_same_words(work: Round) -> None:
    record_id, _, new = await _merged(work)
    work.org.edit(record_id, {OWN.portal_id: new})
    await _relink(work, 2, new)
    assert work.org.writes == []
    await work.go()
    assert (await _at(work, 2))[0] == State.DONE


async def test_only_a_question_of_whose_chart_it_is_can_be_answered_so(work: Round) -> None:
    await _merged(work)
    await rows.alter(work.db, (await work.entry(2))["id"], parked_reason=ParkedReason.BAD_DATA)
    with pytest.raises(EntryError, match="does not ask whose chart"):
        await _relink(work, 2, "10000050")
    with pytest.raises(EntryError, match="nothing waits for a person"):
        await _relink(work, 1, "10000050")


async def test_the_command_changes_the_id_in_the_org(shell: Shell) -> None:
    (record_id,) = arrived(shell, 1)
    shell.box.org.control.update(record_id, {OWN.portal_id: "10234001"})
    db = Database(shell.database_url)
    try:
        await rows.arrive(db, replace(rows.a_change(), record_id=RecordId(record_id)))
        await rows.settle(db, await rows.claimed(db), rows.refused(ParkedReason.IDENTITY))
        async with db.writing() as tx:
            await links.make(
                tx, Link(record_id=RecordId(record_id), portal_id="10234001", how="created", identity=None)
            )
        said = await shell.run("relink", "1", "--chart", "10234002", "--reason", "merged in the portal")
        assert said.splitlines()[0] == "Entry 1 is due now."
        assert shell.box.org.control.record(record_id)[OWN.portal_id] == "10234002"
        assert await rows.states(db) == [State.PENDING]
        again = await shell.run("relink", "1", "--chart", "10234003", "--reason", "no", code=1)
        assert "nothing waits for a person there" in again
    finally:
        await db.close()
