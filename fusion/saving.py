"""What becomes of the rows of a turn: made true under their fences, given back, or given back with a gate shut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from fusion.drift import Waits
from fusion.turn import Turn, Worker
from listener import drifts, gates, outbox, tellings
from listener.database import Tx
from listener.entry import CONFIRMED_NEW, OutboxEntry, State
from listener.errors import Conflict, LeaseLost, Outage
from listener.gates import Lane

log = structlog.get_logger()

_AT_MOST = timedelta(days=1)
"""How long a visit waits that nothing ends the wait of: it then finds out anew what it waits for."""


async def save(turn: Turn, after: OutboxEntry, worker: Worker, error: str | None = None) -> None:
    """Make it true, or raise `LeaseLost`. Who is cancelled meanwhile learns first what became of it."""
    await _to_its_end(_saved(turn, after, worker, error))


async def save_alike(turn: Turn, afters: Sequence[OutboxEntry], worker: Worker, error: str | None = None) -> None:
    """The same for told rows, in one statement for all that end in the same state; lost ones leave the turn."""
    for state in (State.DONE, State.PARKED, State.PUSHED):
        alike = [after for after in afters if after.state is state]
        if alike:
            await _to_its_end(_saved_alike(turn, alike, worker, error))


async def let_go(turn: Turn, worker: Worker, error: str | None = None) -> None:
    """Give back what is still held as it was, attempts and all."""
    if visits := [entry for entry in turn.held if entry.state is State.PENDING]:
        (visit,) = visits
        await save(turn, visit.released(), worker, error=error)
    await save_alike(turn, [entry.released() for entry in turn.held], worker, error=error)


async def put_off(turn: Turn, waits: Waits, worker: Worker) -> None:
    """Give the visit back until what it waits for is in order, attempt and all; a person's decision stays."""
    before, evidence = turn.entry, waits.evidence
    if evidence is None and worker.patrol is not None:
        evidence = worker.patrol.evidence_of(waits.places)
    after = before.waiting(
        _AT_MOST if waits.until is None else waits.until,
        code=before.code if before.code == CONFIRMED_NEW else waits.code,
        message=str(waits),
        evidence=evidence,
    )

    async def wait(tx: Tx) -> OutboxEntry:
        still = waits.until is not None or await drifts.wait_for(tx, before.id, waits.places)
        return after if still else replace(after, due_in=timedelta(0))

    await _to_its_end(_saved(turn, after, worker, None, wait))


async def shut_the_gate(turn: Turn, outage: Outage, worker: Worker) -> None:
    """Shut the lane's gate for longer each time, and give the rows back."""
    log.warning("outage", entries=sorted(turn.entries), lane=outage.lane, why=str(outage), hint=outage.hint)
    if outage.lane is not None:
        lane = Lane(outage.lane)
        turn.heard.discard(lane)
        async with worker.db.writing() as tx:
            failures = (await gates.read(tx))[lane].failures
            wait = gates.wait_after(failures, first=worker.limits.gate_first)
            if outage.retry_after is not None:
                wait = max(wait, timedelta(seconds=outage.retry_after))
            await gates.shut(tx, lane, reason=outage.whole, wait=wait)
    await let_go(turn, worker, error="Outage")


async def open_the_gates(turn: Turn, worker: Worker) -> None:
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


async def _to_its_end(saved: Awaitable[None]) -> None:
    saving = asyncio.ensure_future(saved)
    try:
        await asyncio.shield(saving)
    except asyncio.CancelledError:
        await asyncio.gather(saving, return_exceptions=True)
        raise


async def _saved(
    turn: Turn,
    after: OutboxEntry,
    worker: Worker,
    error: str | None,
    along: Callable[[Tx], Awaitable[OutboxEntry]] | None = None,
) -> None:
    """`along` has the last word on `after`, in the transaction that saves it."""
    for _ in range(8):
        try:
            async with worker.db.at_once() if outbox.is_one_write(after) else worker.db.writing() as tx:
                after = await along(tx) if along is not None else after
                if not await outbox.save(tx, turn.entries[after.id], after, error=error):
                    raise LeaseLost(f"entry {after.id} is no longer ours")
        except Conflict:
            continue  # a change came in at that very moment: saving again takes it in
        turn.entries[after.id] = after
        return
    raise LeaseLost(f"entry {after.id} could not be saved for changes that kept coming in")


async def _saved_alike(turn: Turn, afters: Sequence[OutboxEntry], worker: Worker, error: str | None) -> None:
    befores = [turn.entries[after.id] for after in afters]
    async with worker.db.at_once() as tx:
        ours = await tellings.save(tx, befores, afters[0], error=error)
    for after in afters:
        if after.id in ours:
            turn.entries[after.id] = after
        else:
            turn.lose(after.id)
