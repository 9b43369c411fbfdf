"""The real CometD server in a process, and the product's own way in, behind the proxy that spoils what passes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from sqlalchemy import select

from listener import positions, schema
from listener.bayeux import SessionTimes
from listener.change import Ours, long_id
from listener.database import Database
from listener.listen import Intake, listen
from listener.login import Login
from listener.settings import SalesforceSettings
from listener.stream import Backoff, StreamHealth, events
from tests.contract.cometd.proxy import HOST, Proxy

HERE = Path(__file__).parent
CHANNEL = "/data/FusionSync__chn"
FAST = SessionTimes(call=1.0, margin=0.4, close=1.0)
SOON = Backoff(first=0.05, longest=0.2, limit=0.5)


@dataclass(slots=True, kw_only=True)
class Server:
    """A real CometD server. A poll is held `poll` seconds; a client that stays away for `forgets` is forgotten."""

    tools: Path
    folder: Path
    poll: float = 0.3
    forgets: float = 0.6
    port: int = 0
    _process: asyncio.subprocess.Process | None = None
    _http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """On the port of before, with the events of before."""
        limits = [str(int(seconds * 1000)) for seconds in (self.poll, self.forgets)]
        command = ["node", str(HERE / "server.cjs"), str(self.port), str(self.folder / "events.jsonl"), *limits]
        environment = {**os.environ, "NODE_PATH": str(self.tools / "cometd" / "node_modules")}
        self._process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(await asyncio.wait_for(self._process.stdout.readline(), 20))
        self._http = aiohttp.ClientSession(base_url=f"http://{HOST}:{self.port}")

    @property
    def url(self) -> str:
        """Where clients find it without a proxy."""
        return f"http://localhost:{self.port}"

    async def stop(self) -> None:
        """Killed: whoever polls hears nothing any more."""
        if self._http is not None:
            await self._http.close()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def tell(self, word: str, **what: Any) -> dict[str, Any]:
        """A word to its control endpoint, and what it says."""
        assert self._http is not None
        async with self._http.post(f"/control/{word}", json=what) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def publish(self, count: int, channel: str = CHANNEL, **more: Any) -> list[str]:
        """The records that so many new events tell of, one each, in order."""
        made = await self.tell("publish", channel=channel, count=count, **more)
        return [long_id(f"a0P{number:012}") for number in range(made["first"], made["last"] + 1)]


@dataclass(slots=True, kw_only=True)
class Listener:
    """The product's way in on one channel: stream, changes, outbox, position. `login` may be shared, as it is there."""

    login: Login
    settings: SalesforceSettings
    db: Database
    health: StreamHealth = field(default_factory=StreamHealth)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *, times: SessionTimes = FAST, backoff: Backoff = SOON) -> None:
        """Until `stopping` is set."""
        stream = events(
            self.login,
            self.settings,
            position=self._position,
            health=self.health,
            stopping=self.stopping,
            times=times,
            backoff=backoff,
            random=Random(1),
        )
        intake = Intake(
            db=self.db,
            ours=Ours(user_id=None, client="fusion-sync", fields=frozenset()),
            watched=frozenset({"Patient__c"}),
            settle=timedelta(0),
            wake=lambda: None,
        )
        await listen(stream, intake)

    async def _position(self) -> str:
        async with self.db.reading() as tx:
            return await positions.replay_id(tx, self.settings.channel) or "-2"

    async def kept(self) -> list[str]:
        """The records of all rows that were kept of this channel, in the order in which they were."""
        return await kept(self.db, self.settings.channel)


async def kept(db: Database, channel: str = CHANNEL) -> list[str]:
    """The records of all changes in the database that came over the channel, in the order of arrival."""
    found = select(schema.change.c.record_id).where(schema.change.c.channel == channel).order_by(schema.change.c.id)
    async with db.reading() as tx:
        return [str(one) for one in (await tx.execute(found)).scalars()]


def settings_of(url: str, channel: str = CHANNEL) -> SalesforceSettings:
    """Those that lead to a server whose log-in takes any secret."""
    return SalesforceSettings(
        login_url=url, auth="client_credentials", client_id="made-up", client_secret="made-up", channel=channel
    )


@dataclass(slots=True, kw_only=True)
class Rig:
    """All of it, running. `sent`: the records of every event that was published on the channel."""

    server: Server
    proxy: Proxy
    listener: Listener
    sent: list[str] = field(default_factory=list)

    async def publish(self, count: int, **more: Any) -> None:
        """So many new events on the listener's channel."""
        self.sent += await self.server.publish(count, self.listener.settings.channel, **more)

    async def all_kept(self, *, within: float = 15.0) -> None:
        """Return when all that was sent is kept; fail if it is not, or is anything else."""
        until = time.monotonic() + within
        while len(found := await self.listener.kept()) < len(self.sent) and time.monotonic() < until:
            await asyncio.sleep(0.02 if len(self.sent) < 1000 else 0.5)
        assert found == self.sent, f"{len(found)} rows of {len(self.sent)} events; {self.listener.health}"


@asynccontextmanager
async def rig(tools: Path, folder: Path, url: str, **server: Any) -> AsyncIterator[Rig]:
    """A server with nothing stored, a proxy, and a listener that runs, its database at `url`."""
    async with AsyncExitStack() as stack:
        real = Server(tools=tools, folder=folder, **server)
        await real.start()
        stack.push_async_callback(real.stop)
        proxy = await stack.enter_async_context(Proxy(lambda: real.port).running())
        settings = settings_of(proxy.url)
        login = Login(settings, timeout=1.0, monotonic=Hurried())
        stack.push_async_callback(login.close)
        db = Database(url)
        stack.push_async_callback(db.close)
        yield Rig(server=real, proxy=proxy, listener=Listener(login=login, settings=settings, db=db))


@asynccontextmanager
async def running(*listeners: Listener, **how: Any) -> AsyncIterator[None]:
    """Listeners at work. One that raises ends the test; at the end they are stopped, and must stop in good order."""
    async with asyncio.TaskGroup() as tasks:
        for one in listeners:
            tasks.create_task(one.run(**how))
        try:
            yield
        finally:
            for one in listeners:
                one.stopping.set()


class Hurried:
    """A monotonic clock on which time goes sixty times as fast: a pause between two log-ins is a second at most."""

    def __call__(self) -> float:
        return time.monotonic() * 60
