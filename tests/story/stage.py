"""One scene: both stand-ins, a database, the processes that are started on them, and when all has come to rest."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from fusion.standin.server import StandInPortal
from listener.engines import sync_url
from listener.standin import StandInOrg
from tests.org_rig import private_key, settings_for
from tests.story.checker import Evidence, complaints, tables_of
from tests.story.workers import Orders, main

USERS = {f"robot{number}@example.com": f"Sync-the-charts-{number}" for number in range(1, 5)}

# Processes are forked from one that has everything imported: a start takes milliseconds instead of a second.
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.story.workers"])


@dataclass(slots=True, kw_only=True)
class Stage:
    """What is there. `knobs` are orders that all processes of this scene get."""

    org: StandInOrg
    portal: StandInPortal
    url: str
    folder: Path
    knobs: dict[str, Any] = field(default_factory=dict)
    processes: list[BaseProcess] = field(default_factory=list)

    @property
    def passes(self) -> list[str]:
        """The points that were passed by any process, in order."""
        file = self.folder / "passes"
        return file.read_text().splitlines() if file.exists() else []

    def start(self, *, user: int = 1, **more: Any) -> BaseProcess:
        """A new process; `user` numbers its portal log-in."""
        username = list(USERS)[user - 1]
        settings = settings_for(self.org).model_dump(exclude={"client_secret"})
        orders = Orders(
            database_url=self.url,
            salesforce=settings,
            portal={"url": self.portal.url, "username": username, "password": USERS[username]},
            passes=self.folder / "passes",
            log=self.folder / "log",
        )
        process = _FORKING.Process(target=main, args=(replace(orders, **(self.knobs | more)),))
        process.start()
        self.processes.append(process)
        return process

    async def death_of(self, process: BaseProcess, *, within: float = 30.0) -> int:
        """The exit code, negative for a signal; fails if it is alive after `within` seconds."""
        await asyncio.to_thread(process.join, within)
        assert process.exitcode is not None, f"the process did not end\n{self.told()}"
        return process.exitcode

    async def end(self, process: BaseProcess) -> int:
        """SIGTERM, and the exit code."""
        process.terminate()
        return await self.death_of(process)

    def told(self) -> str:
        """The end of what the processes logged, for a failure's text."""
        log = self.folder / "log"
        return log.read_text()[-4000:] if log.exists() else ""

    async def rest(self, *, within: float = 45.0, hurry: bool = False) -> None:
        """Wait until every event is kept and every row is at rest. `hurry`: time passes, so that rows come due at once.

        A row that waits behind one that a person must resolve is at rest, once that one has been told of the save.
        """
        try:
            async with asyncio.timeout(within):
                while not await asyncio.to_thread(self._at_rest, hurry):
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"not at rest after {within} s\n{self.told()}") from None

    def complaints(self, *, drained: bool = True) -> list[str]:
        """What the checker says."""
        return complaints(self.evidence(), drained=drained)

    def evidence(self) -> Evidence:
        """All that the checker judges by."""
        return Evidence(
            org_ledger=self.org.ledger.entries,
            portal_ledger=self.portal.control.ledger(),
            records=self.org.control.records(),
            charts=self.portal.control.patients(),
            tables=tables_of(self.url),
            robot="robot",
            integration=self.org.people["integration"].id,
        )

    @contextmanager
    def sql(self) -> Iterator[Connection]:
        """A connection of the test's own, in a transaction."""
        engine = create_engine(sync_url(self.url), poolclass=NullPool)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def _at_rest(self, hurry: bool) -> bool:
        try:
            with self.sql() as connection:
                position = connection.execute(text("SELECT replay_id FROM stream")).scalar()
                still_open = connection.execute(text(_OPEN)).scalar_one()
        except DBAPIError:
            return False
        if still_open and hurry:
            self._hurry()
        heard = self._last_replay_id()
        return not still_open and heard in (None, position)

    def _last_replay_id(self) -> str | None:
        """Of the last event that the channel lets through."""
        ready = {record["Id"] for record in self.org.control.records() if record["Ready_for_Fusion__c"]}
        for entry in reversed(self.org.ledger.entries):
            if entry["kind"] == "event" and ready & set(entry["records"]):
                return str(entry["replay_id"])
        return None

    def _hurry(self) -> None:
        # What the backoff would do in half a minute.
        past = "strftime('%Y-%m-%d %H:%M:%f000', 'now')" if self.url.startswith("sqlite") else "statement_timestamp()"
        try:
            with self.sql() as connection:
                due = f"UPDATE outbox SET due_at = {past} WHERE state IN ('PENDING', 'PUSHED') AND leased_until IS NULL"
                connection.execute(text(f"{due} AND due_at > {past}"))
                connection.execute(text(f"UPDATE gate SET until = {past} WHERE state = 'shut' AND until > {past}"))
        except DBAPIError:
            return


_OPEN = """
    SELECT count(*) FROM outbox
    WHERE state = 'PUSHED' OR state = 'PENDING' AND (leased_until IS NOT NULL OR NOT EXISTS (
        SELECT 1 FROM outbox AS parked WHERE parked.record_id = outbox.record_id AND parked.state = 'PARKED'
        AND parked.parked_reason IN ('ambiguous', 'identity', 'in_doubt', 'held')))
    OR state = 'PARKED' AND parked_reason IN ('ambiguous', 'identity', 'in_doubt') AND EXISTS (
        SELECT 1 FROM change WHERE change.record_id = outbox.record_id AND change.received_at > outbox.claimed_at)
"""


@asynccontextmanager
async def stage(url: str, folder: Path, *, carries_client: bool = False, **knobs: Any) -> AsyncIterator[Stage]:
    """Both stand-ins on free ports, over the migrated database at `url`. Processes that are left are killed.

    `carries_client`: whether the org tells of a write through collections which client it was.
    """
    org = StandInOrg(
        private_key=private_key(),
        poll_seconds=2.0,
        session_seconds=8.0,
        ledger=folder / "org.jsonl",
        collections_carry_client=carries_client,
    )
    portal = StandInPortal(users=USERS, ledger_path=folder / "portal.jsonl", idle_lock=timedelta(hours=1))
    await org.start()
    await portal.start()
    made = Stage(org=org, portal=portal, url=url, folder=folder, knobs=knobs)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.exitcode is None and process.pid is not None:
                process.kill()
                process.join(5)
            process.close()
        await portal.close()
        await org.stop()


def freeze(process: BaseProcess) -> None:
    """SIGSTOP: it is alive, holds what it holds, and does nothing."""
    _send(process, signal.SIGSTOP)


def thaw(process: BaseProcess) -> None:
    """SIGCONT."""
    _send(process, signal.SIGCONT)


def _send(process: BaseProcess, number: signal.Signals) -> None:
    if process.pid is not None and process.exitcode is None:
        os.kill(process.pid, number)
