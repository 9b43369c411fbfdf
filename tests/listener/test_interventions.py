"""What a person does to the outbox: through the same arrows, never under a worker's hands, and always written down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from listener import gates, interventions, links, outbox, schema
from listener.database import Database, Tx
from listener.entry import BLOCKING, CONFIRMED_NEW, OutboxEntry, ParkedReason, State
from listener.errors import Conflict, EntryError
from listener.gates import Gate, Lane
from listener.links import Link
from tests.outbox_rows import (
    LEASE,
    NO_TIME,
    UPDATED,
    a_change,
    alter,
    arrive,
    claim,
    claimed,
    intend,
    let_the_lease_run_out,
    now,
    push,
    record,
    refused,
    row,
    rows,
    save,
    settle,
    states,
)

T = TypeVar("T")
WHO = {"actor": "dana", "reason": "She called."}
Act = Callable[[Tx, int], Awaitable[str]]


def _by(act: Callable[..., Awaitable[str]], *more: str) -> Act:
    return lambda tx, number: act(tx, number, *more, **WHO)


RETRY = _by(interventions.retry)
HOLD = _by(interventions.hold)
RELEASE = _by(interventions.release)
AS_CHART = _by(interventions.resolve_as_chart, "40001")
AS_NEW = _by(interventions.resolve_as_new)
AS_DONE = _by(interventions.resolve_as_done)
ACTS = {
    "retry": RETRY,
    "hold": HOLD,
    "release": RELEASE,
    "resolve --chart": AS_CHART,
    "resolve --new": AS_NEW,
    "resolve --done": AS_DONE,
}
OF_PARKED = ("retry", "resolve --chart", "resolve --new", "resolve --done")


async def do(db: Database, act: Act, number: int) -> str:
    """What the person is told."""
    async with db.writing() as tx:
        return await act(tx, number)


async def parked(db: Database, reason: ParkedReason = ParkedReason.AMBIGUOUS, number: int = 1) -> OutboxEntry:
    """An entry that waits for a person for that reason."""
    await arrive(db, number)
    if reason is ParkedReason.HELD:
        held: int = (await rows(db))[-1]["id"]
        await do(db, HOLD, held)
        return outbox.entry_from(await row(db, held))
    if reason is ParkedReason.NOT_TOLD:
        entry = await push(db, await claimed(db))
        after = entry.not_told(reason, code="NOT_TOLD", message="Salesforce would not.")
        assert await save(db, entry, after)
        return after
    return await settle(db, await claimed(db), refused(reason))


async def actions(db: Database) -> list[tuple[str, str, str, str]]:
    """Who did what to which, and why."""
    return [(one["actor"], one["verb"], one["target"], one["reason"]) for one in await rows(db, schema.action)]


# What may not be


@pytest.mark.parametrize("act", ACTS)
async def test_a_row_that_is_being_worked_on_is_not_touched(db: Database, act: str) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    before = await row(db, entry.id)
    with pytest.raises(EntryError, match="is being worked on") as refusal:
        await do(db, ACTS[act], entry.id)
    assert refusal.value.hint
    await let_the_lease_run_out(db, entry)  # its holder may still be clicking
    with pytest.raises(EntryError, match="is being worked on"):
        await do(db, ACTS[act], entry.id)
    assert {**await row(db, entry.id), "leased_until": None} == {**before, "leased_until": None}
    assert await actions(db) == []


@pytest.mark.parametrize("act", ACTS)
async def test_a_number_that_is_not_there_is_told(db: Database, act: str) -> None:
    with pytest.raises(EntryError, match="there is no entry 4711"):
        await do(db, ACTS[act], 4711)
    assert await actions(db) == []


@pytest.mark.parametrize("act", ACTS)
async def test_what_is_finished_stays_finished(db: Database, act: str) -> None:
    await arrive(db, 1)
    done = await settle(db, await claimed(db))
    before = await row(db, done.id)
    with pytest.raises(EntryError, match=r"is DONE|is not held"):
        await do(db, ACTS[act], done.id)
    assert await row(db, done.id) == before
    assert (await actions(db), await rows(db, schema.link)) == ([], [])


@pytest.mark.parametrize("act", [one for one in ACTS if one not in ("retry", "hold")])
async def test_what_waits_for_no_person_needs_no_answer(db: Database, act: str) -> None:
    await arrive(db, 1)
    (waiting,) = await rows(db)
    with pytest.raises(EntryError):
        await do(db, ACTS[act], waiting["id"])
    assert await rows(db) == [waiting]
    assert await rows(db, schema.link) == []


@pytest.mark.parametrize("state", [State.PUSHED, State.PARKED])
async def test_only_what_waits_for_the_portal_can_be_held(db: Database, state: State) -> None:
    if state is State.PUSHED:
        await arrive(db, 1)
        entry = await push(db, await claimed(db))
        await save(db, entry, entry.released())
    else:
        entry = await parked(db)
    with pytest.raises(EntryError, match=f"is {state}: only what waits"):
        await do(db, HOLD, entry.id)
    assert await states(db) == [state]


@pytest.mark.parametrize("reason", [one for one in ParkedReason if one is not ParkedReason.HELD])
async def test_only_what_is_held_can_be_released(db: Database, reason: ParkedReason) -> None:
    entry = await parked(db, reason)
    with pytest.raises(EntryError, match="is not held"):
        await do(db, RELEASE, entry.id)
    assert await states(db) == [State.PARKED]


# What is written down


@pytest.mark.parametrize(
    ("act", "reason", "noted"),
    [
        ("retry", ParkedReason.BAD_DATA, ("retry", "She called.")),
        ("retry", ParkedReason.NOT_TOLD, ("retry", "She called.")),
        ("release", ParkedReason.HELD, ("release", "She called.")),
        ("resolve --chart", ParkedReason.AMBIGUOUS, ("resolve", "chart 40001: She called.")),
        ("resolve --new", ParkedReason.AMBIGUOUS, ("resolve", "new: She called.")),
        ("resolve --done", ParkedReason.IDENTITY, ("resolve", "done: She called.")),
    ],
)
async def test_every_act_is_kept_with_who_when_and_why(
    db: Database, act: str, reason: ParkedReason, noted: tuple[str, str]
) -> None:
    began = await now(db)
    entry = await parked(db, reason)
    told = await do(db, ACTS[act], entry.id)
    verb, why = noted
    assert told.startswith(f"Entry {entry.id} ")
    assert (await actions(db))[-1] == ("dana", verb, str(entry.id), why)
    assert began <= (await rows(db, schema.action))[-1]["at"] <= await now(db)
    decided = act.startswith("resolve")
    after = await row(db, entry.id)
    assert (after["resolved_by"], after["resolved_at"] is not None) == ("dana" if decided else None, decided)


# Retry


@pytest.mark.parametrize("reason", [one for one in ParkedReason if one is not ParkedReason.NOT_TOLD])
async def test_a_retry_has_a_parked_row_worked_again_now_with_all_its_attempts(
    db: Database, reason: ParkedReason
) -> None:
    entry = await parked(db, reason)
    await alter(db, entry.id, attempts=6)
    assert await do(db, RETRY, entry.id) == f"Entry {entry.id} is due now."
    again = await claimed(db)
    assert (again.id, again.attempts, again.priority) == (entry.id, 1, 0)
    assert (again.parked_reason, again.code, again.message, again.outcome) == (None, None, None, None)


async def test_a_retry_of_what_salesforce_would_not_take_does_not_visit_the_portal_again(db: Database) -> None:
    entry = await parked(db, ParkedReason.NOT_TOLD)
    assert "is told to Salesforce again" in await do(db, RETRY, entry.id)
    assert await claim(db) is None
    again = await claimed(db, State.PUSHED)
    assert (again.id, again.outcome, again.portal_id) == (entry.id, UPDATED.outcome, UPDATED.portal_id)
    assert again.parked_reason is None


@pytest.mark.parametrize("state", [State.PENDING, State.PUSHED])
async def test_a_retry_ends_the_wait_for_the_next_try(db: Database, state: State) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    if state is State.PUSHED:
        entry = await push(db, entry)
    assert await save(db, entry, entry.postponed(timedelta(hours=1), code="X", message="Later."))
    assert await claim(db, state) is None
    await do(db, RETRY, entry.id)
    again = await claimed(db, state)
    assert (again.id, again.attempts) == (entry.id, 1)


async def test_a_retry_keeps_the_doubt(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await intend(db, entry)
    await settle(db, entry, refused(ParkedReason.IN_DOUBT))
    await do(db, RETRY, entry.id)
    assert (await claimed(db)).in_doubt


async def with_a_newer_row(db: Database, reason: ParkedReason, *, intent: bool) -> tuple[OutboxEntry, int]:
    """A parked entry, and the number of the row that waits behind it."""
    await arrive(db, 1)
    entry = await claimed(db)
    if intent:
        await intend(db, entry)
    await arrive(db, 1)
    await settle(db, entry, refused(reason))
    newer = (await rows(db))[-1]["id"]
    assert newer != entry.id
    return entry, newer


@pytest.mark.parametrize("act", ["retry", "resolve --chart", "resolve --new"])
@pytest.mark.parametrize("intent", [False, True])
async def test_where_a_newer_row_waits_the_parked_one_gives_way_and_takes_its_doubt_along(
    db: Database, act: str, intent: bool
) -> None:
    entry, newer = await with_a_newer_row(db, ParkedReason.IN_DOUBT, intent=intent)
    assert await claim(db) is None  # blocked
    assert await do(db, ACTS[act], entry.id) == f"Entry {entry.id} gave way to {newer}, which is due now."
    assert await states(db) == [State.SUPERSEDED, State.PENDING]
    again = await claimed(db)
    assert (again.id, again.priority) == (newer, 0)
    # Who says that there is no chart has looked: that is no doubt any more.
    assert again.in_doubt is (intent and act != "resolve --new")
    assert again.code == (CONFIRMED_NEW if act == "resolve --new" else None)


@pytest.mark.parametrize("act", ["retry", "resolve --new"])
@pytest.mark.parametrize("intent", [False, True])
async def test_a_newer_rows_own_doubt_and_fence_outlive_what_gives_way_to_it(
    db: Database, act: str, intent: bool
) -> None:
    entry, newer = await with_a_newer_row(db, ParkedReason.BAD_DATA, intent=intent)
    for _ in range(3):
        its = await claimed(db)
        assert its.id == newer
        await intend(db, its)
        assert await save(db, its, its.postponed(NO_TIME, code=None, message=None))
    await do(db, ACTS[act], entry.id)
    after = await row(db, newer)
    assert (after["fence"], after["intent_fence"]) == (its.fence, its.fence)
    again = await claimed(db)
    assert (again.id, again.fence, again.in_doubt) == (newer, its.fence + 1, True)
    assert not await save(db, its, its.pushed(UPDATED))


async def test_what_a_row_with_a_high_fence_takes_along_is_older_than_every_later_claim(db: Database) -> None:
    entry, newer = await with_a_newer_row(db, ParkedReason.IN_DOUBT, intent=True)
    await alter(db, entry.id, fence=9, intent_fence=9)
    await do(db, RETRY, entry.id)
    again = await claimed(db)
    assert (again.id, again.fence, again.intent_fence, again.in_doubt) == (newer, 10, 9, True)


# Hold and release


async def test_a_hold_keeps_the_row_and_later_changes_from_the_portal_until_it_is_released(db: Database) -> None:
    await arrive(db, 1)
    held = (await rows(db))[0]["id"]
    assert record(1) in await do(db, HOLD, held)
    assert (await row(db, held))["message"] == "Held by dana."
    await arrive(db, 1, 2)
    other = await claimed(db)
    assert other.record_id == record(2)
    await settle(db, other)
    assert await claim(db) is None
    await do(db, RELEASE, held)
    again = await claimed(db)
    assert (again.record_id, again.message) == (record(1), None)
    assert await states(db) == [State.SUPERSEDED, State.PENDING, State.DONE]
    await settle(db, again)
    assert await claim(db) is None


async def test_a_hold_in_the_middle_of_a_doubt_keeps_the_doubt(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await intend(db, entry)
    await save(db, entry, entry.postponed(timedelta(hours=1), code=None, message=None))
    await do(db, HOLD, entry.id)
    await do(db, RELEASE, entry.id)
    assert (await claimed(db)).in_doubt


# Resolve


@pytest.mark.parametrize("reason", list(ParkedReason))
async def test_resolving_by_a_chart_links_the_two_by_hand_and_works_the_row_again(
    db: Database, reason: ParkedReason
) -> None:
    entry = await parked(db, reason)
    await do(db, AS_CHART, entry.id)
    async with db.reading() as tx:
        link = await links.of_record(tx, record(1))
    assert link == Link(record_id=record(1), portal_id="40001", how="by_hand", identity=None)
    again = await claimed(db)
    assert (again.id, again.code) == (entry.id, None)


async def test_a_chart_of_another_record_is_never_taken_from_it(db: Database) -> None:
    entry = await parked(db)
    mine = Link(record_id=record(2), portal_id="40001", how="created", identity="digest")
    async with db.writing() as tx:
        await links.make(tx, mine)
    with pytest.raises(Conflict, match=f"chart 40001 is record {record(2)}'s already"):
        await do(db, AS_CHART, entry.id)
    assert await states(db) == [State.PARKED]
    assert [one["record_id"] for one in await rows(db, schema.link)] == [record(2)]
    assert await actions(db) == []


async def test_a_record_never_gets_a_second_chart_by_hand(db: Database) -> None:
    entry = await parked(db)
    async with db.writing() as tx:
        await links.make(tx, Link(record_id=record(1), portal_id="30001", how="created", identity=None))
    with pytest.raises(Conflict, match="is linked to another chart already"):
        await do(db, AS_CHART, entry.id)
    with pytest.raises(EntryError, match="has a chart already"):
        await do(db, AS_NEW, entry.id)
    assert [one["portal_id"] for one in await rows(db, schema.link)] == ["30001"]
    assert (await states(db), await actions(db)) == ([State.PARKED], [])


async def test_resolving_as_new_asks_for_a_chart_without_a_match_and_ends_the_doubt(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await intend(db, entry)
    await settle(db, entry, refused(ParkedReason.IN_DOUBT))
    await do(db, AS_NEW, entry.id)
    again = await claimed(db)
    assert (again.code, again.in_doubt) == (CONFIRMED_NEW, False)
    # A save that is cut off after that is a doubt again, and is looked for.
    await intend(db, again)
    await let_the_lease_run_out(db, again)
    assert (await claimed(db)).in_doubt


@pytest.mark.parametrize("reason", list(ParkedReason))
async def test_what_a_person_has_done_by_hand_is_done_and_later_changes_go_on(
    db: Database, reason: ParkedReason
) -> None:
    entry = await parked(db, reason)
    await arrive(db, 1)
    if reason in BLOCKING:
        assert await claim(db) is None
    assert await do(db, AS_DONE, entry.id) == f"Entry {entry.id} is done."
    assert await states(db) == [State.DONE, State.PENDING]
    assert (await row(db, entry.id))["finished_at"] is not None
    assert (await claimed(db)).id != entry.id


# Pause and resume


async def test_a_pause_is_kept_with_who_and_why_and_wins_over_an_outage_and_its_probe(db: Database) -> None:
    async def gate() -> Gate:
        async with db.reading() as tx:
            return (await gates.read(tx))[Lane.PORTAL]

    async with db.writing() as tx:
        await gates.shut(tx, Lane.PORTAL, reason="away", wait=timedelta(0))
    due = await gate()
    assert due.may_probe
    async with db.writing() as tx:
        assert await interventions.pause(tx, Lane.PORTAL, **WHO) == "The way to portal is paused; what changes waits."
    async with db.writing() as tx:
        assert not await gates.probe(tx, due, lease=LEASE)
        await gates.opened(tx, Lane.PORTAL)  # a visit that was under way ends well
        await gates.shut(tx, Lane.PORTAL, reason="away again", wait=timedelta(0))
    paused = await gate()
    assert (paused.state, paused.reason, paused.actor, paused.may_probe) == ("paused", "She called.", "dana", False)
    async with db.writing() as tx:
        assert await interventions.resume(tx, Lane.PORTAL, actor="robin", reason="All is well.") == (
            "The way to portal is open."
        )
    assert (await gate()).is_open
    assert await actions(db) == [
        ("dana", "pause", "portal", "She called."),
        ("robin", "resume", "portal", "All is well."),
    ]


# At the same moment


@pytest.fixture
async def other(db: Database) -> Any:
    """The same database for another process: connections of its own."""
    database = Database(db.url.render_as_string(hide_password=False))
    yield database
    await database.close()


async def meet(
    db: Database, other: Database, first: Callable[[Tx], Awaitable[Any]], second: Callable[[Tx], Awaitable[T]]
) -> T | Exception:
    """What the second came to, which began when the first had done its work and not committed."""

    async def comes_second() -> T | Exception:
        try:
            async with other.writing() as tx:
                return await second(tx)
        except (EntryError, Conflict) as error:
            return error

    async with db.writing() as tx:
        await first(tx)
        running = asyncio.create_task(comes_second())
        await asyncio.wait([running], timeout=0.1)
    return await asyncio.wait_for(running, timeout=20)


def claims(tx: Tx) -> Awaitable[OutboxEntry | None]:
    """A worker's claim."""
    return outbox.claim(tx, worker="two", lease=LEASE)


@pytest.mark.parametrize("act", OF_PARKED)
async def test_a_claim_that_meets_an_answer_gets_the_row_after_it_or_nothing(
    db: Database, other: Database, act: str
) -> None:
    entry = await parked(db)
    got = await meet(db, other, lambda tx: ACTS[act](tx, entry.id), claims)
    again = await claim(db)
    taken = [one for one in (got, again) if one is not None]
    assert len(taken) == (0 if act == "resolve --done" else 1)
    assert all(isinstance(one, OutboxEntry) and one.id == entry.id for one in taken)


@pytest.mark.parametrize("act", ["hold", "retry"])
async def test_an_act_that_meets_a_claim_is_told_that_the_row_is_worked_on(
    db: Database, other: Database, act: str
) -> None:
    await arrive(db, 1)
    number = (await rows(db))[0]["id"]
    told = await meet(db, other, claims, lambda tx: ACTS[act](tx, number))
    assert isinstance(told, EntryError)
    assert "is being worked on" in str(told)
    assert await actions(db) == []


async def test_a_claim_that_meets_a_hold_gets_nothing(db: Database, other: Database) -> None:
    await arrive(db, 1)
    number = (await rows(db))[0]["id"]
    assert await meet(db, other, lambda tx: HOLD(tx, number), claims) is None
    assert await claim(db) is None


@pytest.mark.parametrize("act", ["retry", "resolve --new"])
async def test_an_answer_that_meets_the_claim_of_a_newer_row_waits_behind_it(
    db: Database, other: Database, act: str
) -> None:
    entry, newer = await with_a_newer_row(db, ParkedReason.BAD_DATA, intent=False)
    told = await meet(db, other, claims, lambda tx: ACTS[act](tx, entry.id))
    assert told == f"Entry {entry.id} is due now."
    assert (await row(db, newer))["worker"] == "two"
    assert await claim(db) is None  # one at a time
    assert await states(db) == [State.PENDING, State.PENDING]


async def test_of_two_answers_the_second_is_told_that_there_is_nothing_to_answer(db: Database, other: Database) -> None:
    entry = await parked(db)
    told = await meet(db, other, lambda tx: AS_NEW(tx, entry.id), lambda tx: AS_CHART(tx, entry.id))
    assert isinstance(told, EntryError)
    assert "nothing waits for a person" in str(told)
    assert await rows(db, schema.link) == []
    assert [one[3] for one in await actions(db)] == ["new: She called."]


async def test_an_answer_that_meets_a_change_ends_with_one_waiting_row(db: Database, other: Database) -> None:
    entry = await parked(db)

    async def appends(tx: Tx) -> int:
        return await outbox.append(tx, [a_change(1)], None, settle=NO_TIME)

    told = await meet(db, other, appends, lambda tx: RETRY(tx, entry.id))
    if isinstance(told, Conflict):  # nothing was done: the person tries again
        await do(db, RETRY, entry.id)
    waiting = [one for one in await rows(db) if one["state"] == State.PENDING]
    assert len(waiting) == 1
    assert (await claimed(db)).id == waiting[0]["id"]
