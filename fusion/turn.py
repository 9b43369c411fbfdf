"""A turn: what one worker claimed at a time, one row for a visit or many to be told, with what it is worked with."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TypeVar

from fusion.lease import Hold, LeaseTimes
from fusion.mapping import RecordMapping
from fusion.pace import Pace
from fusion.patrol import Patrol
from fusion.portal import Portal
from fusion.timetable import Timetable
from listener import gates, outbox, tellings
from listener.change import RecordId
from listener.database import Database
from listener.entry import OutboxEntry, State
from listener.errors import Conflict
from listener.gates import Lane
from listener.org import Org, Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often and how long. `gate_first`: how long a gate stays shut after one failure; it doubles from there.

    `tell_after`: how long an answer waits for others while more visits are due; `long_visit`: after how long a visit
    is told to be in progress.
    """

    lease: LeaseTimes = field(default_factory=LeaseTimes)
    portal_attempts: int = 6
    writeback_attempts: int = 25
    gate_first: timedelta = timedelta(seconds=30)
    look_again: timedelta = timedelta(seconds=5)
    tell_after: timedelta = timedelta(seconds=30)
    long_visit: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Who works, and with what. `name` is what leases are signed with; `unit` gives a random number from 0 to 1.

    `patrol`: who looks whether the portal has changed; None: nobody does.
    """

    db: Database
    org: Org
    portal: Portal
    mapping: RecordMapping
    name: str
    timetable: Timetable = field(default_factory=Timetable)
    pace: Pace | None = None
    patrol: Patrol | None = None
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    unit: Callable[[], float] = random.random

    def today(self) -> date:
        """The day, for birth dates that must not lie ahead."""
        return self.clock().date()


@dataclass(slots=True, kw_only=True)
class Turn:
    """Claimed rows while we work on them: `entries` by id, as they were saved last, and our hold on each.

    `probing`: the shut lanes that it was let through to try; `heard`: the lanes that answered; `seen`: records as they
    were read for a visit, and as we have changed them since; `lost`: what was taken over from us. `gathers`: it was
    let go of to be told with others; `shown`: Salesforce shows that we are at it.
    """

    entries: dict[int, OutboxEntry]
    holds: dict[int, Hold]
    probing: frozenset[Lane] = frozenset()
    heard: set[Lane] = field(default_factory=set)
    seen: dict[RecordId, Record] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    gathers: bool = False
    shown: bool = False

    @property
    def entry(self) -> OutboxEntry:
        """The only one."""
        (entry,) = self.entries.values()
        return entry

    @property
    def hold(self) -> Hold:
        """Our hold on the only one."""
        return self.holds[self.entry.id]

    @property
    def visits(self) -> bool:
        """Whether it is about the portal: one row, which waits for a visit."""
        return any(entry.state is State.PENDING for entry in self.held)

    @property
    def held(self) -> list[OutboxEntry]:
        """Those that have not been let go of."""
        return [entry for entry in self.entries.values() if entry.leased]

    def lose(self, entry_id: int) -> None:
        """It is another's by now: nothing more is written of it."""
        del self.entries[entry_id]
        self.lost.add(entry_id)


async def claim(worker: Worker) -> Turn | None:
    """The next visit if its lanes let it pass, or what may try whether they do; None if there is none."""
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


async def claim_to_tell(worker: Worker) -> Turn | None:
    """All that waits to be told and may be, 200 at most; None if there is nothing."""
    return await _looked_again(partial(_claim_to_tell, worker))


async def _looked_again(claim: Callable[[], Awaitable[T | None]]) -> T | None:
    for _ in range(8):
        with suppress(Conflict):  # two claims met on one record, or on one probe
            return await claim()
    return None


async def _claim(worker: Worker) -> Turn | None:
    # Read before the claim is sent: the lease is at least as young as this says.
    known_at = time.monotonic()
    async with worker.db.at_once() as tx:
        entry = await outbox.claim(tx, worker=worker.name, lease=worker.limits.lease.length)
    return None if entry is None else _turn(worker, [entry], known_at)


async def _claim_to_tell(worker: Worker) -> Turn | None:
    known_at = time.monotonic()
    async with worker.db.at_once() as tx:
        entries = await tellings.claim(tx, worker=worker.name, lease=worker.limits.lease.length)
    return _turn(worker, entries, known_at) if entries else None


async def _claim_to_probe(worker: Worker, stage: State) -> Turn | None:
    length, lanes = worker.limits.lease.length, gates.LANES[stage]
    known_at = time.monotonic()
    async with worker.db.writing() as tx:
        found = await gates.read(tx)
        probing = frozenset(lane for lane in lanes if not found[lane].is_open)
        if not probing or not all(found[lane].may_probe for lane in probing):
            return None
        entry = await outbox.claim_to_probe(tx, stage, worker=worker.name, lease=length)
        if entry is None:
            return None
        for lane in probing:
            if not await gates.probe(tx, found[lane], lease=length):
                raise Conflict("another worker is probing")
    return _turn(worker, [entry], known_at, probing)


def _turn(
    worker: Worker, entries: Sequence[OutboxEntry], known_at: float, probing: frozenset[Lane] = frozenset()
) -> Turn:
    holds = {entry.id: Hold(worker.db, entry, known_at=known_at, times=worker.limits.lease) for entry in entries}
    return Turn(entries={entry.id: entry for entry in entries}, holds=holds, probing=probing)
