"""A listening process, to be killed or weighed by a test: stream, changes, outbox, position, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import structlog

from listener.bayeux import SessionTimes
from listener.database import Database
from listener.login import Login
from listener.stream import Backoff
from tests.contract.cometd.rig import Listener, settings_of

# Forked from one that has everything imported: a start takes milliseconds instead of a second.
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.story.workers", "tests.contract.cometd.listening"])


class Listening:
    """A process that listens to the server at `url`, and keeps what it hears in `database`."""

    def __init__(self, url: str, database: str) -> None:
        self._hears, says = _FORKING.Pipe(duplex=False)
        self._process = _FORKING.Process(target=main, args=(url, database, says))
        self._process.start()
        says.close()

    async def said(self, *, within: float = 30.0) -> Any:
        """The next that it has to say: `listening` once a session is open, and at its end what that came to."""
        assert await asyncio.to_thread(self._hears.poll, within), "it says nothing"
        return self._hears.recv()

    async def end(self, number: signal.Signals) -> None:
        """Send it the signal, and return when it is gone."""
        if self._process.exitcode is None and self._process.pid is not None:
            os.kill(self._process.pid, number)
        await asyncio.to_thread(self._process.join, 15)
        assert self._process.exitcode is not None, "it did not end"


@asynccontextmanager
async def listening(url: str, database: str) -> AsyncIterator[Listening]:
    """One that has a session; killed if it is still there at the end."""
    process = Listening(url, database)
    try:
        assert await process.said() == "listening"
        yield process
    finally:
        await process.end(signal.SIGKILL)


def main(url: str, database: str, says: Connection) -> None:
    """The whole life of the process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(_listen(url, database, says))


async def _listen(url: str, database: str, says: Connection) -> None:
    settings = settings_of(url)
    db, login = Database(database), Login(settings)
    listener = Listener(login=login, settings=settings, db=db)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, listener.stopping.set)
    run = asyncio.create_task(listener.run(times=SessionTimes(), backoff=Backoff(first=0.05, longest=0.5)))
    while not listener.health.sessions and not run.done():
        await asyncio.sleep(0.005)
    says.send("listening")
    await run
    await login.close()
    await db.close()
    says.send({"megabytes": round(most_megabytes(), 1), "sessions": listener.health.sessions})


def most_megabytes() -> float:
    """The most memory that this process ever held; of the kernel's two answers the one that forgets who started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = [one for one in status.read_text().splitlines() if one.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
