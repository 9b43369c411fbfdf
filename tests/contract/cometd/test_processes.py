"""A listening process beside a real CometD server: killed again and again, and weighed under a large backlog."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from random import Random, SystemRandom

import pytest

from listener.database import Database
from tests.contract.cometd.listening import listening
from tests.contract.cometd.rig import Server, kept

KILLS = 20


async def have(db: Database, number: int, *, within: float) -> list[str]:
    """What is kept, once it is so many rows or the time is over."""
    async with asyncio.timeout(within):
        while len(found := await kept(db)) < number:
            await asyncio.sleep(0.25)
    return found


@pytest.mark.story
@pytest.mark.timeout(180)
async def test_a_listener_that_is_killed_twenty_times_has_kept_every_event_once(
    tools: Path, tmp_path: Path, migrated_url: str
) -> None:
    seed = SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    random, sent = Random(seed), list[str]()
    server, db = Server(tools=tools, folder=tmp_path, poll=1.0, forgets=1.0), Database(migrated_url)
    await server.start()
    seen = set[int]()
    try:
        for _ in range(KILLS):
            # Enough for several batches, so that most deaths find one half-way.
            sent += await server.publish(random.randrange(200, 1200))
            async with listening(server.url, migrated_url) as process:
                sent += await server.publish(random.randrange(0, 50))
                await asyncio.sleep(random.random() * 0.25)
                await process.end(signal.SIGKILL)
            found = await kept(db)
            seen.add(len(found))
            assert found == sent[: len(found)], "in order, none twice, none left out"
        async with listening(server.url, migrated_url) as process:
            assert await have(db, len(sent), within=60) == sent
            await process.end(signal.SIGTERM)
    finally:
        await server.stop()
        await db.close()
    assert len(seen) > 3, "nobody died between two batches"


@pytest.mark.story
@pytest.mark.timeout(180)
async def test_fifty_thousand_stored_events_are_kept_in_little_memory(
    tools: Path, tmp_path: Path, migrated_url: str
) -> None:
    server, db = Server(tools=tools, folder=tmp_path, poll=2.0, forgets=30.0), Database(migrated_url)
    await server.start()
    try:
        sent = await server.publish(50_000, size=200)
        async with listening(server.url, migrated_url) as process:
            assert await have(db, len(sent), within=120) == sent
            await process.end(signal.SIGTERM)
            told = await process.said()
    finally:
        await server.stop()
        await db.close()
    print(told)
    assert told["megabytes"] < 300
    assert told["sessions"] == 1
