"""Is the process alive, and would a change go through just now?"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from fusion.ops import health
from listener import board, drifts, gaps, gates, positions
from listener.alarms import Expected
from listener.database import Database
from listener.entry import ParkedReason
from listener.gates import Lane
from listener.positions import Position
from listener.stream import StreamHealth
from tests.outbox_rows import CHANNEL, arrive, claimed, refused, settle

EXPECTED = Expected(sweep=timedelta(minutes=15))


async def asked(db: Database, path: str = "/readyz", **parts: Any) -> tuple[int, dict[str, Any]]:
    async with TestClient(TestServer(health.app(db, pulse=lambda: parts, expected=EXPECTED))) as client:
        answer = await client.get(path)
        return answer.status, await answer.json()


def stream(ago: timedelta | None) -> StreamHealth:
    return StreamHealth(last_heard_at=None if ago is None else datetime.now(UTC) - ago)


async def test_alive_is_alive(db: Database) -> None:
    assert await asked(db, "/healthz") == (200, {"status": "alive"})


async def test_ready_with_the_figures_behind_it(db: Database) -> None:
    await arrive(db, 1, 2, 3)
    await settle(db, await claimed(db))
    await settle(db, await claimed(db), refused(ParkedReason.BAD_DATA))
    async with db.writing() as tx:
        await gaps.open_gap(tx, CHANNEL, reason="away", object_name=None, since=None, until=None)
        await positions.bury(tx, CHANNEL, {"a": 1}, replay_id="1", reason="no event")
    at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    status, found = await asked(db, stream=stream(timedelta(0)), worker={"last_round_at": at, "settled": 2})
    assert (status, found["ready"], found["reasons"]) == (200, True, [])
    assert found["entries"] == {"PENDING": 1, "PUSHED": 0, "DONE": 1, "PARKED": 1, "SUPERSEDED": 0}
    assert found["oldest_open_seconds"] > 0
    assert (found["open_gaps"], found["dead_letters"], found["alarms"]) == (1, 1, [])
    assert found["parts"]["worker"] == {"last_round_at": "2026-11-24T12:00:00+00:00", "settled": 2}
    assert found["parts"]["stream"]["state"] == "starting"


async def test_what_is_not_certain_is_an_alarm_and_no_reason_to_send_nothing_through(db: Database) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=50)
    async with db.writing() as tx:
        await positions.move(tx, Position(channel=CHANNEL, replay_id="7001", at=long_ago))
        await positions.swept(tx, CHANNEL, long_ago, missed=3, done=False)
    status, found = await asked(db)
    assert (status, found["missed_by_the_stream"]) == (200, 3)
    (alarm,) = found["alarms"]
    assert (alarm["channel"], alarm["code"]) == (CHANNEL, "position_48h")
    assert "it is stalled" in alarm["said"]


async def test_nothing_open_is_no_age(db: Database) -> None:
    assert (await asked(db))[1]["oldest_open_seconds"] == 0.0


@pytest.mark.parametrize("lane", Lane)
async def test_a_shut_gate_is_a_reason(db: Database, lane: Lane) -> None:
    async with db.writing() as tx:
        await gates.shut(tx, lane, reason="it does not answer", wait=timedelta(seconds=30))
    status, found = await asked(db)
    assert (status, found["ready"]) == (503, False)
    assert found["reasons"] == [f"the way to {lane} is shut: it does not answer"]


async def test_a_pause_is_a_reason_and_whose(db: Database) -> None:
    async with db.writing() as tx:
        await gates.pause(tx, Lane.PORTAL, actor="ops", reason="the clinic moves")
    assert (await asked(db))[1]["reasons"] == ["the way to portal is paused: the clinic moves"]


async def test_both_gates_are_two_reasons(db: Database) -> None:
    async with db.writing() as tx:
        for lane in Lane:
            await gates.shut(tx, lane, reason="away", wait=timedelta(seconds=30))
    assert len((await asked(db))[1]["reasons"]) == 2


async def test_a_stream_that_was_never_heard_is_a_reason(db: Database) -> None:
    status, found = await asked(db, stream=stream(None))
    assert (status, found["reasons"]) == (503, ["the stream has not been heard"])


async def test_a_stream_that_fell_silent_is_a_reason_with_the_moment(db: Database) -> None:
    assert (await asked(db, stream=stream(timedelta(seconds=100))))[0] == 200
    status, found = await asked(db, stream=stream(timedelta(seconds=200)))
    assert status == 503
    assert found["reasons"][0].startswith("the stream has not been heard since 20")


async def test_a_process_without_a_stream_is_not_asked_for_one(db: Database) -> None:
    assert (await asked(db, worker={"settled": 0}))[0] == 200


async def test_a_database_that_does_not_answer_is_a_reason_and_no_error(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    status, found = await asked(db)
    assert (status, found["ready"]) == (503, False)
    assert found["reasons"][0].startswith("the database is not answering")
    assert (await asked(db, "/healthz"))[0] == 200
    await db.close()


async def test_what_has_changed_in_the_portal_is_an_alarm_with_how_many_wait_for_it(db: Database) -> None:
    await arrive(db, 1, 2)
    async with db.writing() as tx:
        await drifts.keep(tx, "one", {"Contacts": ['Contacts: expected "Phone", found "Telephone"'], "Notes": []})
        ids = [row["id"] for row in await board.entries(tx)]
        for entry_id in ids:
            assert await drifts.wait_for(tx, entry_id, {"Contacts"})
    status, found = await asked(db)
    (alarm,) = found["alarms"]
    assert (status, alarm["code"]) == (200, "portal_changed")
    assert alarm["said"].startswith('The portal has changed: Contacts: expected "Phone", found "Telephone" (seen since')
    assert alarm["said"].endswith("2 entries wait for it).")
