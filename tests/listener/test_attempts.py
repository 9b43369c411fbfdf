"""One line a step and claim says what was tried, by whom, and how it ended; attempts count what is a row's fault."""

from __future__ import annotations

from dataclasses import replace

from listener import schema
from listener.database import Database
from listener.entry import ParkedReason, State
from tests.outbox_rows import NO_TIME, arrive, claimed, let_the_lease_run_out, push, refused, row, rows, save, settle


async def test_a_crash_counts_an_attempt_and_a_release_gives_it_back(db: Database) -> None:
    await arrive(db, 1)
    await let_the_lease_run_out(db, await claimed(db))
    second = await claimed(db)
    assert second.attempts == 2
    await save(db, second, second.released(), error="Outage")
    third = await claimed(db)
    assert third.attempts == 2
    await save(db, third, third.postponed(NO_TIME, code="SLOW", message="Slow."), error="EntryError")
    assert (await claimed(db)).attempts == 3


async def test_each_step_and_claim_has_one_line_and_those_cut_off_stay_open(db: Database) -> None:
    await arrive(db, 1)
    await let_the_lease_run_out(db, await claimed(db, worker="one"))
    entry = await claimed(db, worker="two")
    await save(db, entry, entry.released(), error="Outage")
    entry = await claimed(db, worker="two")
    await save(db, entry, entry.postponed(NO_TIME, code="SLOW", message="Slow."), error="EntryError")
    pushed = await push(db, await claimed(db, worker="two"))
    await save(db, pushed, pushed.postponed(NO_TIME, code=None, message=None), error="UNABLE_TO_LOCK_ROW")
    pushed = await claimed(db, State.PUSHED, worker="two")
    await save(db, pushed, pushed.settled())
    lines = [
        (one["fence"], one["step"], one["worker"], one["outcome"], one["error_class"], one["ended_at"] is not None)
        for one in await rows(db, schema.attempt)
    ]
    assert lines == [
        (1, "portal", "one", None, None, False),
        (2, "portal", "two", "released", "Outage", True),
        (3, "portal", "two", "failed", "EntryError", True),
        (4, "portal", "two", "updated", None, True),
        (4, "writeback", "two", "failed", "UNABLE_TO_LOCK_ROW", True),
        (5, "writeback", "two", "told", None, True),
    ]


async def test_a_visit_that_needs_a_person_is_in_the_lines_with_what_was_seen(db: Database) -> None:
    await arrive(db, 1)
    result = replace(refused(ParkedReason.IDENTITY), evidence="41/portal.png")
    await settle(db, await claimed(db), result)
    visit, told = await rows(db, schema.attempt)
    assert (visit["outcome"], visit["message"], visit["evidence"]) == ("refused", "See there.", "41/portal.png")
    assert told["outcome"] == "parked"


async def test_the_write_back_counts_its_own_attempts(db: Database) -> None:
    await arrive(db, 1)
    await let_the_lease_run_out(db, await claimed(db))
    pushed = await push(db, await claimed(db))
    assert (await row(db, pushed.id))["attempts"] == 0
    await save(db, pushed, pushed.postponed(NO_TIME, code=None, message=None), error="X")
    assert (await claimed(db, State.PUSHED)).attempts == 1
