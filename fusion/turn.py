"""A turn: one row, claimed by one worker, with what it is worked with."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial

from fusion.lease import Hold, LeaseTimes
from fusion.mapping import RecordMapping
from fusion.portal import Portal
from listener import gates, outbox
from listener.database import Database
from listener.entry import OutboxEntry, State
from listener.errors import Conflict
from listener.gates import Lane
from listener.org import Org


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
class Turn:
    """One claimed row while we work on it: `entry` as it was saved last, and what the gates are to hear of it.

    `probing`: the shut lanes that it was let through to try; `heard`: the lanes that answered.
    """

    entry: OutboxEntry
    hold: Hold
    probing: frozenset[Lane] = frozenset()
    heard: set[Lane] = field(default_factory=set)


async def claim(worker: Worker) -> Turn | None:
    """The next row whose lanes let it pass, or that may try whether they do; None if there is none."""
    turn = await _looked_again(partial(_claim, worker))
    if turn is not None:
        return turn
    async with worker.db.reading() as tx:
        found = await gates.read(tx)
    if not any(gate.may_probe for gate in found.values()):
        return None
    for stage in (State.PUSHED, State.PENDING):
        turn = await _looked_again(partial(_claim_to_probe, worker, stage))
        if turn is not None:
            return turn
    return None


async def _looked_again(claim: Callable[[], Awaitable[Turn | None]]) -> Turn | None:
    for _ in range(8):
        with suppress(Conflict):  # two claims met on one record, or on one probe
            return await claim()
    return None


async def _claim(worker: Worker) -> Turn | None:
    times = worker.limits.lease
    # Read before the claim is sent: the lease is at least as young as this says.
    known_at = time.monotonic()
    async with worker.db.at_once() as tx:
        entry = await outbox.claim(tx, worker=worker.name, lease=times.length)
    if entry is None:
        return None
    return Turn(entry=entry, hold=Hold(worker.db, entry, known_at=known_at, times=times))


async def _claim_to_probe(worker: Worker, stage: State) -> Turn | None:
    times, lanes = worker.limits.lease, gates.LANES[stage]
    known_at = time.monotonic()
    async with worker.db.writing() as tx:
        found = await gates.read(tx)
        probing = frozenset(lane for lane in lanes if not found[lane].is_open)
        if not probing or not all(found[lane].may_probe for lane in probing):
            return None
        entry = await outbox.claim_to_probe(tx, stage, worker=worker.name, lease=times.length)
        if entry is None:
            return None
        for lane in probing:
            if not await gates.probe(tx, found[lane], lease=times.length):
                raise Conflict("another worker is probing")
    return Turn(entry=entry, hold=Hold(worker.db, entry, known_at=known_at, times=times), probing=probing)
