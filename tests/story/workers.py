"""A worker, a listener, or both in a process of its own: the real parts, watched, that die or freeze where told.

`fenced` and `intending` switch a guard off, to see whether the tests can see what it is good for.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import structlog

from fusion.drain import drain
from fusion.lease import LeaseTimes
from fusion.mapping import load_mapping
from fusion.scheduler import Chore, Scheduler
from fusion.turn import Limits, Worker
from listener import holders, positions
from listener.change import Ours
from listener.errors import SyncError
from listener.listen import Intake, listen
from listener.login import Login
from listener.org import CLIENT, SalesforceOrg
from listener.settings import SalesforceSettings
from listener.stream import Backoff, StreamHealth, events
from tests.story.api_portal import ApiPortal
from tests.story.watched import Points, WatchedDatabase, WatchedOrg, WatchedPortal, watched

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a process is to be. `salesforce` and `portal`: settings by name. `fatal`: a point and its n-th pass.

    `takes_over`: looks at its start for leases of processes that died on this host, as the program does; without it
    they run out by themselves, as they do where the dead one ran on another host.
    """

    database_url: str
    salesforce: Mapping[str, Any]
    portal: Mapping[str, str]
    passes: Path
    log: Path
    listens: bool = True
    works: bool = True
    fatal: tuple[str, int] | None = None
    fatal_signal: signal.Signals = signal.SIGKILL
    takes_over: bool = True
    lease: timedelta = timedelta(seconds=10)
    gate: timedelta = timedelta(seconds=0.2)
    look_again: timedelta = timedelta(seconds=0.4)
    tell_after: timedelta = timedelta(seconds=0.25)
    attempts: int = 1000
    fenced: bool = True
    intending: bool = True
    heeds_warning: bool = False
    full_while: Path | None = None
    patience: float = 30.0


def main(orders: Orders) -> None:
    """The whole life of the process: until SIGTERM, or the signal that it sends itself."""
    # It says at each tick that a round is still running.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    with orders.log.open("a", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
        structlog.configure(
            processors=[
                structlog.processors.TimeStamper(fmt="iso", key="at"),
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(),
            ],
            logger_factory=structlog.WriteLoggerFactory(file=log),
        )
        try:
            asyncio.run(_Process(orders).run())
        except BaseException:
            traceback.print_exc(file=log)
            raise


class _Process:
    """What is open in it."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.passed = Points(orders.passes, fatal=orders.fatal, by=orders.fatal_signal).passed
        self.stopping = asyncio.Event()
        self.db = WatchedDatabase(
            orders.database_url,
            self.passed,
            patience=orders.patience,
            fenced=orders.fenced,
            full_while=orders.full_while,
        )
        self.settings = SalesforceSettings(**orders.salesforce)
        self.login = Login(self.settings)
        self.org = SalesforceOrg(self.login, api_version=self.settings.api_version)
        self.mapping = load_mapping(None)
        self.scheduler = Scheduler(give_up=self._give_up)

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            for close in (self.db.close, self.login.close, self.org.close):
                stack.push_async_callback(close)
            if self.orders.takes_over:
                await _patiently(lambda: holders.free_leases_of_the_dead(self.db))
            if self.orders.works:
                portal = ApiPortal(
                    url=self.orders.portal["url"],
                    username=self.orders.portal["username"],
                    password=self.orders.portal["password"],
                    passed=self.passed,
                    heeds_warning=self.orders.heeds_warning,
                )
                self._work(await stack.enter_async_context(portal))
            self.scheduler.start()
            listening = tasks.create_task(self._listen()) if self.orders.listens else None
            await self.stopping.wait()
            await self.scheduler.stop(grace=timedelta(seconds=5))
            if listening is not None:
                await asyncio.wait({listening}, timeout=2)
                listening.cancel()

    def _work(self, portal: ApiPortal) -> None:
        orders = self.orders
        worker = Worker(
            db=self.db,
            org=WatchedOrg(self.org, self.passed),
            portal=WatchedPortal(portal, self.passed, fenced=orders.fenced, intending=orders.intending),
            mapping=self.mapping,
            name=holders.this_process(),
            limits=Limits(
                lease=LeaseTimes(length=orders.lease),
                portal_attempts=orders.attempts,
                writeback_attempts=orders.attempts,
                gate_first=orders.gate,
                look_again=orders.look_again,
                tell_after=orders.tell_after,
            ),
        )
        every = timedelta(seconds=0.2)
        self.scheduler.add(Chore(name="drain", every=every, run=lambda: drain(worker, stopping=self.stopping)))

    async def _listen(self) -> None:
        user_id = (await _patiently(self.login.token)).user_id
        intake = Intake(
            db=self.db,
            ours=Ours(user_id=user_id, client=CLIENT, fields=frozenset(self.mapping.own.names())),
            watched=frozenset({self.mapping.object_name}),
            settle=timedelta(0),
            wake=lambda: self.scheduler.wake("drain"),
        )
        stream = events(
            self.login,
            self.settings,
            position=self._position,
            health=StreamHealth(),
            stopping=self.stopping,
            backoff=Backoff(first=0.1, longest=1.0),
            random=Random(1),
        )
        await listen(watched(stream, self.passed), intake)

    async def _position(self) -> str:
        async with self.db.reading() as tx:
            return await positions.replay_id(tx, self.settings.channel) or "-2"

    def _give_up(self, error: Exception) -> None:
        structlog.get_logger().error("give up", why=str(error))
        self.stopping.set()


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What it comes to, asked again for ten seconds where the other side is not there yet."""
    for _ in range(50):
        try:
            return await ask()
        except SyncError:
            await asyncio.sleep(0.2)
    return await ask()
