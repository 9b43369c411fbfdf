"""The database dies, cuts, hangs, is full or is busy: nothing is lost or doubled, and the program goes on by itself."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from fusion.cli.migrate import migrate
from fusion.standin.intakes import intakes
from tests import postgres as servers
from tests.postgres import Postgres
from tests.story.proxy import proxy
from tests.story.stage import Stage, stage

pytestmark = [pytest.mark.story, pytest.mark.timeout(150)]

on_postgres = pytest.mark.parametrize(
    "migrated_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
on_sqlite = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
LEASE = timedelta(seconds=2)


class FrontDesk:
    """Makes a record every now and then and edits the one before, as long as it is told to."""

    def __init__(self, on: Stage, *, every: float = 0.25) -> None:
        self._on = on
        self._every = every
        self._task = asyncio.create_task(self._work())

    async def close_for_today(self) -> None:
        """The last save has been made."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        last = None
        for number, child in enumerate(intakes(11)):
            if last is not None:
                self._on.org.control.update(last, {"Guardian_Street__c": f"{number} New Street"})
            last = self._on.org.control.create(child.record)
            await asyncio.sleep(self._every)


async def all_is_well(on: Stage) -> None:
    """The same processes as before come to the end of the work, and the checker has nothing to say."""
    await on.rest(within=90, hurry=True)
    assert on.complaints() == []
    assert [process.exitcode for process in on.processes] == [None] * len(on.processes), on.told()
    assert [await on.end(process) for process in on.processes] == [0] * len(on.processes)


class Cluster:
    """A Postgres of this test alone, that can be killed and started again over the same files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = servers._nobody_if_root(folder)
        self._programs = servers._programs(folder)
        self._server: subprocess.Popen[bytes] | None = None
        self._url = URL.create("postgresql", username="postgres", database="postgres", query={"host": str(folder)})
        initdb: list[str | Path] = [self._programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust"]
        servers._run([*initdb, "-E", "UTF8", "--no-sync", "--no-locale", "--no-instructions"], self._user)

    def start(self) -> Postgres:
        """Up; after a kill as soon as what is left of the old one is gone."""
        settings = [part for name, value in servers._SETTINGS.items() for part in ("-c", f"{name}={value}")]
        until = time.monotonic() + 30
        while time.monotonic() < until:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder, *settings],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                user=self._user,
                extra_groups=None if self._user is None else [],
                cwd=self._folder,
            )
            # It refuses to start as long as a process of the one before it is left.
            while self._server.poll() is None and time.monotonic() < until:
                with suppress(psycopg.OperationalError):
                    psycopg.connect(self._url.render_as_string(hide_password=False), connect_timeout=5).close()
                    return Postgres(self._url)
                time.sleep(0.02)
            time.sleep(0.05)
        raise AssertionError("Postgres did not start again")

    def kill(self) -> None:
        """`kill -9` of the postmaster, which gives nobody time for anything."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    def stop(self) -> None:
        """Fast, ending all sessions."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(30)


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """In a folder with a short name, since the path of a socket may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        cluster = Cluster(folder)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.postgres
async def test_a_postmaster_that_is_killed_and_started_again(tmp_path: Path) -> None:
    with own_cluster() as cluster:
        server = await asyncio.to_thread(cluster.start)
        url = server.url(server.make())
        await asyncio.to_thread(migrate, url)
        async with stage(url, tmp_path, lease=LEASE) as on:
            desk = FrontDesk(on)
            on.start(works=False)
            on.start(listens=False, user=2)
            on.start(listens=False, user=3)
            for _ in range(2):
                await asyncio.sleep(1.2)
                cluster.kill()
                await asyncio.sleep(0.3)
                await asyncio.to_thread(cluster.start)
            await asyncio.sleep(0.5)
            await desk.close_for_today()
            await all_is_well(on)


@on_postgres
async def test_connections_that_the_server_ends_again_and_again(migrated_url: str, tmp_path: Path) -> None:
    others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                  " AND pid <> pg_backend_pid()")  # fmt: skip
    async with stage(migrated_url, tmp_path, lease=LEASE) as on:
        desk = FrontDesk(on)
        on.start(works=False)
        on.start(listens=False, user=2)
        ended = 0
        for _ in range(15):
            await asyncio.sleep(0.2)
            with on.sql() as connection:
                ended += len(connection.execute(others).all())
        await desk.close_for_today()
        await all_is_well(on)
        assert ended > 10


@on_postgres
async def test_a_connection_that_breaks_between_the_commit_and_its_answer(migrated_url: str, tmp_path: Path) -> None:
    async with proxy(migrated_url) as (between, through), stage(migrated_url, tmp_path, lease=LEASE) as on:
        on.knobs["database_url"] = through
        desk = FrontDesk(on)
        on.start(works=False)
        on.start(listens=False, user=2)
        for _ in range(12):
            await asyncio.sleep(0.25)
            between.commits_to_lose = between.single_to_lose = 1
        between.commits_to_lose = between.single_to_lose = 0
        await desk.close_for_today()
        await all_is_well(on)
        assert between.lost_commits > 2
        assert between.lost_single > 2


@on_postgres
async def test_connections_into_which_everything_vanishes(migrated_url: str, tmp_path: Path) -> None:
    async with (
        proxy(migrated_url) as (between, through),
        stage(migrated_url, tmp_path, lease=LEASE, patience=2.0) as on,
    ):
        on.knobs["database_url"] = through
        desk = FrontDesk(on)
        on.start(works=False)
        on.start(listens=False, user=2)
        await asyncio.sleep(1.5)
        assert between.swallow() >= 2
        await asyncio.sleep(0.5)
        await desk.close_for_today()
        await all_is_well(on)


@on_sqlite
async def test_a_disk_that_is_full_for_a_while(migrated_url: str, tmp_path: Path) -> None:
    full = tmp_path / "full"
    async with stage(migrated_url, tmp_path, lease=LEASE, full_while=full) as on:
        desk = FrontDesk(on)
        on.start()
        await asyncio.sleep(1.0)
        full.touch()
        await asyncio.sleep(2.0)
        assert "the database is not answering" in on.told()
        full.unlink()
        await asyncio.sleep(0.5)
        await desk.close_for_today()
        await all_is_well(on)


@on_sqlite
async def test_a_second_writer_that_storms(migrated_url: str, tmp_path: Path) -> None:
    async with stage(migrated_url, tmp_path, lease=LEASE) as on:
        stop = threading.Event()
        storm = threading.Thread(target=_storm, args=(tmp_path / "outbox.db", stop))
        storm.start()
        try:
            desk = FrontDesk(on)
            on.start(works=False)
            on.start(listens=False, user=2)
            await asyncio.sleep(4)
        finally:
            stop.set()
            await asyncio.to_thread(storm.join, 10)
        await desk.close_for_today()
        await all_is_well(on)


def _storm(file: Path, stop: threading.Event) -> None:
    """Long write transactions, one right after the other."""
    connection = sqlite3.connect(file, timeout=30, isolation_level=None)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS storm (drop_ text)")
        while not stop.is_set():
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO storm VALUES ('x')")
            time.sleep(0.25)
            connection.execute("COMMIT")
            time.sleep(0.01)
    finally:
        connection.close()
