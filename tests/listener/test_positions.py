"""How far each channel was heard, which gaps are open, and that a dead letter holds the shape and no value."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener import positions, schema
from listener.database import Database
from listener.positions import Position, shape_of
from tests.outbox_rows import CHANNEL, NOON, now, rows

CANARY = "Zebulon-Canary"


async def move(db: Database, **fields: Any) -> None:
    """The channel was heard up to there."""
    async with db.writing() as tx:
        await positions.move(tx, Position(**{"channel": CHANNEL, "replay_id": "7001"} | fields))


async def test_a_channel_never_heard_has_no_position(db: Database) -> None:
    async with db.reading() as tx:
        assert await positions.replay_id(tx, CHANNEL) is None
        assert await positions.heard_until(tx, CHANNEL) is None
        assert await positions.swept_until(tx, CHANNEL) is None


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


async def test_a_sign_of_life_moves_no_position(db: Database) -> None:
    await move(db)
    (before,) = await rows(db, schema.stream)
    async with db.writing() as tx:
        await positions.heard(tx, CHANNEL)
    (after,) = await rows(db, schema.stream)
    assert after == before | {"heard_at": after["heard_at"]}
    assert after["heard_at"] >= before["heard_at"]


async def test_a_channel_may_have_been_missed_since_its_last_event(db: Database) -> None:
    """A sign of life alone does not prove that events would have come: their position is what counts."""
    async with db.writing() as tx:
        await positions.heard(tx, CHANNEL)
    async with db.reading() as tx:
        first = await positions.heard_until(tx, CHANNEL)
    assert first is not None
    await move(db)
    (stream,) = await rows(db, schema.stream)
    async with db.writing() as tx:
        await positions.heard(tx, CHANNEL)
    async with db.reading() as tx:
        assert await positions.heard_until(tx, CHANNEL) == stream["moved_at"]


async def test_a_sweep_puts_down_how_far_it_came_and_moves_nothing_else(db: Database) -> None:
    await move(db, own=4)
    for until in (NOON, NOON + timedelta(hours=1)):
        async with db.writing() as tx:
            await positions.sweep_done(tx, CHANNEL, until)
        async with db.reading() as tx:
            assert await positions.swept_until(tx, CHANNEL) == until
            assert await positions.replay_id(tx, CHANNEL) == "7001"
    async with db.writing() as tx:
        await positions.sweep_done(tx, "/data/Never", NOON)
    async with db.reading() as tx:
        assert await positions.replay_id(tx, "/data/Never") is None


async def test_a_gap_stays_open_until_it_is_closed_with_what_was_found(db: Database) -> None:
    async with db.writing() as tx:
        first = await positions.open_gap(tx, CHANNEL, reason="down", object_name=None, since=None, until=NOON)
        second = await positions.open_gap(
            tx, CHANNEL, reason="overflow", object_name="Patient__c", since=NOON, until=None
        )
    async with db.reading() as tx:
        assert [(gap["id"], gap["reason"], gap["from_at"]) for gap in await positions.open_gaps(tx)] == [
            (first, "down", None),
            (second, "overflow", NOON),
        ]
    async with db.writing() as tx:
        await positions.close_gap(tx, first, changed=9, enqueued=2, deleted=1)
    async with db.reading() as tx:
        assert [gap["id"] for gap in await positions.open_gaps(tx)] == [second]
    closed, _ = await rows(db, schema.gap)
    assert (closed["changed"], closed["enqueued"], closed["deleted"]) == (9, 2, 1)
    assert closed["opened_at"] <= closed["closed_at"] <= await now(db)


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
