"""The way in: what the stream yields is kept with its position, whole or not at all, whatever comes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from listener import gaps, positions, schema
from listener.change import Ours, Source, long_id
from listener.database import Database, Tx
from listener.errors import Conflict, Outage
from listener.listen import Intake, keep, listen
from listener.stream import Batch, PositionLost
from tests.outbox_rows import CHANNEL, NO_TIME, NOON, record, rows, states

US = "005000000000001AAA"
OURS = Ours(user_id=US, client="fusion-sync", fields=frozenset({"Fusion_Web_Id__c", "Fusion_Sync_Status__c"}))
CANARY = "Zebulon-Canary"


def event(replay_id: Any, *numbers: int, values: Mapping[str, Any] | None = None, **header: Any) -> dict[str, Any]:
    """A change event of those records, as CometD delivers it."""
    told = {
        "entityName": "Patient__c",
        "recordIds": [record(number) for number in numbers],
        "changeType": "UPDATE",
        "transactionKey": f"tx-{replay_id}",
        "commitTimestamp": int(NOON.timestamp() * 1000),
        "commitUser": "005000000000009AAA",
        "changedFields": ["First_Name__c"],
    } | header
    payload = {"ChangeEventHeader": told, **(values or {})}
    return {"channel": CHANNEL, "data": {"payload": payload, "event": {"replayId": replay_id}}}


def batch(*messages: Any) -> Batch:
    return Batch(channel=CHANNEL, messages=messages)


@dataclass
class Woken:
    """How often the worker was told that there is something new."""

    times: int = 0

    def __call__(self) -> None:
        self.times += 1


@dataclass
class Way:
    """A way in to a database: what is heard goes through `hear`."""

    db: Database
    woken: Woken = field(default_factory=Woken)

    @property
    def intake(self) -> Intake:
        return Intake(db=self.db, ours=OURS, watched=frozenset({"Patient__c"}), settle=NO_TIME, wake=self.woken)

    async def hear(self, *items: Batch | PositionLost) -> None:
        async def stream() -> AsyncIterator[Batch | PositionLost]:
            for item in items:
                yield item

        await listen(stream(), self.intake)

    async def position(self) -> str | None:
        async with self.db.reading() as tx:
            return await positions.replay_id(tx, CHANNEL)


@pytest.fixture
def way(db: Database) -> Way:
    return Way(db)


async def test_a_batch_becomes_changes_rows_and_a_position(way: Way) -> None:
    await way.hear(batch(event(7001, 1), event(7002, 2, 3), event(7003, 1)))
    assert [(row["record_id"], row["changes"]) for row in await rows(way.db)] == [
        (record(1), 2),
        (record(2), 1),
        (record(3), 1),
    ]
    changes = await rows(way.db, schema.change)
    assert [(one["record_id"], one["source"], one["fields"]) for one in changes] == [
        (record(number), Source.STREAM, ["First_Name__c"]) for number in (1, 2, 3, 1)
    ]
    assert all(one["outbox_id"] is not None for one in changes)
    assert (await way.position(), way.woken.times) == ("7003", 1)


async def test_what_is_delivered_twice_is_kept_once_and_wakes_nobody(way: Way) -> None:
    for _ in range(2):
        await way.hear(batch(event(7001, 1)))
    assert (len(await rows(way.db, schema.change)), way.woken.times) == (1, 1)


async def test_rows_and_position_become_true_together_or_not_at_all(way: Way) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the error is the transaction's
        async with way.db.writing() as tx:
            assert await keep(tx, batch(event(7001, 1)), way.intake) == 1
            raise ZeroDivisionError
    assert (await rows(way.db), await way.position()) == ([], None)


MALFORMED = [
    event(7002, 2, entityName=None),
    event(7002, 2, recordIds=CANARY),
    event(7002, 2, recordIds=[CANARY]),
    event(7002, 2, commitTimestamp=CANARY),
    event(7002, 2, changeType=CANARY),
    event(7002, 2, changedFields={"First_Name__c": CANARY}),
    {"channel": CHANNEL, "data": {"payload": CANARY, "event": {"replayId": 7002}}},
    {"channel": CHANNEL, "data": {"event": {"replayId": 7002}, "sobject": {"Name": CANARY}}},
]


@pytest.mark.parametrize("number", range(len(MALFORMED)))
async def test_what_is_no_change_event_is_a_dead_letter_without_values_and_the_stream_goes_on(
    way: Way, number: int
) -> None:
    await way.hear(batch(event(7001, 1), MALFORMED[number], event(7003, 3)))
    assert [row["record_id"] for row in await rows(way.db)] == [record(1), record(3)]
    (letter,) = await rows(way.db, schema.dead_letter)
    assert (letter["channel"], letter["replay_id"]) == (CHANNEL, "7002")
    assert CANARY not in str(letter)
    assert letter["reason"]
    assert await way.position() == "7003"


@pytest.mark.parametrize("message", [None, 7, CANARY, [CANARY], {}, {"data": None}])
async def test_what_is_not_even_a_message_is_a_dead_letter_too(way: Way, message: Any) -> None:
    await way.hear(batch(message, event(7003, 3)))
    (letter,) = await rows(way.db, schema.dead_letter)
    assert CANARY not in str(letter)
    assert await way.position() == "7003"


async def test_a_dead_letter_at_the_end_moves_the_position_too(way: Way) -> None:
    await way.hear(batch(event(7001, 1), MALFORMED[0]))
    assert await way.position() == "7002"


async def test_our_own_write_backs_and_strangers_are_counted_and_dropped(way: Way) -> None:
    own = event(
        7001, 1, 2, changeOrigin="com/salesforce/api/rest/66.0;client=fusion-sync", changedFields=["Fusion_Web_Id__c"]
    )
    await way.hear(batch(own, event(7002, 3, entityName="Contact"), event(7003, 4)))
    assert [row["record_id"] for row in await rows(way.db)] == [record(4)]
    (stream,) = await rows(way.db, schema.stream)
    assert (stream["own"], stream["unwatched"], stream["replay_id"]) == (2, 1, "7003")


async def test_a_batch_of_our_own_moves_the_position_and_wakes_nobody(way: Way) -> None:
    await way.hear(batch(event(7001, 1, commitUser=US, changedFields=["Fusion_Sync_Status__c"])))
    assert (await rows(way.db), await way.position(), way.woken.times) == ([], "7001", 0)


async def test_an_overflow_opens_a_gap_from_the_first_of_its_moments(way: Way) -> None:
    def overflow(replay_id: int, at: datetime) -> dict[str, Any]:
        return event(
            replay_id, changeType="GAP_OVERFLOW", recordIds=["a0P*"], commitTimestamp=int(at.timestamp() * 1000)
        )

    later = NOON + timedelta(hours=1)
    await way.hear(batch(overflow(7001, later), overflow(7002, NOON), overflow(7003, later)))
    async with way.db.reading() as tx:
        (gap,) = await gaps.list_gaps(tx, only_open=True)
    assert (gap.channel, gap.object_name, gap.from_at) == (CHANNEL, "Patient__c", NOON)
    assert (await rows(way.db), await way.position()) == ([], "7003")


async def test_a_gap_event_with_ids_is_a_change_of_any_field(way: Way) -> None:
    await way.hear(batch(event(7001, 1, changeType="GAP_UPDATE", changedFields=None)))
    (change,) = await rows(way.db, schema.change)
    assert (change["kind"], change["fields"]) == ("UPDATE", [])


async def test_a_lost_position_opens_a_gap_from_the_last_event_by_its_own_time(way: Way) -> None:
    await way.hear(batch(event(7001, 1)))
    for _ in range(2):  # a process that is started again loses it again
        await way.hear(PositionLost(channel=CHANNEL, replay_id="7001", reason="the org forgot it"))
    async with way.db.reading() as tx:
        (gap,) = await gaps.list_gaps(tx, only_open=True)
    assert (gap.from_at, gap.reason, gap.object_name) == (NOON, "the org forgot it", None)
    assert await way.position() == "7001"


async def test_a_position_lost_before_any_event_opens_a_gap_without_a_beginning(way: Way) -> None:
    await way.hear(PositionLost(channel=CHANNEL, replay_id="7001", reason="the org forgot it"))
    async with way.db.reading() as tx:
        (gap,) = await gaps.list_gaps(tx, only_open=True)
    assert gap.from_at is None


async def test_what_cannot_be_read_says_no_time_and_an_old_event_that_comes_late_says_its_own(way: Way) -> None:
    old = int((NOON - timedelta(days=2)).timestamp() * 1000)
    for messages in ((event(7001, 1), MALFORMED[0]), (event(7003, 3, commitTimestamp=old), MALFORMED[3])):
        await way.hear(batch(*messages))
    async with way.db.reading() as tx:
        standing = await positions.standing(tx, CHANNEL)
    assert standing is not None
    assert standing.event_at == NOON - timedelta(days=2)


async def test_a_long_list_of_records_in_one_event_is_kept_whole(way: Way) -> None:
    await way.hear(batch(event(7001, *range(1, 602))))
    assert len(await states(way.db)) == 601


async def test_a_short_id_and_a_long_one_are_one_record(way: Way) -> None:
    short = record(1)[:15]
    await way.hear(batch(event(7001, 1), event(7002, recordIds=[short])))
    assert [row["record_id"] for row in await rows(way.db)] == [long_id(short)]


class Failing(Database):
    """A database that fails as often as it is told to, before or after the work of a transaction."""

    errors: list[Exception]
    after_work = False

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        if self.errors and not self.after_work:
            raise self.errors.pop(0)
        async with super().writing() as tx:
            yield tx
            if self.errors:
                raise self.errors.pop(0)


@pytest.mark.parametrize(
    ("error", "after_work"),
    [(Outage("the database is not answering"), False), (Conflict("somebody was first"), True)],
)
async def test_a_batch_is_offered_again_until_the_database_takes_it(
    migrated_url: str, error: Exception, after_work: bool
) -> None:
    db = Failing(migrated_url)
    db.errors, db.after_work = [error], after_work
    way = Way(db)
    await way.hear(batch(event(7001, 1)), batch(event(7002, 2)))
    assert [row["record_id"] for row in await rows(db)] == [record(1), record(2)]
    assert (await way.position(), way.woken.times) == ("7002", 2)
    await db.close()


async def test_a_commit_whose_answer_was_lost_is_not_kept_twice(migrated_url: str) -> None:
    class Unheard(Failing):
        @asynccontextmanager
        async def writing(self) -> AsyncIterator[Tx]:
            async with Database.writing(self) as tx:
                yield tx
            if self.errors:
                raise self.errors.pop(0)

    db = Unheard(migrated_url)
    db.errors = [Outage("cut off in mid-commit")]
    await Way(db).hear(batch(event(7001, 1)))
    assert [(row["changes"]) for row in await rows(db)] == [1]
    await db.close()
