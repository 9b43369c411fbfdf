"""Workers that come, click, crash and come back from the dead over the real SQL, while a model keeps count beside it.

What a worker has read when it claims is a number: how many changes of the record had arrived. A change is covered
once somebody has read at least that number and the portal has answered; until then some row must still lead there.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from listener import outbox, schema
from listener.change import RecordId
from listener.database import Database
from listener.entry import OutboxEntry, ParkedReason, State, SyncResult
from listener.errors import LeaseLost
from tests import outbox_rows
from tests.outbox_rows import HOUR, NO_TIME, UPDATED, a_change, record, refused

RECORDS = (record(1), record(2))
NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"  # as the code under test stores it
T = TypeVar("T")


@dataclass(eq=False, slots=True, kw_only=True)
class Hand:
    """What one worker believes to hold. `lost`: the row was claimed anew; `expired`: it may be."""

    entry: OutboxEntry
    read: int
    intended: bool = False
    lost: bool = False
    expired: bool = False

    def __repr__(self) -> str:
        return f"{self.entry.worker}'s {self.entry.state} {self.entry.id}/{self.entry.fence}"


class OutboxMachine(RuleBasedStateMachine):
    """One example: an empty outbox, two workers, two records, and whatever may happen."""

    def __init__(self, db: Database, runner: asyncio.Runner) -> None:
        super().__init__()
        self._db = db
        self._runner = runner
        assert db.file is not None
        # What the model looks at and does by hand goes past the code under test, and fast.
        self._by_hand = sqlite3.connect(db.file, isolation_level=None)
        self._by_hand.row_factory = sqlite3.Row
        self.hands: list[Hand] = []
        self.arrived: Counter[str] = Counter()
        self.numbers: dict[str, int] = {}  # of each change, by its key
        self.read: dict[int, int] = {}  # by the last claim of each row
        self.answered: dict[int, int] = {}  # what had been read by who got the answer
        self.visits: Counter[tuple[int, int]] = Counter()
        self.told: Counter[int] = Counter()
        self.clicks: set[int] = set()  # rows on which Save was clicked
        for table in reversed(schema.metadata.sorted_tables):
            self._by_hand.execute(f"DELETE FROM {table.name}")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work came to."""
        return self._runner.run(work)

    def rows(self) -> list[sqlite3.Row]:
        """Every row, with what the database's clock says of it."""
        query = f"SELECT *, due_at <= {NOW} AS due, leased_until < {NOW} AS expired FROM outbox ORDER BY id"
        return self._by_hand.execute(query).fetchall()

    def written(self) -> Any:
        """Everything that a worker could have written."""
        return [
            [tuple(row) for row in self._by_hand.execute(f"SELECT * FROM {table} ORDER BY id")]
            for table in ("outbox", "change", "attempt")
        ]

    # What happens

    @rule(record_id=st.sampled_from(RECORDS), number=st.integers(1, 2), settles=st.booleans())
    def changes_arrive(self, record_id: RecordId, number: int, settles: bool) -> None:
        """Changes of one record, in one batch."""
        changes = [a_change(record_id=record_id) for _ in range(number)]
        for change in changes:
            self.arrived[record_id] += 1
            self.numbers[change.dedupe_key] = self.arrived[record_id]
        settle = HOUR if settles else NO_TIME
        assert self.run(outbox_rows.arrive(self._db, *changes, settle=settle)) == number

    @rule(worker=st.sampled_from(["X", "Y"]), stage=st.sampled_from([State.PENDING, State.PENDING, State.PUSHED]))
    def claim(self, worker: str, stage: State) -> None:
        """A worker asks for work, and reads the record that it gets."""
        possible = {one["id"] for one in self._claimable(stage)}
        entry = self.run(outbox_rows.claim(self._db, stage, worker=worker))
        assert (entry.id if entry else None) in (possible or {None})
        if entry is None:
            return
        for hand in self.hands:
            if hand.entry.record_id == entry.record_id and not hand.lost:
                assert hand.entry.id == entry.id
                assert hand.expired, "claimed from under a living holder"
                hand.lost = True
        if stage is State.PENDING:
            assert entry.id not in self.clicks or entry.in_doubt, "a click that nobody knows of"
            self.read[entry.id] = self.arrived[entry.record_id]
        self.hands.append(Hand(entry=entry, read=self.arrived[entry.record_id]))

    def _claimable(self, stage: State) -> list[sqlite3.Row]:
        rows = self.rows()
        abandoned = [one for one in rows if one["state"] == stage and one["expired"]]
        if abandoned:
            return abandoned
        leased = {one["record_id"] for one in rows if one["leased_until"]}
        blocked = {
            one["record_id"]
            for one in rows
            if one["state"] in (State.PARKED, State.PUSHED)
            and one["parked_reason"]
            and ParkedReason(one["parked_reason"]).blocks
        }
        shut = leased | (blocked if stage is State.PENDING else set())
        return [one for one in rows if one["state"] == stage and one["due"] and one["record_id"] not in shut]

    def _a_hand(self, data: st.DataObject, state: State) -> Hand | None:
        hands = [hand for hand in self.hands if hand.entry.state is state]
        return data.draw(st.sampled_from(hands)) if hands else None

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def intend_and_click(self, data: st.DataObject) -> None:
        """The intent is committed, then Save is clicked; without the one never the other."""
        hand = self._a_hand(data, State.PENDING)
        if hand is None:
            return
        before = self.written()
        try:
            self.run(outbox_rows.intend(self._db, hand.entry))
        except LeaseLost:
            assert hand.lost or hand.expired
            assert self.written() == before, "a stale holder wrote"
            return
        assert not hand.lost, "a stale holder clicked"
        assert not hand.expired
        self.clicks.add(hand.entry.id)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), result=st.sampled_from([UPDATED, UPDATED, *map(refused, (*ParkedReason,))]))
    def the_portal_answers(self, data: st.DataObject, result: SyncResult) -> None:
        """Done, or in a person's lap; either way the visit is over."""
        hand = self._a_hand(data, State.PENDING)
        if hand is None:
            return
        after = hand.entry.pushed(result)
        if self._save(hand, after):
            self.visits[(hand.entry.id, hand.entry.fence)] += 1
            self.answered[hand.entry.id] = hand.read
            self.clicks.discard(hand.entry.id)
            hand.entry = after

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), takes_it=st.booleans())
    def salesforce_answers(self, data: st.DataObject, takes_it: bool) -> None:
        """It takes what it is told, or never will."""
        hand = self._a_hand(data, State.PUSHED)
        if hand is None:
            return
        told = hand.entry.settled() if takes_it else hand.entry.not_told(ParkedReason.NOT_TOLD, code="X", message="x")
        if self._save(hand, told):
            self.told[hand.entry.id] += 1
            self.hands.remove(hand)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), outage=st.booleans(), later=st.booleans())
    def the_row_goes_back(self, data: st.DataObject, outage: bool, later: bool) -> None:
        """An outage gives the attempt back, an error does not."""
        hand = data.draw(st.sampled_from(self.hands))
        delay = HOUR if later else NO_TIME
        entry = hand.entry
        after = entry.released(delay) if outage else entry.postponed(delay, code="X", message="x")
        if self._save(hand, after, error="Outage" if outage else "EntryError"):
            self.hands.remove(hand)

    def _save(self, hand: Hand, after: OutboxEntry, error: str | None = None) -> bool:
        before = self.written() if hand.lost else None
        saved = self.run(outbox_rows.save(self._db, hand.entry, after, error=error))
        assert saved is not hand.lost, "a stale holder wrote" if hand.lost else "a holder could not write"
        if hand.lost:
            assert self.written() == before, "a stale holder wrote"
            self.hands.remove(hand)
        return saved

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def a_heart_beats(self, data: st.DataObject) -> None:
        """In time, too late, or far too late."""
        hand = data.draw(st.sampled_from(self.hands))
        alive = self.run(outbox_rows.beat(self._db, hand.entry))
        assert alive is not hand.lost, "a stale holder wrote" if hand.lost else "a holder could not write"
        if not hand.lost:
            hand.expired = False

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def another_takes_over(self, data: st.DataObject) -> None:
        """From a holder that was silent for too long, and does not know it yet."""
        entry = data.draw(st.sampled_from(self.hands)).entry
        self.leases_run_out(entry.worker or "")
        self.claim("Y" if entry.worker == "X" else "X", entry.state)

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        """With the row in its hands; nobody says a word."""
        self.hands.remove(data.draw(st.sampled_from(self.hands)))

    @rule(worker=st.sampled_from(["X", "Y"]))
    def leases_run_out(self, worker: str) -> None:
        """Those of a worker that was silent for too long, dead or not."""

        async def expire() -> None:
            async with self._db.writing() as tx:
                await outbox.expire_leases(tx, [worker])

        self.run(expire())
        for hand in self.hands:
            hand.expired = hand.expired or hand.entry.worker == worker

    @rule()
    def time_passes(self) -> None:
        """Everything that waits is due."""
        self._by_hand.execute(f"UPDATE outbox SET due_at = {NOW} WHERE due_at > {NOW}")

    @rule()
    def a_person_resolves(self) -> None:
        """What was parked and blocked its record is finished."""
        blocks = ", ".join(repr(str(one)) for one in ParkedReason if one.blocks)
        self._by_hand.execute(
            f"UPDATE outbox SET state = 'DONE', finished_at = {NOW}, resolved_by = 'a person' "
            f"WHERE state = 'PARKED' AND parked_reason IN ({blocks})"
        )

    # What must be true, always

    @invariant()
    def a_record_is_in_one_hand_and_waits_in_one_row(self) -> None:
        """The two rules that all else rests on."""
        rows = self.rows()
        leased = Counter(one["record_id"] for one in rows if one["leased_until"])
        waiting = Counter(one["record_id"] for one in rows if one["state"] == State.PENDING and not one["leased_until"])
        assert not [one for one, number in (leased | waiting).items() if number > 1]

    @invariant()
    def nothing_is_done_twice(self) -> None:
        """One answer a claim, one word to Salesforce a row."""
        assert all(number == 1 for number in self.visits.values())
        assert all(number == 1 for number in self.told.values())

    @invariant()
    def no_change_is_lost(self) -> None:
        """Each is behind a reading that was answered, or some row still leads to one."""
        rows, changes = self.rows(), self._by_hand.execute("SELECT * FROM change").fetchall()
        counted = Counter(one["outbox_id"] for one in changes)
        assert all(one["changes"] == counted[one["id"]] for one in rows if counted[one["id"]])
        for record_id, last in self._last_by_record(changes).items():
            ours = [one for one in rows if one["record_id"] == record_id]
            to_come = [one for one in ours if one["state"] == State.PENDING]
            assert any(not one["leased_until"] or self.read[one["id"]] >= last for one in to_come) or any(
                self.answered.get(one["id"], 0) >= last for one in ours
            ), f"change {last} of {record_id} is lost"

    def _last_by_record(self, changes: list[sqlite3.Row]) -> dict[str, int]:
        last: dict[str, int] = {}
        for one in changes:
            last[one["record_id"]] = max(last.get(one["record_id"], 0), self.numbers[one["dedupe_key"]])
        assert last == dict(self.arrived)
        return last

    def teardown(self) -> None:
        """Whatever happened: once everybody is back, all of it can be finished, and every change is answered."""
        for worker in ("X", "Y"):
            self.leases_run_out(worker)
        for _ in range(40):
            self.time_passes()
            self.a_person_resolves()
            if not [one for one in self.rows() if State(one["state"]).is_open]:
                break
            for stage in (State.PUSHED, State.PENDING):
                entry = self.run(outbox_rows.claim(self._db, stage, worker="Z"))
                if entry and stage is State.PENDING:
                    self.answered[entry.id] = self.arrived[entry.record_id]
                    entry = self.run(outbox_rows.push(self._db, entry))
                if entry:
                    assert self.run(outbox_rows.save(self._db, entry, entry.settled()))
        assert {State(one["state"]) for one in self.rows()} <= {State.DONE, State.PARKED, State.SUPERSEDED}
        self.no_change_is_lost()
        self._by_hand.close()
