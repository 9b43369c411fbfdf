"""The round: visit what is due, one row at a time, and tell Salesforce, many at a time; until nothing is due or passes.

An answer is told at once where nothing else is due. While more visits are due answers gather, since two hundred cost
Salesforce no more calls than one; they are told when enough have gathered, or the oldest has waited long enough.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import assert_never

import structlog

from fusion import news
from fusion.codes import Code
from fusion.drift import Waits
from fusion.push import Desk, push
from fusion.saving import let_go, open_the_gates, put_off, save, save_alike, shut_the_gate
from fusion.telling import Telling
from fusion.turn import Turn, Worker, claim, claim_to_tell
from fusion.writeback import Answer, Told
from listener import tellings
from listener.entry import CONFIRMED_NEW, OutboxEntry, Outcome, ParkedReason, State, SyncResult, backoff
from listener.errors import LeaseLost, Outage, SetupError, SyncError

log = structlog.get_logger()

_LOOK = 1.0
"""Seconds between two looks while the pace holds a visit back."""


@dataclass(slots=True, kw_only=True)
class DrainReport:
    """What one round came to, by the rows that it let go of for good or for later.

    `to_tell`: what Salesforce is to hear of rows that are tried again; empty when the round is over.
    """

    settled: int = 0
    parked: int = 0
    postponed: int = 0
    lost: int = 0
    stopped_by: Outage | None = None
    to_tell: news.News = field(default_factory=news.News, compare=False)


async def drain(worker: Worker, *, stopping: asyncio.Event) -> DrainReport:
    """Work until nothing is due that may pass, or `stopping` is set; the entries in hand are finished first.

    Raises `SetupError`, and `Outage` where the database does not answer.
    """
    report = DrainReport()
    if worker.patrol is not None:
        # All that is due may wait for what nobody would look at before it is due.
        await worker.patrol.known()
    while not stopping.is_set():
        await worker.timetable.keep(worker.db, worker.clock())
        async with worker.db.reading() as tx:
            there_is = await tellings.gathered(tx, after=worker.limits.tell_after)
        if there_is.stale:
            async with worker.db.writing() as tx:
                await tellings.recall(tx)
            continue
        turn = await claim_to_tell(worker) if there_is.is_time else None
        if turn is None and worker.pace is not None and (seconds := worker.pace.due_in()):
            # What is to be told meanwhile is looked for as often as when nothing is due.
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), timeout=min(seconds, _LOOK))
            if report.to_tell.is_time(worker):
                await report.to_tell.tell(worker)
            continue
        turn = turn or await claim(worker)
        if turn is None:
            break
        if worker.pace is not None and turn.visits:
            worker.pace.took()
        await _work(turn, worker, report)
        if report.to_tell.is_time(worker):
            await report.to_tell.tell(worker)
    if stopping.is_set() and (turn := await claim_to_tell(worker)) is not None:
        # Who starts again may do so in an hour.
        await _work(turn, worker, report)
    await report.to_tell.tell(worker)
    return report


async def _work(turn: Turn, worker: Worker, report: DrainReport) -> None:
    began, claimed = time.monotonic(), dict(turn.entries)
    try:
        await _worked(turn, worker, report)
    except LeaseLost as lost:
        log.warning("lease lost", entries=sorted(claimed), why=str(lost))
        for entry in turn.held:
            turn.lose(entry.id)
    seconds = round((time.monotonic() - began) / len(claimed), 3)
    for entry_id, entry in turn.entries.items():
        if not turn.gathers:
            _count(entry, report)
        log.info(
            "entry worked",
            entry=entry_id,
            record=entry.record_id,
            state=entry.state,
            outcome=entry.outcome,
            code=entry.code,
            attempts=claimed[entry_id].attempts,
            changes=entry.changes,
            portal_id=entry.portal_id,
            seconds=seconds,
        )
    report.lost += len(turn.lost)
    report.to_tell.hear_of(
        turn, charged=[i for i, entry in turn.entries.items() if entry.attempts == claimed[i].attempts]
    )
    await open_the_gates(turn, worker)


async def _worked(turn: Turn, worker: Worker, report: DrainReport) -> None:
    """Work the rows until they are let go of. Raises `LeaseLost`, `SetupError`, and `Outage` of the database."""
    try:
        if turn.visits:
            await _visit(turn, worker)
        if turn.held:
            await _tell(turn, turn.held, worker)
    except LeaseLost:
        raise
    except Waits as waits:
        await put_off(turn, waits, worker)
    except SetupError:
        # Every row would fail in the same way, and none is to blame.
        await let_go(turn, worker, error="SetupError")
        raise
    except Outage as outage:
        report.stopped_by = outage
        await shut_the_gate(turn, outage, worker)
    except asyncio.CancelledError:
        # Shutdown ran out of patience: not the row's fault. An intent, if there is one, stays.
        with suppress(SyncError):  # then the lease runs out by itself
            await let_go(turn, worker)
        raise
    except Exception as error:
        for entry in turn.held:
            await _failed(turn, entry, error, worker)


async def _visit(turn: Turn, worker: Worker) -> None:
    """PENDING -> PUSHED, saved; the lease is kept for the write-back unless it is better told with others."""
    entry, hold = turn.entry, turn.hold
    if entry.attempts > worker.limits.portal_attempts:
        # It was charged by claims that never came to an end: it takes its workers with it.
        await save(turn, entry.pushed(await _gave_up(turn)), worker, error="GaveUp")
        return
    desk = Desk(
        org=worker.org,
        portal=worker.portal,
        mapping=worker.mapping,
        links=hold,
        about_to_save=hold.about_to_save,
        about_to_create=hold.about_to_create,
        today=worker.today,
        look_again=worker.limits.look_again.total_seconds(),
        heard=turn.heard,
        seen=turn.seen,
        patrol=worker.patrol,
    )
    async with hold.kept(), news.of_a_long_visit(turn, worker):
        result = await push(entry, desk)
    async with worker.db.reading() as tx:
        there_is = await tellings.gathered(tx, after=worker.limits.tell_after)
    turn.gathers = there_is.visits or there_is.waiting > 0
    await save(turn, replace(entry.pushed(result), leased=not turn.gathers), worker)


async def _tell(turn: Turn, entries: Sequence[OutboxEntry], worker: Worker) -> None:
    """PUSHED -> as Salesforce left it: settled, parked, or waiting for the next try; saved.

    Where it cannot even be asked about all of them together, it is asked about fewer: only who is at fault pays.
    """
    limit = worker.limits.writeback_attempts
    for entry in [entry for entry in entries if entry.attempts > limit]:
        await _save_answer(
            turn, entry, worker, Told(answer=Answer.WILL_NOT, code=Code.GAVE_UP, message=Code.GAVE_UP.sentence())
        )
    entries = [entry for entry in entries if entry.attempts <= limit]
    async with worker.db.reading() as tx:
        standing = await tellings.standing(tx, [entry.id for entry in entries])

    async def still_ours(entry_ids: Collection[int]) -> Collection[int]:
        return [entry_id for entry_id in entry_ids if await _is_ours(turn, entry_id)]

    go = Telling(
        org=worker.org,
        own=worker.mapping.own,
        now=worker.clock(),
        standing=standing,
        seen=turn.seen,
        about_to_write=still_ours,
        heard=turn.heard,
    )
    try:
        await go.tell(entries)
    except (Outage, SetupError):
        await _save_answers(turn, go.told, worker)
        raise
    except Exception as error:
        await _save_answers(turn, go.told, worker)
        left = [entry for entry in entries if entry.id in turn.entries and turn.entries[entry.id].leased]
        if len(left) == 1 and len(entries) == 1:
            await _failed(turn, left[0], error, worker)
            return
        middle = len(left) // 2
        for half in (left[:middle], left[middle:]):
            if half:
                await _tell(turn, half, worker)
    else:
        await _save_answers(turn, go.told, worker)


async def _is_ours(turn: Turn, entry_id: int) -> bool:
    try:
        await turn.holds[entry_id].still_ours(turn.entries[entry_id])
    except LeaseLost as lost:
        log.warning("lease lost", entry=entry_id, why=str(lost))
        turn.lose(entry_id)
        return False
    return True


async def _save_answers(turn: Turn, told: Mapping[int, Told], worker: Worker) -> None:
    entries = {entry.id: entry for entry in turn.held if entry.id in told}
    told_now = [entry.settled() for entry in entries.values() if told[entry.id].answer is Answer.TOLD]
    await save_alike(turn, told_now, worker)
    for entry in entries.values():
        if told[entry.id].answer is not Answer.TOLD:
            await _save_answer(turn, entry, worker, told[entry.id])


async def _save_answer(turn: Turn, entry: OutboxEntry, worker: Worker, told: Told) -> None:
    """What was not told: parked for a person, or put off."""
    if told.answer is Answer.AGAIN and entry.attempts < worker.limits.writeback_attempts:
        delay = backoff(max(1, entry.attempts), unit=worker.unit(), cap=timedelta(hours=1))
        after = entry.postponed(delay, code=entry.code, message=entry.message)
    else:
        after = entry.not_told(told.reason, code=told.code, message=told.message)
    try:
        await save(turn, after, worker, error=told.code)
    except LeaseLost as lost:
        log.warning("lease lost", entry=entry.id, why=str(lost))
        turn.lose(entry.id)


async def _failed(turn: Turn, entry: OutboxEntry, error: Exception, worker: Worker) -> None:
    """Charge the attempt and try later; out of attempts, say so and let a person look."""
    name = type(error).__name__
    known = isinstance(error, SyncError)
    log.log(30 if known else 40, "entry failed", entry=entry.id, record=entry.record_id, exc_info=error)
    # A stranger's words may quote a patient.
    message = error.whole if isinstance(error, SyncError) else f"Unforeseen: {name}."
    visiting = entry.state is State.PENDING
    if entry.attempts < (worker.limits.portal_attempts if visiting else worker.limits.writeback_attempts):
        delay = backoff(max(1, entry.attempts), unit=worker.unit())
        # A PUSHED row holds its answer there, and a row that a person resolved the decision.
        keeps_its_code = not visiting or entry.code == CONFIRMED_NEW
        after = entry.postponed(
            delay,
            code=entry.code if keeps_its_code else name,
            message=message if visiting else entry.message,
        )
    elif visiting:
        # Salesforce is told in a claim of its own: PUSHED, lease dropped.
        after = replace(entry.pushed(await _gave_up(turn)), leased=False)
    else:
        after = entry.not_told(ParkedReason.NOT_TOLD, code=name, message=message)
    await save(turn, after, worker, error=name)


async def _gave_up(turn: Turn) -> SyncResult:
    code = Code.IN_DOUBT if await turn.hold.in_doubt() else Code.GAVE_UP
    return SyncResult(outcome=Outcome.FAILED, code=code, message=code.sentence(), reason=code.reason)


def _count(after: OutboxEntry, report: DrainReport) -> None:
    match after.state:
        case State.DONE | State.SUPERSEDED:
            report.settled += 1
        case State.PARKED:
            report.parked += 1
        case State.PENDING | State.PUSHED:
            report.postponed += 1
        case _:
            assert_never(after.state)
