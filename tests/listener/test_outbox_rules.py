"""Rows that must not exist cannot be written, whatever the code does: the rules of the tables, by raw SQL."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from listener import schema
from listener.database import Database
from listener.errors import Conflict
from tests.outbox_rows import LEASE, arrive, claimed, rows

NOON = "'2026-11-03 12:00:00.000000+00:00'"
LEGAL = {
    "object_name": "'Patient__c'",
    "record_id": "'a0P000000000001EAA'",
    "state": "'PENDING'",
    "priority": "10",
    "due_at": NOON,
    "changed_at": NOON,
    "created_at": NOON,
}
LEASED = {"leased_until": NOON, "worker": "'one'"}
FINISHED = {"finished_at": NOON}


async def insert(db: Database, table: str, values: dict[str, str]) -> None:
    """A row exactly as told."""
    async with db.writing() as tx:
        await tx.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"))


@pytest.mark.parametrize(
    "values",
    [
        {},
        LEASED,
        {"state": "'PUSHED'", "outcome": "'updated'"} | LEASED,
        {"state": "'DONE'"} | FINISHED,
        {"state": "'SUPERSEDED'"} | FINISHED,
        {"state": "'PARKED'", "parked_reason": "'held'"},
        {"intent_at": NOON, "intent_fence": "3", "fence": "3"},
    ],
)
async def test_rows_that_may_be_are_taken(db: Database, values: dict[str, str]) -> None:
    await insert(db, "outbox", LEGAL | values)


@pytest.mark.parametrize(
    "values",
    [
        {"state": "'WORKING'"},
        {"state": "'pending'"},
        {"state": "'DONE'"},  # finished, but not when
        {"state": "'SUPERSEDED'"},
        FINISHED,  # when, but not finished
        {"state": "'PARKED'", "parked_reason": "'held'"} | FINISHED,
        {"state": "'DONE'"} | FINISHED | LEASED,
        {"state": "'PARKED'", "parked_reason": "'held'"} | LEASED,
        {"state": "'PARKED'"},
        {"state": "'PARKED'", "parked_reason": "'because'"},
        {"parked_reason": "'because'"},
        {"state": "'PUSHED'"},
        {"leased_until": NOON},  # whose?
        {"intent_at": NOON},
        {"intent_fence": "0"},
        {"intent_at": NOON, "intent_fence": "4", "fence": "3"},
        {"attempts": "-1"},
        {"changes": "-1"},
        {"fence": "-1"},
    ],
    ids=str,
)
async def test_rows_that_must_not_be_are_refused(db: Database, values: dict[str, str]) -> None:
    with pytest.raises(Conflict):
        await insert(db, "outbox", LEGAL | values)
    assert await rows(db) == []


@pytest.mark.parametrize("missing", list(LEGAL))
async def test_rows_say_what_and_when(db: Database, missing: str) -> None:
    with pytest.raises(Conflict):
        await insert(db, "outbox", {name: value for name, value in LEGAL.items() if name != missing})


@pytest.mark.parametrize("twice", [{}, LEASED], ids=["waiting", "leased"])
async def test_a_record_has_one_waiting_row_and_one_lease(db: Database, twice: dict[str, str]) -> None:
    await insert(db, "outbox", LEGAL | twice)
    with pytest.raises(Conflict):
        await insert(db, "outbox", LEGAL | twice)
    await insert(db, "outbox", LEGAL | twice | {"record_id": "'a0P000000000002EAA'"})
    assert len(await rows(db)) == 2


@pytest.mark.parametrize("stage", [{}, {"state": "'PUSHED'", "outcome": "'updated'"}], ids=["visit", "write-back"])
async def test_one_lease_a_record_holds_over_both_stages(db: Database, stage: dict[str, str]) -> None:
    await insert(db, "outbox", LEGAL | LEASED)
    with pytest.raises(Conflict):
        await insert(db, "outbox", LEGAL | LEASED | stage)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("gate", {"lane": "'fax'", "state": "'open'"}),
        ("gate", {"lane": "'portal'", "state": "'ajar'"}),
        ("gate", {"lane": "'portal'", "state": "'shut'"}),  # until when?
        ("gate", {"lane": "'portal'", "state": "'probing'"}),
        ("link", {"record_id": "'a'", "portal_id": "'1'", "made_at": NOON, "how": "'guessed'"}),
        (
            "attempt",
            {"outbox_id": "404", "fence": "1", "step": "'portal'", "worker": "'one'", "started_at": NOON},
        ),
    ],
)
async def test_what_stands_around_the_outbox_has_its_rules_too(
    db: Database, table: str, values: dict[str, str]
) -> None:
    with pytest.raises(Conflict):
        await insert(db, table, values)


async def test_a_claim_has_one_line_a_step(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    line = {"outbox_id": str(entry.id), "fence": "1", "worker": "'two'", "started_at": NOON}
    with pytest.raises(Conflict):
        await insert(db, "attempt", line | {"step": "'portal'"})
    with pytest.raises(Conflict):
        await insert(db, "attempt", line | {"step": "'fax'"})
    await insert(db, "attempt", line | {"step": "'writeback'"})


async def test_what_belongs_to_a_row_goes_with_it(db: Database) -> None:
    await arrive(db, 1)
    await claimed(db, lease=LEASE)
    async with db.writing() as tx:
        await tx.execute(text("DELETE FROM outbox"))
    assert (await rows(db, schema.change), await rows(db, schema.attempt)) == ([], [])


async def test_an_id_is_never_used_twice(db: Database) -> None:
    await arrive(db, 1)
    (first,) = await rows(db)
    async with db.writing() as tx:
        await tx.execute(text("DELETE FROM outbox"))
    await arrive(db, 1)
    assert (await rows(db))[0]["id"] > first["id"]
