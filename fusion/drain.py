"""The round: claim a row, work it, save the answer, tell Salesforce; until nothing is due or a gate shuts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import assert_never

import structlog

from fusion import writeback
from fusion.codes import Code
from fusion.lease import Hold, LeaseTimes
from fusion.mapping import RecordMapping
from fusion.portal import Portal
from fusion.push import Desk, push
from fusion.writeback import Answer
from listener import gates, outbox
from listener.database import Database
from listener.entry import OutboxEntry, Outcome, ParkedReason, State, SyncResult, backoff
from listener.errors import Conflict, EntryError, LeaseLost, Outage
from listener.gates import Lane
from listener.org import Org

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often and how long. `gate_first`: how long a gate stays shut after one failure; it doubles from there."""

    lease: LeaseTimes = field(default_factory=LeaseTimes)
    portal_attempts: int = 6
    writeback_attempts: int = 25
    gate_first: timedelta = timedelta(seconds=30)
    look_again: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Who works, and with what. `name` is what leases are signed with; `unit` gives a random number from 0 to 1."""

    db: Database
    org: Org
    portal: Portal
    mapping: RecordMapping
    name: str
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    unit: Callable[[], float] = random.random

    def today(self) -> date:
        """The day, for birth dates that must not lie ahead."""
        return self.clock().date()


@dataclass(slots=True, kw_only=True)
class DrainReport:
    """What one round came to, by the rows that it let go of."""

    settled: int = 0
    parked: int = 0
    postponed: int = 0
    lost: int = 0
    stopped_by: Outage | None = None


async def drain(worker: Worker, *, stopping: asyncio.Event) -> DrainReport:
    """Work until nothing is due that may pass, or `stopping` is set; the entry in hand is finished first."""
    report = DrainReport()
    while not stopping.is_set():
        # Read before the claim is sent: the lease is at least as young as this says.
        known_at = time.monotonic()
        entry = await claim(worker)
        if entry is None:
            break
        await _work(entry, worker, known_at, report)
    return report


async def claim(worker: Worker) -> OutboxEntry | None:
    """The next row whose lane lets it pass: first those that only wait to be told, since that is quick."""
    for stage, lanes in ((State.PUSHED, [Lane.SALESFORCE]), (State.PENDING, [Lane.SALESFORCE, Lane.PORTAL])):
        for _ in range(8):
            try:
                entry = await _claim(worker, stage, lanes)
            except Conflict:
                continue  # two claims met on one record, or on one probe: look again
            if entry is not None:
                return entry
            break
    return None


async def _claim(worker: Worker, stage: State, lanes: list[Lane]) -> OutboxEntry | None:
    length = worker.limits.lease.length
    async with worker.db.writing() as tx:
        found = await gates.read(tx)
        if not all(found[lane].is_open or found[lane].may_probe for lane in lanes):
            return None
        entry = await outbox.claim(tx, stage, worker=worker.name, lease=length)
        if entry is not None:
            for lane in lanes:
                if not found[lane].is_open and not await gates.probe(tx, found[lane], lease=length):
                    raise Conflict("another worker is probing")
        return entry


async def _work(entry: OutboxEntry, worker: Worker, known_at: float, report: DrainReport) -> None:
    began = time.monotonic()
    try:
        after = await _worked(entry, worker, known_at, report)
    except LeaseLost as lost:
        report.lost += 1
        log.warning("lease lost", entry=entry.id, record=entry.record_id, fence=entry.fence, why=str(lost))
        return
    _count(after, report)
    log.info(
        "entry worked",
        entry=after.id,
        record=after.record_id,
        state=after.state,
        outcome=after.outcome,
        code=after.code,
        attempts=entry.attempts,
        changes=after.changes,
        portal_id=after.portal_id,
        seconds=round(time.monotonic() - began, 3),
    )


async def _worked(entry: OutboxEntry, worker: Worker, known_at: float, report: DrainReport) -> OutboxEntry:
    """The entry as it was let go of, saved. Raises `LeaseLost`, and `Outage` where the database does not answer."""
    try:
        if entry.state is State.PENDING:
            entry = await _visit(entry, worker, known_at)
        return await _tell(entry, worker)
    except LeaseLost:
        raise
    except Outage as outage:
        report.stopped_by = outage
        return await _outage(entry, outage, worker)
    except asyncio.CancelledError:
        # Shutdown ran out of patience: not the row's fault. An intent, if there is one, stays.
        await asyncio.shield(_save(entry, entry.released(), worker))
        raise
    except Exception as error:
        return await _failed(entry, error, worker)


async def _visit(entry: OutboxEntry, worker: Worker, known_at: float) -> OutboxEntry:
    """The entry as PUSHED, saved, its lease kept for the write-back."""
    if entry.attempts > worker.limits.portal_attempts:
        return await _pushed(entry, _gave_up(entry), worker, error="GaveUp")
    hold = Hold(worker.db, entry, known_at=known_at, times=worker.limits.lease)
    desk = Desk(
        org=worker.org,
        portal=worker.portal,
        mapping=worker.mapping,
        links=hold,
        about_to_save=hold.about_to_save,
        today=worker.today,
        look_again=worker.limits.look_again.total_seconds(),
    )
    async with hold.kept():
        result = await push(entry, desk)
    after = await _pushed(entry, result, worker)
    if result.outcome is not Outcome.SKIPPED:
        await _opened(Lane.PORTAL, worker)
    return after


async def _tell(entry: OutboxEntry, worker: Worker) -> OutboxEntry:
    """The entry as Salesforce left it: settled, parked, or waiting for the next try; saved."""
    answers = await writeback.tell([entry], org=worker.org, own=worker.mapping.own, now=worker.clock())
    told = answers[entry.id]
    match told.answer:
        case Answer.TOLD:
            after = entry.settled()
        case Answer.WILL_NOT:
            after = entry.not_told(told.reason, code=told.code, message=told.message)
        case Answer.AGAIN if entry.attempts >= worker.limits.writeback_attempts:
            after = entry.not_told(told.reason, code=told.code, message=told.message)
        case Answer.AGAIN:
            delay = backoff(max(1, entry.attempts), unit=worker.unit(), cap=timedelta(hours=1))
            after = entry.postponed(delay, code=entry.code, message=entry.message)
        case _:
            assert_never(told.answer)
    await _save(entry, after, worker, error=None if told.answer is Answer.TOLD else told.code)
    await _opened(Lane.SALESFORCE, worker)
    return after


async def _outage(entry: OutboxEntry, outage: Outage, worker: Worker) -> OutboxEntry:
    """Shut the lane's gate and give the row back as it was, attempt and all."""
    log.warning("outage", entry=entry.id, lane=outage.lane, why=str(outage), hint=outage.hint)
    if outage.lane is not None:
        lane = Lane(outage.lane)
        async with worker.db.writing() as tx:
            failures = (await gates.read(tx))[lane].failures
            wait = gates.wait_after(failures, first=worker.limits.gate_first)
            if outage.retry_after is not None:
                wait = max(wait, timedelta(seconds=outage.retry_after))
            await gates.shut(tx, lane, reason=f"{outage} {outage.hint}".strip(), wait=wait)
    after = entry.released()
    await _save(entry, after, worker, error="Outage")
    return after


async def _failed(entry: OutboxEntry, error: Exception, worker: Worker) -> OutboxEntry:
    """Charge the attempt and try later; out of attempts, say so and let a person look."""
    known = isinstance(error, EntryError | Conflict)
    log.log(30 if known else 40, "entry failed", entry=entry.id, record=entry.record_id, exc_info=error)
    name = type(error).__name__
    message = f"{error} {error.hint}".strip() if isinstance(error, EntryError | Conflict) else f"Unforeseen: {name}."
    limit = worker.limits.portal_attempts if entry.state is State.PENDING else worker.limits.writeback_attempts
    if entry.attempts < limit:
        delay = backoff(max(1, entry.attempts), unit=worker.unit())
        keeps_its_answer = entry.state is State.PUSHED
        after = entry.postponed(
            delay,
            code=entry.code if keeps_its_answer else name,
            message=entry.message if keeps_its_answer else message,
        )
        await _save(entry, after, worker, error=name)
        return after
    if entry.state is State.PENDING:
        result = _gave_up(replace(entry, message=message))
        # Salesforce is told in a claim of its own: PUSHED, lease dropped.
        after = replace(entry.pushed(result), leased=False)
    else:
        after = entry.not_told(ParkedReason.NOT_TOLD, code=name, message=message)
    await _save(entry, after, worker, error=name)
    return after


def _gave_up(entry: OutboxEntry) -> SyncResult:
    code = Code.IN_DOUBT if entry.intent_fence is not None else Code.GAVE_UP
    return SyncResult(outcome=Outcome.FAILED, code=code, message=code.sentence(), reason=code.reason)


async def _pushed(entry: OutboxEntry, result: SyncResult, worker: Worker, error: str | None = None) -> OutboxEntry:
    after = entry.pushed(result)
    await _save(entry, after, worker, error=error)
    return after


async def _save(before: OutboxEntry, after: OutboxEntry, worker: Worker, error: str | None = None) -> None:
    """Make it true or raise `LeaseLost`. A change that comes in at that very moment is taken in by saving again."""
    for _ in range(8):
        try:
            async with worker.db.writing() as tx:
                if not await outbox.save(tx, before, after, error=error):
                    raise LeaseLost(f"entry {before.id} is no longer ours")
            return
        except Conflict:
            continue
    raise LeaseLost(f"entry {before.id} could not be saved for changes that kept coming in")


async def _opened(lane: Lane, worker: Worker) -> None:
    async with worker.db.reading() as tx:
        gate = (await gates.read(tx))[lane]
    if gate.state in ("shut", "probing"):
        async with worker.db.writing() as tx:
            await gates.opened(tx, lane)
        log.info("gate opened", lane=lane)


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
