"""How far each channel was heard and swept, how it began, and that a dead letter holds the shape and no value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener import gaps, positions, schema
from listener.database import Database
from listener.positions import Position, Standing, shape_of
from tests.outbox_rows import CHANNEL, HOUR, NOON, rows

CANARY = "Zebulon-Canary"


async def move(db: Database, **fields: Any) -> None:
    """The channel was heard up to there."""
    async with db.writing() as tx:
        await positions.move(tx, Position(**{"channel": CHANNEL, "replay_id": "7001"} | fields))


async def test_a_channel_never_heard_has_no_position(db: Database) -> None:
    async with db.reading() as tx:
        assert await positions.replay_id(tx, CHANNEL) is None
        assert await positions.standing(tx, CHANNEL) is None


async def test_each_channel_has_its_own_position_and_the_last_to_arrive_counts(db: Database) -> None:
    await move(db, replay_id="7002", own=1)
    await move(db, replay_id="7001", own=1, unwatched=3)
    await move(db, channel="/data/ChangeEvents", replay_id="9")
    async with db.reading() as tx:
        assert await positions.replay_id(tx, CHANNEL) == "7001"
        assert await positions.replay_id(tx, "/data/ChangeEvents") == "9"
    assert [(one["channel"], one["own"], one["unwatched"]) for one in await rows(db, schema.stream)] == [
        ("/data/ChangeEvents", 0, 0),
        (CHANNEL, 2, 3),
    ]


async def standing(db: Database, channel: str = CHANNEL) -> Standing:
    """How a channel stands that there is."""
    async with db.reading() as tx:
        found = await positions.standing(tx, channel)
    assert found is not None
    return found


async def test_the_moment_of_the_last_event_stays_where_a_batch_does_not_say_one(db: Database) -> None:
    await move(db, at=NOON)
    await move(db, replay_id="7002")
    found = await standing(db)
    assert (found.replay_id, found.event_at) == ("7002", NOON)


async def test_an_echo_is_put_down_and_the_next_batch_without_one_leaves_it(db: Database) -> None:
    await move(db, echoed=True)
    echo_at = (await standing(db)).echo_at
    assert echo_at is not None
    await move(db)
    assert (await standing(db)).echo_at == echo_at


async def test_a_first_start_with_all_that_is_kept_is_a_gap_from_the_beginning(db: Database) -> None:
    async with db.writing() as tx:
        assert await positions.begin(tx, CHANNEL, start="retained", at=NOON)
        assert not await positions.begin(tx, CHANNEL, start="now", at=NOON)
    async with db.reading() as tx:
        (gap,) = await gaps.list_gaps(tx, only_open=True)
    assert (gap.reason, gap.from_at, gap.to_at) == (positions.FIRST_START, None, NOON)
    found = await standing(db)
    assert (found.began, found.start, found.covers_from, found.swept_until) == (True, "retained", None, None)


async def test_a_first_start_with_what_is_new_is_no_gap_and_covers_what_comes(db: Database) -> None:
    async with db.writing() as tx:
        assert await positions.begin(tx, CHANNEL, start="now", at=NOON)
    assert await rows(db, schema.gap) == []
    found = await standing(db)
    assert (found.start, found.covers_from, found.swept_until) == ("now", NOON, NOON)


async def test_a_channel_that_was_heard_before_there_was_a_choice_is_not_begun_again(db: Database) -> None:
    await move(db)
    async with db.writing() as tx:
        assert not await positions.begin(tx, CHANNEL, start="retained", at=NOON)
    assert await rows(db, schema.gap) == []


async def test_a_sweep_puts_down_how_far_it_came_and_moves_nothing_else(db: Database) -> None:
    await move(db, own=4)
    for until, missed, done in ((NOON, 2, False), (NOON + HOUR, 1, False), (NOON - HOUR, 0, False)):
        async with db.writing() as tx:
            await positions.swept(tx, CHANNEL, until, missed=missed, done=done)
    found = await standing(db)
    assert (found.swept_until, found.missed, found.swept_at, found.replay_id) == (NOON + HOUR, 3, None, "7001")
    assert found.missed_at is not None
    async with db.writing() as tx:
        await positions.swept(tx, CHANNEL, NOON + 2 * HOUR, missed=0, done=True)
    found = await standing(db)
    assert (found.swept_until, found.missed) == (NOON + 2 * HOUR, 3)
    assert found.swept_at is not None


async def test_a_channel_that_was_never_heard_may_be_swept(db: Database) -> None:
    async with db.writing() as tx:
        await positions.swept(tx, "/data/Never", NOON, missed=1, done=True)
    found = await standing(db, "/data/Never")
    assert (found.replay_id, found.missed, found.began) == (None, 1, False)


async def test_a_dead_letter_keeps_the_shape_and_no_value(db: Database) -> None:
    message = {
        "data": {
            "payload": {"First_Name__c": CANARY, "SSN__c": "900-12-3456", "Tags": [CANARY, 1, None, True, 2.5]},
            "event": {"replayId": 7001},
        }
    }
    async with db.writing() as tx:
        await positions.bury(tx, CHANNEL, message, replay_id="7001", reason="ChangeEventHeader is missing")
    (letter,) = await rows(db, schema.dead_letter)
    assert json.loads(letter["shape"]) == {
        "data": {
            "payload": {"First_Name__c": "str", "SSN__c": "str", "Tags": ["str", "int", "NoneType", "…"]},
            "event": {"replayId": "int"},
        }
    }
    assert (letter["replay_id"], letter["reason"]) == ("7001", "ChangeEventHeader is missing")
    assert CANARY not in str(letter)
    assert "900-12" not in str(letter)


async def test_the_same_message_has_the_same_digest_whatever_the_order_of_its_keys(db: Database) -> None:
    for message in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}):
        async with db.writing() as tx:
            await positions.bury(tx, CHANNEL, message, replay_id=None, reason="x")
    one, same, other = [letter["digest"] for letter in await rows(db, schema.dead_letter)]
    assert one == same != other


@pytest.mark.parametrize(
    "message", [None, "", CANARY, 5, [], [[]], {"\x00\ud800": "\ud800"}, float("nan"), b"bytes", NOON]
)
async def test_whatever_came_can_be_buried(db: Database, message: Any) -> None:
    async with db.writing() as tx:
        await positions.bury(tx, CHANNEL, message, replay_id=None, reason="ChangeEventHeader is missing")
    (letter,) = await rows(db, schema.dead_letter)
    assert CANARY not in str(letter)


def test_a_shape_has_an_end() -> None:
    deep: Any = CANARY
    for _ in range(50):
        deep = {"down": [deep]}
    wide = {f"key {number}": CANARY for number in range(1_000)} | {"x" * 500: 1}
    assert len(json.dumps(shape_of(deep))) < 200
    assert len(shape_of(wide)) == 100
    assert max(len(key) for key in shape_of({"x" * 500: 1})) == 80


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.just(CANARY),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
        max_leaves=20,
    )
)
def test_no_value_is_in_any_shape(value: Any) -> None:
    assert CANARY not in json.dumps(shape_of(value))
