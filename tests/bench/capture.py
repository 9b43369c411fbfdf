"""Capture beside others: events per second with every event committed, a backlog's memory, a sweep, and the latency.

One run, one real CometD server, in turns; what is compared lies side by side. Numbers are medians of the rounds, ratios
medians of each round's own: a shared machine gives no other number that means much.
"""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from typing import Any

from fusion.cli.migrate import migrate
from listener import gaps, log
from listener.database import Database
from listener.errors import SetupError
from listener.listen import listen
from listener.login import Login
from listener.settings import SalesforceSettings
from listener.stream import RETAINED, StreamHealth, events
from tests.bench import subscribers
from tests.bench.ground import Ground, ground
from tests.bench.numbers import Numbers
from tests.contract.cometd.listening import most_megabytes
from tests.contract.cometd.rig import CHANNEL, Server, kept, settings_of
from tests.contract.cometd.strangers import KINDS, received
from tests.listener.sweeping import swept
from tests.node import PLACE
from tests.org_rig import patient, settings_for, stand_in

Said = Callable[[str], None]
_DATABASES = ("postgres", "sqlite")
_RECEIVED = "events from storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured. `paced`: single events for the latency."""

    rounds: int = 3
    events: int = 20_000
    backlog: int = 50_000
    records: int = 100_000
    paced: int = 100


FULL = Sizes()
QUICK = replace(FULL, rounds=1, events=10_000, records=10_000, paced=40)


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: what was done, by whom, and in what unit."""

    what: str
    system: str
    unit: str = "events/s"


_OURS = {database: Kind(_RECEIVED, f"ours, committed, {database}") for database in _DATABASES}
_BARE = Kind(_RECEIVED, "aiosfstream-ng, bare")
_JS = {kind: Kind(_RECEIVED, f"{kind} (JavaScript)") for kind in KINDS}


def measure(sizes: Sizes, said: Said = lambda _line: None) -> dict[str, Any]:
    """`machine`, `rows`, `ratios` and `figures`; `said` hears what is being done."""
    if not (PLACE / "cometd" / "ready").is_file():
        raise SetupError("the CometD server to measure on is not there", hint="`make bench-capture` installs it")
    log.set_up(level="error")
    with ground() as place, asyncio.Runner() as runner:
        numbers = Numbers[Kind]()
        figures: dict[str, float] = {}
        for number in range(1, sizes.rounds + 1):
            said(f"round {number}: receiving")
            runner.run(_receive(place, sizes.events, numbers, f"round-{number}"))
        said("a backlog")
        figures["backlog_rss_mb"] = runner.run(_backlog(place, sizes.backlog, numbers))
        said("latency")
        figures |= runner.run(_latency(place, sizes.paced))
        said(f"a sweep of {sizes.records:,} records")
        figures |= runner.run(_sweep(place, sizes.records))
    return {"machine": machine(), "rows": numbers.rows(), "ratios": ratios(numbers), "figures": figures}


def machine() -> dict[str, Any]:
    """The machine and what runs on it. `load`: how many processes wanted its cores in the last minute."""
    packages = ("aiosfstream-ng", "aiocometd-ng", "aiohttp", "msgspec")
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def ratios(numbers: Numbers[Kind]) -> dict[str, float | None]:
    """Ours over theirs, on whichever database ours is slower; of the JavaScript clients the one that is faster."""
    return {
        "committed_vs_bare_client": _least(numbers.ratio(mine, _BARE) for mine in _OURS.values()),
        "committed_vs_js_client": _least(numbers.ratio(mine, js) for mine in _OURS.values() for js in _JS.values()),
    }


def _least(found: Any) -> float | None:
    return min((one for one in found if one is not None), default=None)


async def _receive(place: Ground, count: int, numbers: Numbers[Kind], name: str) -> None:
    """One round: the same stored events, to each of them from the first on."""
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        server = Server(tools=PLACE, folder=Path(folder), poll=5.0, forgets=30.0)
        await server.start()
        try:
            await server.publish(count, size=200)
            token = await _token(server)
            # Neighbours are what is compared: a machine that is busy for a second is so for both.
            for database in _DATABASES:
                url = await _migrated(place, database, name)
                found = await asyncio.to_thread(subscribers.measured, subscribers.ours, server.url, url, count)
                numbers.note(_OURS[database], count / found["seconds"])
                await _all_there(url, count)
            found = await asyncio.to_thread(subscribers.measured, subscribers.bare, server.url, token, count)
            numbers.note(_BARE, count / found["seconds"])
            for kind in KINDS:
                told = await received(
                    *(PLACE, kind), url=server.url, token=token, channel=CHANNEL, replay=RETAINED, count=count
                )
                numbers.note(_JS[kind], count / told["seconds"])
        finally:
            await server.stop()


async def _backlog(place: Ground, count: int, numbers: Numbers[Kind]) -> float:
    """The most memory, in megabytes, on whichever database it is more."""
    most = 0.0
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        server = Server(tools=PLACE, folder=Path(folder), poll=5.0, forgets=60.0)
        await server.start()
        try:
            await server.publish(count, size=200)
            for database in _DATABASES:
                url = await _migrated(place, database, "backlog")
                found = await asyncio.to_thread(subscribers.measured, subscribers.ours, server.url, url, count)
                await _all_there(url, count)
                kind = Kind(f"a backlog of {count:,}", f"ours, committed, {database}", "MB")
                numbers.note(kind, found["megabytes"])
                most = max(most, found["megabytes"])
        finally:
            await server.stop()
    return round(most, 1)


async def _latency(place: Ground, count: int) -> dict[str, float]:
    """Milliseconds from the word to publish an event until its row is committed, nothing else going on; on SQLite."""
    url, took = await _migrated(place, "sqlite", "latency"), list[float]()
    committed = asyncio.Event()
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        server = Server(tools=PLACE, folder=Path(folder), poll=5.0, forgets=30.0)
        await server.start()
        settings, health, stopping = settings_of(server.url), StreamHealth(), asyncio.Event()
        db, login = Database(url), Login(settings)
        stream = events(login, settings, position=_retained, health=health, stopping=stopping)
        listening = asyncio.create_task(listen(stream, subscribers.intake(db, committed.set)))
        try:
            for number in range(count + 5):
                await asyncio.sleep(0.05)
                committed.clear()
                began = time.perf_counter()
                await server.publish(1, size=200)
                await asyncio.wait_for(committed.wait(), 20)
                if number >= 5:  # what comes first waits for the session
                    took.append((time.perf_counter() - began) * 1000)
        finally:
            stopping.set()
            await listening
            await login.close()
            await db.close()
            await server.stop()
    cuts = quantiles(took, n=20)
    return {"latency_p50_ms": round(cuts[9], 1), "latency_p95_ms": round(cuts[18], 1)}


async def _sweep(place: Ground, count: int) -> dict[str, float]:
    """API calls and memory of a sweep over so many ready records that nobody knows."""
    url = await _migrated(place, "sqlite", "sweep")
    # A record a second, the last of them an hour ago.
    behind = timedelta(hours=1, seconds=count)

    def clock() -> datetime:
        return datetime.now(UTC) - behind

    async with stand_in(clock=clock) as org:
        for _ in range(count):
            org.control.create(patient(SSN__c=None))
            org.ledger.entries.clear()
            behind -= timedelta(seconds=1)
        behind = timedelta()
        settings = settings_for(org)
        db = Database(url)
        async with db.writing() as tx:
            await gaps.open_gap(tx, settings.channel, reason="away", object_name=None, since=None, until=None)
        await db.close()
        before = org.control.allowance.calls_used
        orders = settings.model_dump(mode="json", exclude={"client_secret"})
        found = await asyncio.to_thread(subscribers.measured, sweeping, url, orders, within=900.0)
        calls = org.control.allowance.calls_used - before
    if found["changed"] != count:
        raise RuntimeError(f"{found['changed']} records were swept, and {count} had been there")
    return {
        "sweep_records": count,
        "sweep_api_calls": calls,
        "sweep_calls_allowed": count // 2000 + 5,
        "sweep_rss_mb": round(found["megabytes"], 1),
        "sweep_seconds": round(found["seconds"], 1),
    }


def sweeping(url: str, salesforce: dict[str, Any], says: Connection) -> None:
    """One sweep in a process of its own; says what it found, seconds and megabytes."""
    log.set_up(level="error")
    began = time.perf_counter()
    done = asyncio.run(swept(url, SalesforceSettings(**salesforce)))
    says.send({"changed": done.changed, "seconds": time.perf_counter() - began, "megabytes": most_megabytes()})


async def _retained() -> str:
    return RETAINED


async def _token(server: Server) -> str:
    login = Login(settings_of(server.url))
    try:
        return (await login.token()).access_token
    finally:
        await login.close()


async def _migrated(place: Ground, database: str, name: str) -> str:
    url = place.url(database, f"capture-{name}")
    await asyncio.to_thread(migrate, url)
    return url


async def _all_there(url: str, count: int) -> None:
    """Raise unless every event is a row: what was measured was worth it."""
    db = Database(url)
    try:
        rows = len(await kept(db))
    finally:
        await db.close()
    if rows != count:
        raise RuntimeError(f"{rows} rows of {count} events")
