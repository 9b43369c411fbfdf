"""What the tables say, for people: counts, newest rows, one row's story, ages and doubts."""

from datetime import timedelta

from listener import board, gaps, known, positions
from listener.database import Database
from listener.entry import ParkedReason, State
from listener.positions import Position
from tests.outbox_rows import CHANNEL, NOON, a_change, arrive, claimed, record, refused, settle


async def test_every_state_is_counted_also_where_there_is_none(db: Database) -> None:
    await arrive(db, 1, 2, 3)
    await settle(db, await claimed(db))
    await settle(db, await claimed(db), refused(ParkedReason.BAD_DATA))
    async with db.reading() as tx:
        assert await board.counts(tx) == {
            State.PENDING: 1,
            State.PUSHED: 0,
            State.DONE: 1,
            State.PARKED: 1,
            State.SUPERSEDED: 0,
        }


async def test_the_newest_rows_come_first_of_the_states_that_are_asked_for(db: Database) -> None:
    await arrive(db, 1, 2, 3)
    await settle(db, await claimed(db))
    async with db.reading() as tx:
        assert [row["record_id"] for row in await board.entries(tx)] == [record(3), record(2), record(1)]
        assert [row["record_id"] for row in await board.entries(tx, limit=1)] == [record(3)]
        waiting = await board.entries(tx, states=[State.PENDING])
        assert [row["record_id"] for row in waiting] == [record(3), record(2)]
        assert await board.entries(tx, states=[State.PARKED]) == []


async def test_a_story_has_the_changes_and_the_attempts_of_one_row(db: Database) -> None:
    await arrive(db, 1, 2)
    await arrive(db, 1)
    entry = await claimed(db)
    await settle(db, entry)
    async with db.reading() as tx:
        story = await board.story(tx, entry.id)
        assert await board.story(tx, 999_999_999) is None
    assert story is not None
    assert story["entry"]["record_id"] == record(1)
    assert [one["record_id"] for one in story["changes"]] == [record(1)] * 2
    assert [(one["step"], one["outcome"]) for one in story["attempts"]] == [
        ("portal", "updated"),
        ("writeback", "told"),
    ]


async def test_the_oldest_open_is_by_when_it_changed_and_not_by_when_it_came(db: Database) -> None:
    async with db.reading() as tx:
        assert await board.oldest_open(tx) is None
    old = NOON - timedelta(days=1)
    await arrive(db, a_change(1), a_change(2, changed_at=old), a_change(3))
    async with db.reading() as tx:
        assert await board.oldest_open(tx) == old


async def test_what_is_answered_is_open_no_more(db: Database) -> None:
    await arrive(db, 1)
    await settle(db, await claimed(db))
    async with db.reading() as tx:
        assert await board.oldest_open(tx) is None


async def test_each_channel_is_listed_with_its_position(db: Database) -> None:
    async with db.writing() as tx:
        for channel in ("/data/B", "/data/A"):
            await positions.move(tx, Position(channel=channel, replay_id="7001"))
    async with db.reading() as tx:
        assert [(one["channel"], one["replay_id"]) for one in await board.streams(tx)] == [
            ("/data/A", "7001"),
            ("/data/B", "7001"),
        ]


async def test_doubts_are_open_gaps_and_dead_letters(db: Database) -> None:
    async with db.writing() as tx:
        ids = [
            await gaps.open_gap(tx, CHANNEL, reason=reason, object_name=None, since=None, until=None)
            for reason in ("away", "gone")
        ]
        await gaps.close_gap(tx, ids[0])
        await positions.bury(tx, CHANNEL, {"a": 1}, replay_id=None, reason="no event")
    async with db.reading() as tx:
        assert await board.doubts(tx) == {"open_gaps": 1, "dead_letters": 1}


async def test_nothing_is_unheard_of_nothing(db: Database) -> None:
    async with db.reading() as tx:
        assert await known.unheard(tx, {}, trust_own=True) == frozenset()


async def test_what_was_never_heard_of_is_unheard(db: Database) -> None:
    await arrive(db, a_change(1, changed_at=NOON))
    async with db.reading() as tx:
        modified = {record(1): NOON, record(2): NOON}
        assert await known.unheard(tx, modified, trust_own=True) == {record(2)}
        later = {record(1): NOON + timedelta(seconds=3)}
        assert await known.unheard(tx, later, trust_own=True) == {record(1)}
