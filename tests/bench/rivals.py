"""The queues that ours is measured against, each used as its own documentation shows, on the same server or disk.

procrastinate and pgqueuer by the calls that their workers make for a row: fetch one, finish one; and procrastinate's
whole worker with one job at a time. pgqueuer's worker fetches the next job before the last one is finished and finishes
in batches, which is another promise. huey deletes a row before it is worked: a crash loses it, and there is no finish.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.queues import BATCH

PAYLOAD: dict[str, Any] = {"record_id": "a0P000000000001AAA", "fields": ["First_Name__c", "Guardian_Phone__c"]}


class Procrastinate:
    """Its job manager's calls."""

    def __init__(self, url: str) -> None:
        from procrastinate import App, PsycopgConnector

        self.app = App(connector=PsycopgConnector(conninfo=plain(url), min_size=1, max_size=2))
        self.done: Callable[[], None] = lambda: None

        @self.app.task(name="visit")
        async def visit(**_payload: Any) -> None:
            self.done()

        self._visit = visit

    async def prepare(self) -> None:
        async with self.app.open_async():
            await self.app.schema_manager.apply_schema_async()

    async def open(self) -> None:
        await self.app.open_async()
        self.id = await self.app.job_manager.register_worker()

    async def append(self, rows: int) -> None:
        for _ in range(rows):
            await self._visit.defer_async(**PAYLOAD)

    async def append_batches(self, rows: int) -> None:
        for _ in range(rows // BATCH):
            await self._visit.batch_defer_async(*[PAYLOAD] * BATCH)

    async def drain(self, done: Callable[[], None]) -> None:
        from procrastinate.jobs import Status

        jobs = self.app.job_manager
        while (job := await jobs.fetch_job(queues=None, worker_id=self.id)) is not None:
            await jobs.finish_job(job, status=Status.SUCCEEDED, delete_job=False)
            done()

    async def close(self) -> None:
        await self.app.close_async()


class ProcrastinateWorker(Procrastinate):
    """Its worker, one job at a time."""

    async def drain(self, done: Callable[[], None]) -> None:
        self.done = done
        await self.app.run_worker_async(wait=False, concurrency=1, listen_notify=False, install_signal_handlers=False)


class Pgqueuer:
    """Its queries' calls, batches of one."""

    def __init__(self, url: str) -> None:
        self._url = plain(url)

    async def prepare(self) -> None:
        await self.open()
        await self.queries.install()
        await self.close()

    async def open(self) -> None:
        from pgqueuer.adapters.drivers.psycopg import PsycopgDriver
        from pgqueuer.adapters.persistence.queries import Queries

        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        self.queries = Queries(PsycopgDriver(self._connection))

    async def append(self, rows: int) -> None:
        for _ in range(rows):
            await self.queries.enqueue("visit", b"x" * 80)

    async def append_batches(self, rows: int) -> None:
        for _ in range(rows // BATCH):
            await self.queries.enqueue(["visit"] * BATCH, [b"x" * 80] * BATCH, [0] * BATCH)

    async def drain(self, done: Callable[[], None]) -> None:
        from pgqueuer.ports.repository import EntrypointExecutionParameter

        me: Any = uuid.uuid4()
        wanted: Any = {"visit": EntrypointExecutionParameter(concurrency_limit=0)}
        while jobs := await self.queries.dequeue(
            batch_size=1,
            entrypoints=wanted,
            queue_manager_id=me,
            global_concurrency_limit=None,
            heartbeat_timeout=timedelta(seconds=30),
        ):
            await self.queries.log_jobs([(job, "successful", None) for job in jobs])
            done()

    async def close(self) -> None:
        await self._connection.close()


class Huey:
    """Its dequeue and execute; commits are durable, as ours are."""

    def __init__(self, url: str) -> None:
        self._path = Path(url.removeprefix("sqlite:///"))

    async def prepare(self) -> None:
        await self.open()
        await self.close()

    async def open(self) -> None:
        from huey import SqliteHuey  # type: ignore[import-untyped]

        self.huey = SqliteHuey(filename=str(self._path), fsync=True, timeout=30)

        def visit(**_payload: Any) -> None:
            return None

        self._visit = self.huey.task()(visit)

    async def append(self, rows: int) -> None:
        for _ in range(rows):
            self._visit(**PAYLOAD)

    async def append_batches(self, rows: int) -> None:
        await self.append(rows)

    async def drain(self, done: Callable[[], None]) -> None:
        while (task := self.huey.dequeue()) is not None:
            self.huey.execute(task)
            done()

    async def close(self) -> None:
        self.huey.storage.close()


def plain(url: str) -> str:
    """The URL as psycopg itself reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
