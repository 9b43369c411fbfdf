"""Several processes on one Postgres: one a portal log-in, one a channel, and all that have a log-in share the work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from fusion import leftovers
from fusion.standin.intakes import intakes
from tests.org_rig import private_key
from tests.postgres import Postgres
from tests.story.stage import USERS, Stage, stage

pytestmark = [
    pytest.mark.story,
    pytest.mark.postgres,
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("processes"),
]

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("FUSION_SYNC_", "SALESFORCE_", "PORTAL_", "DATABASE_"))
}
TAKES_OVER = 30.0
"""Seconds from the death of one that held a channel until the next listens."""


@pytest.fixture
async def on(postgres: Postgres, migrated_postgres: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Both stand-ins, and a Postgres database with empty tables."""
    name = postgres.make(migrated_postgres)
    async with stage(postgres.url(name), tmp_path) as made:
        yield made
    postgres.drop(name)


class Program:
    """`fusion-sync …` in a process of its own; what it logs is in a file."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    async def says(self, event: str, *, within: float = 40.0) -> dict[str, Any]:
        """The first line about that event; fails if it ends before it."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for line in self.lines:
                if line["event"] == event:
                    return line
            assert self.process.returncode is None, self.log.read_text()
            await asyncio.sleep(0.05)
        raise AssertionError(f"it does not say {event!r}: {self.log.read_text()}")

    async def ends(self, *, within: float = 40.0) -> int:
        """Its exit code."""
        return await asyncio.wait_for(self.process.wait(), within)

    async def killed(self) -> None:
        """`kill -9`."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def program(on: Stage, command: str, *, user: str = "") -> AsyncIterator[Program]:
    """The command, started against the stage; SIGTERM at the end, and SIGKILL if that does not help."""
    username = user or next(iter(USERS))
    key = on.folder / "key.pem"
    key.write_text(private_key())
    given = {
        **CLEAN,
        "DATABASE_URL": on.url,
        "SALESFORCE_LOGIN_URL": on.org.url,
        "SALESFORCE_CLIENT_ID": on.org.integration.client_id,
        "SALESFORCE_USERNAME": on.org.integration.username,
        "SALESFORCE_PRIVATE_KEY_FILE": str(key),
        "SALESFORCE_CHANNEL": on.org.channel,
        "PORTAL_URL": on.portal.url,
        "PORTAL_USERNAME": username,
        "PORTAL_PASSWORD": USERS[username.casefold()],
        "PORTAL_EVIDENCE_DIR": str(on.folder / "evidence"),
        "FUSION_SYNC_SETTLE_SECONDS": "0",
        "FUSION_SYNC_POLL_SECONDS": "0.2",
        "FUSION_SYNC_LOG_FORMAT": "json",
    }
    log = on.folder / f"{command}-{time.monotonic_ns()}.log"
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fusion.cli", command), env=given, stdout=out, stderr=out
        )
    try:
        yield Program(process, log)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


def rows(on: Stage, query: str) -> list[Any]:
    """What a query gives."""
    with on.sql() as connection:
        return list(connection.execute(text(query)))


async def until(told: Callable[[], bool], *, within: float = 40.0) -> float:
    """How many seconds it took until that was so."""
    began = time.monotonic()
    while not told():
        assert time.monotonic() - began < within
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def browser_of(on: Stage) -> list[psutil.Process]:
    """Driver and browser of the worker that holds the log-in, with their children."""
    ((owner,),) = rows(on, "SELECT worker FROM holder WHERE name LIKE 'portal login%'")
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(leftovers._MARK) == owner:
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    return list(found.values())


@pytest.mark.browser
async def test_of_two_workers_on_one_portal_login_the_second_does_not_start_while_the_first_lives(on: Stage) -> None:
    _one_that_was_finished_long_ago(on)
    first_name = next(iter(USERS))
    async with program(on, "work", user=first_name) as first:
        await first.says("started")
        await until(lambda: not rows(on, "SELECT 1 FROM outbox"))  # it purges once a day, from its start on
        async with program(on, "work", user=first_name.upper()) as second:  # the portal takes it for the same user
            assert await second.ends() == 78
            told = second.log.read_text()
        assert "is held by another process" in told
        assert "Traceback" not in told
        browser = browser_of(on)
        assert len(browser) > 2
        assert first.process.returncode is None

        # It dies, its browser hangs. The next one on this host need not wait, and ends what is left.
        for one in browser:
            one.suspend()
        await first.killed()
    async with program(on, "work", user=first_name) as heir:
        assert (await heir.says("ended what a dead process left behind"))["processes"] >= len(browser)
        await heir.says("started")
        assert not [one for one in browser if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        heir.process.send_signal(signal.SIGTERM)
        assert await heir.ends(within=15) == 0
    assert rows(on, "SELECT name FROM holder") == []


def _one_that_was_finished_long_ago(on: Stage) -> None:
    with on.sql() as connection:
        connection.execute(
            text(
                "INSERT INTO outbox"
                " (object_name, record_id, state, priority, due_at, changed_at, created_at, finished_at)"
                " SELECT 'Patient__c', 'a0P000000000099EAA', 'DONE', 10, t, t, t, t"
                " FROM (SELECT now() - interval '91 days' AS t) AS long_ago"
            )
        )


async def test_a_second_listener_waits_and_takes_over_when_the_first_is_killed(on: Stage) -> None:
    child = intakes(5)

    def heard(number: int) -> bool:
        return len(rows(on, "SELECT 1 FROM change WHERE source = 'stream'")) == number

    async with program(on, "listen") as first, program(on, "listen") as second:
        await first.says("started")
        await second.says("started")
        on.org.control.create(next(child).record)
        await until(lambda: heard(1))
        ((holder,),) = rows(on, "SELECT worker FROM holder WHERE name LIKE 'channel%'")
        leads, waits = first, second
        if holder.rsplit("/", 2)[1] == str(second.process.pid):
            leads, waits = second, first
        await waits.says("waiting for another process")

        await leads.killed()
        on.org.control.create(next(child).record)
        assert await until(lambda: heard(2)) < TAKES_OVER
        assert waits.process.returncode is None
        # What was heard before is not heard again, and each is one entry, whoever else saw it.
        on.org.control.create(next(child).record)
        await until(lambda: heard(3))
        assert rows(on, "SELECT count(*), count(DISTINCT record_id) FROM outbox") == [(3, 3)]


async def test_a_listener_that_is_frozen_loses_its_channel_and_stops_when_it_comes_back(on: Stage) -> None:
    async with program(on, "listen") as first:
        await first.says("started")
        await until(lambda: bool(rows(on, "SELECT 1 FROM holder")))
        first.process.send_signal(signal.SIGSTOP)
        # As if it had been so for longer than its lease, or ran on another host.
        with on.sql() as connection:
            connection.execute(text("UPDATE holder SET leased_until = now() - interval '1 second'"))
        async with program(on, "listen") as second:
            await second.says("started")
            await until(lambda: str(second.process.pid) in str(rows(on, "SELECT worker FROM holder")))
            first.process.send_signal(signal.SIGCONT)
            await first.ends()
            assert "was taken over by another process" in first.log.read_text()
            on.org.control.create(next(intakes(6)).record)
            await until(lambda: len(rows(on, "SELECT 1 FROM change")) == 1)


async def test_three_workers_with_a_log_in_each_share_the_work_and_do_nothing_twice(on: Stage) -> None:
    child = intakes(11)
    for _ in range(12):
        on.org.control.create(next(child).record)
    workers = [on.start(user=number, listens=number == 1) for number in (1, 2, 3)]
    await on.rest()
    assert on.complaints() == []
    creates = [line for line in on.portal.control.ledger() if line["kind"] == "create"]
    assert len(creates) == 12
    assert {row.state for row in rows(on, "SELECT state FROM outbox")} == {"DONE"}
    assert len(rows(on, "SELECT DISTINCT worker FROM attempt")) == 3
    assert len({line["user"] for line in creates}) == 3
    for worker in workers:
        assert await on.end(worker) == 0
