"""The round: claim a row, work it, save the answer, tell Salesforce; until nothing is due or a gate shuts."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

import structlog

from fusion import writeback
from fusion.codes import Code
from fusion.push import Desk, push
from fusion.turn import Turn, Worker, claim
from fusion.writeback import Answer
from listener import gates, outbox
from listener.entry import CONFIRMED_NEW, OutboxEntry, Outcome, ParkedReason, State, SyncResult, backoff
from listener.errors import Conflict, LeaseLost, Outage, SetupError, SyncError
from listener.gates import Lane

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class DrainReport:
    """What one round came to, by the rows that it let go of."""

    settled: int = 0
    parked: int = 0
    postponed: int = 0
    lost: int = 0
    stopped_by: Outage | None = None


async def drain(worker: Worker, *, stopping: asyncio.Event) -> DrainReport:
    """Work until nothing is due that may pass, or `stopping` is set; the entry in hand is finished first.

    Raises `SetupError`, and `Outage` where the database does not answer.
    """
    report = DrainReport()
    while not stopping.is_set():
        turn = await claim(worker)
        if turn is None:
            break
        await _work(turn, worker, report)
    return report


async def _work(turn: Turn, worker: Worker, report: DrainReport) -> None:
    began, claimed = time.monotonic(), turn.entry
    try:
        await _worked(turn, worker, report)
    except LeaseLost as lost:
        report.lost += 1
        log.warning("lease lost", entry=claimed.id, record=claimed.record_id, fence=claimed.fence, why=str(lost))
    else:
        _count(turn.entry, report)
        log.info(
            "entry worked",
            entry=claimed.id,
            record=claimed.record_id,
            state=turn.entry.state,
            outcome=turn.entry.outcome,
            code=turn.entry.code,
            attempts=claimed.attempts,
            changes=claimed.changes,
            portal_id=turn.entry.portal_id,
            seconds=round(time.monotonic() - began, 3),
        )
    await _tell_the_gates(turn, worker)


async def _worked(turn: Turn, worker: Worker, report: DrainReport) -> None:
    """Work the row until it is let go of. Raises `LeaseLost`, `SetupError`, and `Outage` of the database."""
    try:
        if turn.entry.state is State.PENDING:
            await _visit(turn, worker)
        await _tell(turn, worker)
    except LeaseLost:
        raise
    except SetupError:
        # Every row would fail in the same way, and none is to blame.
        await _let_go(turn, worker, error="SetupError")
        raise
    except Outage as outage:
        report.stopped_by = outage
        await _outage(turn, outage, worker)
    except asyncio.CancelledError:
        # Shutdown ran out of patience: not the row's fault. An intent, if there is one, stays.
        with suppress(SyncError):  # then the lease runs out by itself
            await _let_go(turn, worker)
        raise
    except Exception as error:
        await _failed(turn, error, worker)


async def _visit(turn: Turn, worker: Worker) -> None:
    """PENDING -> PUSHED, saved, the lease kept for the write-back."""
    entry, hold = turn.entry, turn.hold
    if entry.attempts > worker.limits.portal_attempts:
        # It was charged by claims that never came to an end: it takes its workers with it.
        await _save(turn, entry.pushed(await _gave_up(turn)), worker, error="GaveUp")
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
    )
    async with hold.kept():
        result = await push(entry, desk)
    await _save(turn, entry.pushed(result), worker)


async def _tell(turn: Turn, worker: Worker) -> None:
    """PUSHED -> as Salesforce left it: settled, parked, or waiting for the next try; saved."""
    entry, limit = turn.entry, worker.limits.writeback_attempts
    if entry.attempts > limit:
        code = Code.GAVE_UP
        await _save(turn, entry.not_told(ParkedReason.NOT_TOLD, code=code, message=code.sentence()), worker, error=code)
        return
    answers = await writeback.tell(
        [entry],
        org=worker.org,
        own=worker.mapping.own,
        now=worker.clock(),
        about_to_write=lambda: turn.hold.still_ours(entry),
    )
    if entry.outcome is not Outcome.SKIPPED:
        turn.heard.add(Lane.SALESFORCE)
    told = answers[entry.id]
    match told.answer:
        case Answer.TOLD:
            after = entry.settled()
        case Answer.WILL_NOT:
            after = entry.not_told(told.reason, code=told.code, message=told.message)
        case Answer.AGAIN if entry.attempts >= limit:
            after = entry.not_told(told.reason, code=told.code, message=told.message)
        case Answer.AGAIN:
            delay = backoff(max(1, entry.attempts), unit=worker.unit(), cap=timedelta(hours=1))
            after = entry.postponed(delay, code=entry.code, message=entry.message)
        case _:
            assert_never(told.answer)
    await _save(turn, after, worker, error=None if told.answer is Answer.TOLD else told.code)


async def _outage(turn: Turn, outage: Outage, worker: Worker) -> None:
    """Shut the lane's gate and give the row back as it was, attempt and all."""
    log.warning("outage", entry=turn.entry.id, lane=outage.lane, why=str(outage), hint=outage.hint)
    if outage.lane is not None:
        lane = Lane(outage.lane)
        turn.heard.discard(lane)
        async with worker.db.writing() as tx:
            failures = (await gates.read(tx))[lane].failures
            wait = gates.wait_after(failures, first=worker.limits.gate_first)
            if outage.retry_after is not None:
                wait = max(wait, timedelta(seconds=outage.retry_after))
            await gates.shut(tx, lane, reason=f"{outage} {outage.hint}".strip(), wait=wait)
    await _let_go(turn, worker, error="Outage")


async def _let_go(turn: Turn, worker: Worker, error: str | None = None) -> None:
    """Give the row back as it was, attempt and all."""
    if turn.entry.leased:
        await _save(turn, turn.entry.released(), worker, error=error)


async def _failed(turn: Turn, error: Exception, worker: Worker) -> None:
    """Charge the attempt and try later; out of attempts, say so and let a person look."""
    entry, name = turn.entry, type(error).__name__
    known = isinstance(error, SyncError)
    log.log(30 if known else 40, "entry failed", entry=entry.id, record=entry.record_id, exc_info=error)
    # A stranger's words may quote a patient.
    message = f"{error} {error.hint}".strip() if isinstance(error, SyncError) else f"Unforeseen: {name}."
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
    await _save(turn, after, worker, error=name)


async def _gave_up(turn: Turn) -> SyncResult:
    code = Code.IN_DOUBT if await turn.hold.in_doubt() else Code.GAVE_UP
    return SyncResult(outcome=Outcome.FAILED, code=code, message=code.sentence(), reason=code.reason)


async def _save(turn: Turn, after: OutboxEntry, worker: Worker, error: str | None = None) -> None:
    """Make it true, or raise `LeaseLost`. Who is cancelled meanwhile learns first what became of it."""
    saving = asyncio.ensure_future(_saved(turn, after, worker, error))
    try:
        await asyncio.shield(saving)
    except asyncio.CancelledError:
        await asyncio.gather(saving, return_exceptions=True)
        raise


async def _saved(turn: Turn, after: OutboxEntry, worker: Worker, error: str | None) -> None:
    for _ in range(8):
        try:
            async with worker.db.at_once() if outbox.is_one_write(after) else worker.db.writing() as tx:
                if not await outbox.save(tx, turn.entry, after, error=error):
                    raise LeaseLost(f"entry {after.id} is no longer ours")
        except Conflict:
            continue  # a change came in at that very moment: saving again takes it in
        turn.entry = after
        return
    raise LeaseLost(f"entry {after.id} could not be saved for changes that kept coming in")


async def _tell_the_gates(turn: Turn, worker: Worker) -> None:
    """Open the lanes that answered; where our probe came to no verdict, let the next row probe."""
    async with worker.db.reading() as tx:
        found = await gates.read(tx)
    answered = [lane for lane in turn.heard if found[lane].state in ("shut", "probing")]
    undecided = [lane for lane in turn.probing - turn.heard if found[lane].state == "probing"]
    if not answered and not undecided:
        return
    async with worker.db.writing() as tx:
        for lane in answered:
            await gates.opened(tx, lane)
            log.info("gate opened", lane=lane)
        for lane in undecided:
            await gates.probe(tx, found[lane], lease=timedelta(0))


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
