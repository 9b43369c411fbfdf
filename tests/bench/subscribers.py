"""Subscribers under measurement: the product's, which commits, and the bare library, which keeps none."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import structlog
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.client import Client, ReplayMarkerStoragePolicy
from aiosfstream_ng.replay import ReplayOption

from listener import log
from listener.change import Ours
from listener.database import Database
from listener.listen import Intake, listen
from listener.login import Login
from listener.stream import RETAINED, Batch, PositionLost, StreamHealth, events
from tests.contract.cometd.listening import most_megabytes
from tests.contract.cometd.rig import CHANNEL, settings_of

_FORKING = multiprocessing.get_context("forkserver")


def ours(url: str, database: str, count: int, says: Connection) -> None:
    """Listens as the program does, log lines and all, until so many events are committed; says seconds, megabytes."""
    with open("/dev/null", "w") as nowhere:  # noqa: PTH123
        log.set_up(form="json", stream=nowhere)
        says.send(asyncio.run(_ours(url, database, count)))


async def _ours(url: str, database: str, count: int) -> dict[str, float]:
    settings = settings_of(url)
    db, login = Database(database), Login(settings)
    async with db.reading():
        pass  # the program has a connection before it listens, and a token
    await login.token()
    began, ended = time.perf_counter(), [0.0]
    stream = events(login, settings, position=_from_the_start, health=StreamHealth(), stopping=asyncio.Event())
    async with aclosing(stream) as heard, aclosing(_first(heard, count, ended)) as some:
        await listen(some, intake(db))
    await login.close()
    await db.close()
    return {"seconds": ended[0] - began, "megabytes": most_megabytes()}


async def _from_the_start() -> str:
    return RETAINED


async def _first(
    stream: AsyncIterator[Batch | PositionLost], count: int, ended: list[float]
) -> AsyncIterator[Batch | PositionLost]:
    seen = 0
    async for item in stream:
        yield item  # and it is committed when the next one is asked for
        seen += len(item.messages) if isinstance(item, Batch) else 0
        if seen >= count:
            ended[0] = time.perf_counter()
            return


def intake(db: Database, wake: Callable[[], None] = lambda: None) -> Intake:
    """The product's way in to that database."""
    return Intake(
        db=db,
        ours=Ours(user_id="005000000000001AAA", client="fusion-sync", fields=frozenset({"Fusion_Web_Id__c"})),
        watched=frozenset({"Patient__c"}),
        settle=timedelta(0),
        wake=wake,
    )


def bare(url: str, token: str, count: int, says: Connection) -> None:
    """The library as it comes, receiving so many events and keeping none; says seconds and megabytes."""
    logging.disable()
    structlog.reset_defaults()
    says.send(asyncio.run(_bare(url, token, count)))


async def _bare(url: str, token: str, count: int) -> dict[str, float]:
    class Bearer(AuthenticatorBase):
        async def _authenticate(self) -> tuple[int, dict[str, Any]]:
            return 200, {"token_type": "Bearer", "access_token": token, "instance_url": url}

    began = time.perf_counter()
    # Its queue without a bound: with one it does not get over a subscription that brings more than that at once.
    client = Client(
        Bearer(),
        replay=ReplayOption.ALL_EVENTS,
        replay_storage_policy=ReplayMarkerStoragePolicy.MANUAL,
        connection_timeout=0,
        max_pending_count=0,
    )
    await client.open()
    await client.subscribe(CHANNEL)
    for _ in range(count):
        await client.receive()
    seconds = time.perf_counter() - began
    await client.close()
    return {"seconds": seconds, "megabytes": most_megabytes()}


def measured(what: Callable[..., None], *told: Any, within: float = 240.0) -> dict[str, float]:
    """What one of them says, in a process of its own."""
    hears, says = _FORKING.Pipe(duplex=False)
    process = _FORKING.Process(target=what, args=(*told, says))
    process.start()
    says.close()
    try:
        if not hears.poll(within):
            raise RuntimeError(f"{what.__name__} says nothing")
        found: dict[str, float] = hears.recv()
        return found
    finally:
        process.kill()
        process.join()
