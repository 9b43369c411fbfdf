"""The round over real databases: claimed, visited, told; and what becomes of a row when something is in the way."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import structlog

from fusion.codes import Code
from fusion.drain import DrainReport
from fusion.patient import Section
from fusion.portal import Refused
from listener import gates, log, schema
from listener.change import RecordId
from listener.database import Database
from listener.entry import Outcome, ParkedReason, State
from listener.errors import EntryError, LeaseLost, Outage, SetupError
from listener.gates import Lane
from listener.org import RecordError
from tests import outbox_rows as rows
from tests.fake_org import FakeOrg
from tests.fusion.desk import CANARIES, INTAKE, OWN, put_chart, raising
from tests.fusion.round import PausingDatabase, Round, cancelled, for_ever

AWAY = "the portal is away"


@pytest.fixture(autouse=True)
def lines() -> Iterator[StringIO]:
    """What is logged, as the program logs it: nowhere may there be a value of hers."""
    root, hooks, config = logging.getLogger(), (sys.excepthook, threading.excepthook), structlog.get_config()
    before, kept = (root.handlers, root.level), StringIO()
    log.set_up(form="json", level="debug", stream=kept)
    yield kept
    logging.captureWarnings(capture=False)
    root.handlers, root.level = before
    sys.excepthook, threading.excepthook = hooks
    structlog.configure(**config)
    assert [canary for canary in CANARIES if canary in kept.getvalue()] == []


@pytest.fixture
def work(db: Database) -> Round:
    return Round(db)


def of(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


# ---- the whole way


async def test_a_change_goes_the_whole_way_to_done(work: Round) -> None:
    record_id = await work.intake()
    assert await work.go() == DrainReport(settled=1)

    row = await work.entry()
    assert of(row, "state", "outcome", "portal_id", "attempts", "leased_until") == (
        State.DONE,
        Outcome.CREATED,
        "10000001",
        0,
        None,
    )
    assert row["pushed_at"] is not None
    assert row["finished_at"] is not None
    assert row["intent_fence"] == row["fence"] == 1
    record = work.org.records[record_id]
    assert (record[OWN.portal_id], record[OWN.status]) == ("10000001", "Synced")
    assert work.portal.creates == 1
    links = await rows.rows(work.db, schema.link)
    assert [of(link, "record_id", "portal_id", "how") for link in links] == [(record_id, "10000001", "created")]
    tried = await rows.rows(work.db, schema.attempt)
    assert [of(one, "step", "outcome", "error_class") for one in tried] == [
        ("portal", "created", None),
        ("writeback", "told", None),
    ]
    assert all(one["ended_at"] is not None for one in tried)


async def test_a_second_change_writes_only_what_differs_and_tells_only_the_time(work: Round) -> None:
    record_id = await work.intake()
    await work.go()
    work.portal.inner.ledger.clear()
    earlier = dict.fromkeys((OWN.last_attempt_at, OWN.synced_at), "2026-11-01T08:00:00.000+0000")
    await work.changes(record_id, Guardian_Phone__c="(919) 555-0199", **earlier)
    await work.go()
    assert [(deed, section) for deed, section, _ in work.portal.deeds] == [("save", Section.CONTACTS)]
    assert set(work.org.writes[-1][1]) == {OWN.last_attempt_at, OWN.synced_at}


async def test_a_change_that_changes_nothing_is_done_without_a_write_on_either_side(work: Round) -> None:
    record_id = await work.intake()
    await work.go()
    deeds, told = list(work.portal.inner.ledger), len(work.org.writes)
    await work.changes(record_id)
    assert await work.go() == DrainReport(settled=1)
    assert of(await work.entry(2), "state", "outcome") == (State.DONE, Outcome.UNCHANGED)
    assert (work.portal.inner.ledger, len(work.org.writes)) == (deeds, told)


async def test_a_refusal_is_told_and_parked(work: Round) -> None:
    record_id = await work.intake(Date_of_Birth__c=None)
    assert await work.go() == DrainReport(parked=1)
    row = await work.entry()
    assert of(row, "state", "outcome", "code", "parked_reason") == (
        State.PARKED,
        Outcome.REFUSED,
        "missing_field",
        ParkedReason.BAD_DATA,
    )
    record = work.org.records[record_id]
    assert (record[OWN.status], record[OWN.error_code]) == ("Needs Attention", "missing_field")
    assert record[OWN.error] == row["message"]

    await work.changes(record_id, Date_of_Birth__c="2019-03-04")
    assert await work.go() == DrainReport(settled=1)
    assert await rows.states(work.db) == [State.SUPERSEDED, State.DONE]
    assert (record[OWN.status], record[OWN.error_code], record[OWN.error]) == ("Synced", None, None)


async def test_a_record_that_is_gone_is_settled_without_a_word(work: Round) -> None:
    record_id = await work.intake()
    del work.org.records[record_id]
    assert await work.go() == DrainReport(settled=1)
    assert of(await work.entry(), "state", "outcome") == (State.DONE, Outcome.SKIPPED)
    assert (work.portal.calls, work.org.writes) == ([], [])


async def test_another_id_in_salesforce_parks_on_both_sides(work: Round) -> None:
    record_id = await work.intake()

    async def somebody_types_an_id() -> None:
        work.org.edit(record_id, {OWN.portal_id: "10000099"})

    work.portal.at["created"] = somebody_types_an_id
    assert await work.go() == DrainReport(parked=1)
    row = await work.entry()
    assert of(row, "state", "parked_reason", "portal_id") == (State.PARKED, ParkedReason.IDENTITY, "10000001")
    record = work.org.records[record_id]
    assert (record[OWN.portal_id], record[OWN.error_code]) == ("10000099", "different_portal_id")


async def test_nothing_is_begun_once_we_are_told_to_stop(work: Round) -> None:
    for _ in range(3):
        await work.intake()
    stopping = asyncio.Event()

    async def told() -> None:
        stopping.set()

    work.portal.at["create"] = told
    assert await work.go(stopping) == DrainReport(settled=1)
    assert sorted(await rows.states(work.db)) == [State.DONE, State.PENDING, State.PENDING]


# ---- the other side is not there


async def test_an_outage_of_the_portal_charges_nobody_shuts_the_gate_and_lets_one_probe(work: Round) -> None:
    for _ in range(3):
        await work.intake()
    work.portal.at["find"] = raising(Outage(AWAY, hint="is it up?"))
    report = await work.go()
    assert (report.postponed, report.settled, str(report.stopped_by)) == (1, 0, AWAY)
    assert work.portal.calls == ["find"]
    assert {of(row, "state", "attempts", "leased_until") for row in await rows.rows(work.db)} == {
        (State.PENDING, 0, None)
    }
    shut = await work.gate(Lane.PORTAL)
    assert (shut.state, shut.failures, shut.reason) == ("shut", 1, f"{AWAY}: is it up?")
    assert (await work.gate(Lane.SALESFORCE)).is_open

    assert await work.go() == DrainReport()
    await work.all_due()
    await work.go()
    assert work.portal.calls == ["find", "find"]
    again = await work.gate(Lane.PORTAL)
    assert (again.state, again.failures) == ("shut", 2)
    assert again.until is not None
    assert again.until - await rows.now(work.db) > timedelta(seconds=45)

    del work.portal.at["find"]
    await work.all_due()
    assert await work.go() == DrainReport(settled=3)
    opened = await work.gate(Lane.PORTAL)
    assert (opened.state, opened.failures, work.portal.creates) == ("open", 0, 3)


async def test_an_outage_in_mid_visit_shuts_the_gate_though_the_portal_had_answered(work: Round) -> None:
    await work.intake()
    work.portal.at["create"] = raising(Outage(AWAY))
    await work.go()
    assert (await work.gate(Lane.PORTAL)).state == "shut"


async def test_an_outage_of_salesforce_keeps_us_from_the_portal(work: Round) -> None:
    for _ in range(2):
        await work.intake()
    work.org.outages.append(Outage("the org is away", retry_after=3600))
    await work.go()
    assert work.portal.calls == []
    gate = await work.gate(Lane.SALESFORCE)
    assert gate.state == "shut"
    assert gate.until is not None
    assert gate.until - await rows.now(work.db) > timedelta(minutes=59)
    assert (await work.gate(Lane.PORTAL)).is_open

    await work.all_due()
    assert await work.go() == DrainReport(settled=2)
    assert (await work.gate(Lane.SALESFORCE)).is_open


async def test_an_outage_at_the_write_back_never_sends_us_to_the_portal_again(work: Round) -> None:
    record_id = await work.intake()

    async def then_the_org_goes() -> None:
        work.org.outages.append(Outage("the org is away"))

    work.portal.at["created"] = then_the_org_goes
    report = await work.go()
    assert report.postponed == 1
    row = await work.entry()
    assert of(row, "state", "outcome", "portal_id", "attempts", "leased_until") == (
        State.PUSHED,
        Outcome.CREATED,
        "10000001",
        0,
        None,
    )
    visited = list(work.portal.calls)
    assert await work.go() == DrainReport()

    await work.all_due()
    assert await work.go() == DrainReport(settled=1)
    assert (await work.entry())["state"] == State.DONE
    assert work.org.records[record_id][OWN.portal_id] == "10000001"
    assert work.portal.calls == visited


async def test_rows_that_only_wait_to_be_told_are_told_while_the_portal_is_away(work: Round) -> None:
    for _ in range(2):
        await work.intake()

    async def then_both_go() -> None:
        work.org.outages.append(Outage("the org is away"))
        work.portal.at["find"] = raising(Outage(AWAY))

    work.portal.at["created"] = then_both_go
    await work.go()
    await work.all_due()
    report = await work.go()
    assert (report.settled, report.postponed) == (1, 1)
    assert await rows.states(work.db) == [State.DONE, State.PENDING]


async def test_a_pause_wins_over_what_we_find_out(work: Round) -> None:
    await work.intake()
    async with work.db.writing() as tx:
        await gates.pause(tx, Lane.PORTAL, actor="ops", reason="the clinic moves")
    assert await work.go() == DrainReport()
    assert work.portal.calls == []
    assert (await work.gate(Lane.PORTAL)).state == "paused"


async def test_a_row_that_never_came_to_the_portal_does_not_open_its_gate(work: Round) -> None:
    await work.intake(Date_of_Birth__c=None)
    async with work.db.writing() as tx:
        await gates.shut(tx, Lane.PORTAL, reason=AWAY, wait=timedelta(0))
    assert await work.go() == DrainReport(parked=1)
    gate = await work.gate(Lane.PORTAL)
    assert (gate.state, gate.may_probe, gate.failures) == ("probing", True, 1)


async def test_a_probe_that_never_came_to_the_portal_leaves_its_place_to_the_next(work: Round) -> None:
    await work.intake(Date_of_Birth__c=None)
    work.org.delete(await work.intake())
    await work.intake()
    async with work.db.writing() as tx:
        await gates.shut(tx, Lane.PORTAL, reason=AWAY, wait=timedelta(0))
    assert await work.go() == DrainReport(settled=2, parked=1)
    assert (await work.gate(Lane.PORTAL)).is_open


async def test_a_wrong_set_up_stops_the_round_and_charges_nobody(work: Round) -> None:
    await work.intake()
    work.org.outages.append(SetupError("Salesforce has no SSN__c for this user", hint="the permission set?"))
    with pytest.raises(SetupError, match="SSN__c"):
        await work.go()
    assert of(await work.entry(), "state", "attempts", "leased_until") == (State.PENDING, 0, None)


# ---- the row is at fault


async def test_an_error_is_charged_and_tried_later(work: Round) -> None:
    await work.intake()
    work.portal.at["find"] = raising(EntryError("the search did not load", hint="is it slow?"))
    assert await work.go() == DrainReport(postponed=1)
    row = await work.entry()
    assert of(row, "state", "attempts", "code", "message", "leased_until") == (
        State.PENDING,
        1,
        "EntryError",
        "the search did not load: is it slow?",
        None,
    )
    assert timedelta(seconds=25) < row["due_at"] - await rows.now(work.db) <= timedelta(seconds=30)
    assert (await work.gate(Lane.PORTAL)).is_open


async def test_out_of_attempts_is_told_and_parked(work: Round) -> None:
    work.portal_attempts = 2
    record_id = await work.intake()
    work.portal.at["find"] = raising(EntryError("the search did not load"))
    await work.go()
    await work.all_due()
    report = await work.go()
    assert (report.parked, work.portal.calls) == (1, ["find", "find"])
    row = await work.entry()
    assert of(row, "state", "outcome", "code", "parked_reason") == (
        State.PARKED,
        Outcome.FAILED,
        Code.GAVE_UP,
        ParkedReason.EXHAUSTED,
    )
    assert work.org.records[record_id][OWN.error_code] == "gave_up"

    del work.portal.at["find"]
    await work.changes(record_id)
    await work.go()
    assert await rows.states(work.db) == [State.SUPERSEDED, State.DONE]


async def test_out_of_attempts_in_doubt_blocks_the_record(work: Round) -> None:
    work.portal_attempts = 1
    record_id = await work.intake()
    work.portal.inner.lose_reply = True
    await work.go()
    assert of(await work.entry(), "state", "code", "parked_reason") == (
        State.PARKED,
        Code.IN_DOUBT,
        ParkedReason.IN_DOUBT,
    )
    assert work.org.records[record_id][OWN.error_code] == "in_doubt"

    await work.changes(record_id)
    await work.go()
    assert work.portal.creates == 1


async def test_out_of_attempts_on_a_chart_that_we_know_is_no_doubt(work: Round) -> None:
    work.portal_attempts = 1
    record_id = await work.intake()
    await work.go()
    await work.changes(record_id, Guardian_Phone__c="(919) 555-0199")
    work.portal.inner.lose_reply = True
    await work.go()
    row = await work.entry(2)
    assert row["intent_fence"] is not None
    assert of(row, "state", "code", "parked_reason") == (State.PARKED, Code.GAVE_UP, ParkedReason.EXHAUSTED)


async def test_a_row_that_kills_its_workers_is_parked_without_another_visit(work: Round) -> None:
    work.portal_attempts = 2
    await work.intake()
    for _ in range(2):
        await rows.claimed(work.db)
        await work.leases_run_out()
    report = await work.go()
    assert (report.parked, work.portal.calls) == (1, [])
    assert of(await work.entry(), "state", "code", "parked_reason") == (
        State.PARKED,
        Code.GAVE_UP,
        ParkedReason.EXHAUSTED,
    )


async def test_a_row_that_kills_its_workers_after_the_intent_is_a_doubt(work: Round) -> None:
    work.portal_attempts = 1
    await work.intake()
    await rows.intend(work.db, await rows.claimed(work.db))
    await work.leases_run_out()
    await work.go()
    assert of(await work.entry(), "state", "parked_reason") == (State.PARKED, ParkedReason.IN_DOUBT)


async def test_a_row_that_kills_whoever_tells_salesforce_is_parked(work: Round) -> None:
    work.writeback_attempts = 2
    await work.intake()
    await rows.push(work.db, await rows.claimed(work.db))
    for _ in range(2):
        await work.leases_run_out()
        await rows.claimed(work.db, State.PUSHED)
    await work.leases_run_out()
    assert await work.go() == DrainReport(parked=1)
    assert of(await work.entry(), "state", "parked_reason", "portal_id") == (
        State.PARKED,
        ParkedReason.NOT_TOLD,
        "40001",
    )
    assert (work.portal.calls, work.org.writes) == ([], [])


async def test_a_crash_after_the_click_is_found_and_not_done_twice(work: Round) -> None:
    record_id = await work.intake()
    entry = await rows.claimed(work.db)
    await rows.intend(work.db, entry)
    portal_id = put_chart(work.portal.inner, work.org.records[record_id], rows=False)
    await work.leases_run_out()
    assert await work.go() == DrainReport(settled=1)
    assert of(await work.entry(), "outcome", "portal_id") == (Outcome.CREATED, portal_id)
    assert work.portal.creates == 0


async def test_a_locked_record_is_told_again_and_the_portal_is_not_visited(work: Round) -> None:
    work.writeback_attempts = 2
    record_id = await work.intake()
    work.org.refusals[record_id] = RecordError(code="UNABLE_TO_LOCK_ROW")
    assert await work.go() == DrainReport(postponed=1)
    assert of(await work.entry(), "state", "outcome", "code") == (State.PUSHED, Outcome.CREATED, None)
    visited = list(work.portal.calls)

    await work.all_due()
    assert await work.go() == DrainReport(postponed=1)
    await work.all_due()
    assert await work.go() == DrainReport(parked=1)
    assert of(await work.entry(), "state", "code", "parked_reason") == (
        State.PARKED,
        "UNABLE_TO_LOCK_ROW",
        ParkedReason.NOT_TOLD,
    )
    assert work.portal.calls == visited


async def test_an_answer_that_salesforce_will_not_take_is_parked_with_the_chart_known(work: Round) -> None:
    record_id = await work.intake()
    work.org.refusals[record_id] = RecordError(code="FIELD_CUSTOM_VALIDATION_EXCEPTION", fields=("Gender__c",))
    assert await work.go() == DrainReport(parked=1)
    row = await work.entry()
    assert of(row, "state", "parked_reason", "portal_id") == (State.PARKED, ParkedReason.NOT_TOLD, "10000001")
    assert "Gender__c" in row["message"]


async def test_a_page_that_cannot_be_read_after_the_click_blocks_the_record(work: Round) -> None:
    record_id = await work.intake()
    work.portal.at["click"] = raising(Refused(Code.UNEXPECTED_PAGE, "a dialog", evidence="evidence/1.json"))
    await work.go()
    row = await work.entry()
    assert of(row, "state", "code", "parked_reason", "evidence") == (
        State.PARKED,
        "unexpected_page",
        ParkedReason.IN_DOUBT,
        "evidence/1.json",
    )
    del work.portal.at["click"]
    await work.changes(record_id)
    calls = len(work.portal.calls)
    await work.go()
    assert len(work.portal.calls) == calls


async def test_a_person_who_said_new_is_heard_even_if_the_first_try_fails(work: Round) -> None:
    await work.intake(SSN__c=None)
    put_chart(work.portal.inner, {**INTAKE, "Last_Name__c": "Sampel", "SSN__c": None})
    await rows.alter(work.db, (await work.entry())["id"], code="confirmed_new")
    work.portal.at["create"] = raising(EntryError("the form did not load"))
    await work.go()
    del work.portal.at["create"]
    await work.all_due()
    assert await work.go() == DrainReport(settled=1)


# ---- the lease


async def test_who_loses_the_lease_in_mid_visit_writes_nothing_more(work: Round) -> None:
    await work.intake()

    async def taken_over() -> None:
        await work.leases_run_out()
        await rows.claimed(work.db, worker="two")

    work.portal.at["create"] = taken_over
    assert await work.go() == DrainReport(lost=1)
    row = await work.entry()
    assert of(row, "state", "worker", "fence", "intent_fence", "outcome") == (State.PENDING, "two", 2, None, None)
    assert row["leased_until"] is not None
    assert (work.portal.deeds, work.org.writes) == ([], [])
    assert await rows.rows(work.db, schema.link) == []


async def test_who_loses_the_lease_after_the_click_keeps_no_link_and_tells_nobody(work: Round) -> None:
    await work.intake()

    async def taken_over() -> None:
        await work.leases_run_out()
        await rows.claimed(work.db, worker="two")

    work.portal.at["created"] = taken_over
    assert await work.go() == DrainReport(lost=1)
    assert (await rows.rows(work.db, schema.link), work.org.writes) == ([], [])
    del work.portal.at["created"]
    await work.leases_run_out()
    assert await work.go() == DrainReport(settled=1)
    assert work.portal.creates == 1


async def test_who_loses_the_lease_in_a_visit_without_a_click_saves_nothing_either(work: Round) -> None:
    record_id = await work.intake()
    await work.go()
    told = list(work.org.writes)
    await work.changes(record_id)

    async def taken_over() -> None:
        await work.leases_run_out()
        await rows.claimed(work.db, worker="two")

    work.portal.at["read"] = taken_over
    assert await work.go() == DrainReport(lost=1)
    assert of(await work.entry(2), "state", "worker", "outcome") == (State.PENDING, "two", None)
    assert work.org.writes == told


async def test_a_worker_that_was_frozen_between_claim_and_click_does_not_click(work: Round) -> None:
    work.length = timedelta(seconds=1.6)
    await work.intake()

    async def frozen() -> None:
        time.sleep(1.0)  # no heartbeat either: the whole loop stands still

    work.portal.at["create"] = frozen
    assert await work.go() == DrainReport(lost=1)
    assert work.portal.deeds == []


async def test_two_workers_are_never_on_one_record_at_a_time(work: Round) -> None:
    ids = [await work.intake() for _ in range(4)]
    busy: set[str] = set()
    visits: list[RecordId] = []

    class Watched(type(work.portal)):  # type: ignore[misc]
        async def find(self, patient: Any) -> Any:
            return await self.watched(patient.record_id, super().find(patient))

        async def watched(self, record_id: RecordId, looking: Any) -> Any:
            assert record_id not in busy
            busy.add(record_id)
            visits.append(record_id)
            await asyncio.sleep(0.02)
            if len(visits) <= 4:
                await rows.arrive(work.db, rows.a_change(record_id=record_id))
            await asyncio.sleep(0.02)
            busy.discard(record_id)
            return await looking

    portals = [Watched(inner=work.portal.inner) for _ in range(2)]
    workers = [work.worker(name, portal=portal) for name, portal in zip("ab", portals, strict=True)]
    reports = await asyncio.gather(*(work.drain(worker) for worker in workers))
    await work.all_due()
    last = await work.go()
    assert (sorted(visits), work.portal.creates) == (sorted(ids), 4)
    ended = await rows.states(work.db)
    # A first answer that was gathering when the second came is covered by it.
    assert sum(report.settled for report in (*reports, last)) == ended.count(State.DONE)
    assert (len(ended), set(ended[4:])) == (8, {State.DONE})
    assert set(ended[:4]) <= {State.DONE, State.SUPERSEDED}


async def test_changes_during_a_visit_make_exactly_one_more(work: Round) -> None:
    record_id = await work.intake()

    async def edited_twice() -> None:
        work.portal.at.clear()
        for street in ("2 Oak Street", "3 Oak Street"):
            await work.changes(record_id, Guardian_Street__c=street)

    work.portal.at["create"] = edited_twice
    assert await work.go() == DrainReport(settled=2)
    assert [of(row, "state", "outcome", "changes") for row in await rows.rows(work.db)] == [
        (State.DONE, Outcome.CREATED, 1),
        (State.DONE, Outcome.UPDATED, 2),
    ]


async def test_the_lease_lost_is_no_reason_to_stop_the_round(work: Round) -> None:
    for _ in range(2):
        await work.intake()

    async def lost_once() -> None:
        work.portal.at.clear()
        raise LeaseLost("taken over")

    work.portal.at["find"] = lost_once
    report = await work.go()
    assert (report.lost, report.settled) == (1, 1)


# ---- cut off, and what nobody foresaw


async def test_what_nobody_foresaw_is_charged_and_logged_without_its_words(work: Round, lines: StringIO) -> None:
    await work.intake()
    work.portal.at["find"] = raising(ValueError("no such option: Mia Sample, 2019-03-04"))
    assert await work.go() == DrainReport(postponed=1)
    assert of(await work.entry(), "state", "attempts", "code", "message") == (
        State.PENDING,
        1,
        "ValueError",
        "Unforeseen: ValueError.",
    )
    (logged,) = [line for line in lines.getvalue().splitlines() if "entry failed" in line]
    assert "builtins.ValueError at " in logged
    assert "fusion.push" in logged


async def test_the_deadline_cuts_a_visit_off_and_charges_it(work: Round) -> None:
    work.deadline = timedelta(seconds=0.1)
    await work.intake()
    _, work.portal.at["find"] = for_ever()
    assert await work.go() == DrainReport(postponed=1)
    row = await work.entry()
    assert of(row, "state", "attempts", "leased_until") == (State.PENDING, 1, None)
    assert "deadline" in row["message"]


async def test_a_long_visit_keeps_its_lease(work: Round) -> None:
    work.length = timedelta(seconds=1.2)
    await work.intake()

    async def slow() -> None:
        await asyncio.sleep(1.5)
        assert await rows.claim(work.db, worker="two") is None

    work.portal.at["find"] = slow
    assert await work.go() == DrainReport(settled=1)
    assert (await work.entry())["fence"] == 1


async def test_shutdown_in_mid_visit_gives_the_row_back(work: Round) -> None:
    await work.intake()
    come, work.portal.at["find"] = for_ever()
    task = asyncio.create_task(work.go())
    await come.wait()
    await cancelled(task)
    assert of(await work.entry(), "state", "attempts", "leased_until", "intent_fence") == (
        State.PENDING,
        0,
        None,
        None,
    )
    del work.portal.at["find"]
    assert await work.go() == DrainReport(settled=1)


async def test_shutdown_at_the_click_gives_the_row_back_in_doubt(work: Round) -> None:
    await work.intake()
    come, work.portal.at["click"] = for_ever()
    task = asyncio.create_task(work.go())
    await come.wait()
    await cancelled(task)
    assert of(await work.entry(), "state", "attempts", "leased_until", "intent_fence") == (State.PENDING, 0, None, 1)

    work.portal.at.clear()
    work.portal.calls.clear()
    assert await work.go() == DrainReport(settled=1)
    assert work.portal.calls.count("find") == 2
    assert work.portal.creates == 1


async def test_shutdown_while_telling_gives_the_row_back_as_pushed(work: Round) -> None:
    await work.intake()
    come, moment = for_ever()

    class Hanging(FakeOrg):
        async def update(self, *_args: Any) -> Any:
            await moment()

    answering, work.org = work.org, Hanging()
    work.org.records = answering.records
    task = asyncio.create_task(work.go())
    await come.wait()
    await cancelled(task)
    assert of(await work.entry(), "state", "attempts", "leased_until") == (State.PUSHED, 0, None)

    work.org, visited = answering, list(work.portal.calls)
    assert await work.go() == DrainReport(settled=1)
    assert work.portal.calls == visited


async def test_shutdown_while_the_answer_is_being_saved_waits_for_it(url: str) -> None:
    db = PausingDatabase(url)
    work = Round(db)
    await work.intake()
    # The first commit after the last of five forms was saved.
    db.armed = lambda: len(work.portal.deeds) == 5
    task = asyncio.create_task(work.go())
    await asyncio.wait_for(db.waiting.wait(), timeout=20)
    task.cancel()
    await asyncio.sleep(0.02)
    assert not task.done()
    db.go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert of(await work.entry(), "state", "attempts", "leased_until") == (State.PUSHED, 0, None)

    visited = list(work.portal.calls)
    assert await work.go() == DrainReport(settled=1)
    assert work.portal.calls == visited
    await db.close()


async def test_no_value_of_hers_rests_in_the_database(work: Round) -> None:
    await work.intake()
    await work.go()
    work.portal.at["find"] = raising(ValueError("Mia Sample"))
    await work.intake()
    await work.go()
    del work.portal.at["find"]
    for bad in ({"Date_of_Birth__c": "1019-03-04"}, {"SSN__c": "XXX-XX-3456"}, {"Guardian_Phone__c": "5550123"}):
        await work.intake(**bad)
    await work.go()
    kept = [str(row) for table in schema.metadata.sorted_tables for row in await rows.rows(work.db, table)]
    assert len(kept) > 15
    assert [canary for canary in CANARIES for row in kept if canary in row] == []
