"""The process as whoever runs it meets it: two starts, SIGTERM, wrong settings, the sandbox's line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import update

from fusion.cli.migrate import migrate
from fusion.standin.intakes import intakes
from fusion.standin.sandbox import Sandbox, sandbox
from listener import board
from listener.database import Database
from listener.schema import holder

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("processes"), pytest.mark.timeout(120)]

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("FUSION_SYNC_", "SALESFORCE_", "PORTAL_", "DATABASE_"))
}


def environment(box: Sandbox, url: str, folder: Path, **more: str) -> dict[str, str]:
    """What a process needs to work against the sandbox, quickly."""
    return {
        **CLEAN,
        **box.environment(),
        "DATABASE_URL": url,
        "PORTAL_EVIDENCE_DIR": str(folder / "evidence"),
        "FUSION_SYNC_OPS_PORT": "0",
        "FUSION_SYNC_SETTLE_SECONDS": "0.2",
        "FUSION_SYNC_POLL_SECONDS": "0.2",
        **more,
    }


@asynccontextmanager
async def started(
    env: dict[str, str], *command: str, cwd: Path | None = None, log: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command line in a process, stopped at the end whatever happens.

    *log*: the file that its log is added to. A pipe that nobody reads holds up who has much to say.
    """
    with contextlib.ExitStack() as stack:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fusion.cli", *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE if log is None else stack.enter_context(log.open("ab")),
            env=env,
            cwd=cwd,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(db: Database, state: str, seconds: float = 60) -> None:
    """Wait until some row is in that state."""
    async with asyncio.timeout(seconds):
        while True:
            async with db.reading() as tx:
                if any(row["state"] == state for row in await board.entries(tx)):
                    return
            await asyncio.sleep(0.05)


@pytest.mark.browser
async def test_a_second_start_on_one_sqlite_file_says_so_and_stops(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    db = Database(url)
    async with sandbox(tmp_path, poll_seconds=2.0) as box:
        env = environment(box, url, tmp_path)
        box.org.control.create(next(intakes(1)).record)
        async with started(env, "run") as first:
            await until(db, "DONE")
            async with started(env, "run") as second:
                _, err = await asyncio.wait_for(second.communicate(), 30)
                assert second.returncode == 78, err.decode()
                assert "is held by another process" in err.decode()
                assert "Traceback" not in err.decode()
            assert first.returncode is None
            first.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(first.wait(), 15) == 0
    await db.close()


@pytest.mark.browser
async def test_sigterm_in_the_middle_of_a_visit_ends_with_0_and_no_lease(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    db = Database(url)
    children = intakes(3)
    async with sandbox(tmp_path, poll_seconds=2.0) as box:
        for _ in range(4):
            box.org.control.create(next(children).record)
        async with started(environment(box, url, tmp_path), "run") as process:
            async with asyncio.timeout(60):
                while not any(line["kind"] == "create" for line in box.portal.control.ledger()):
                    await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 15) == 0
    async with db.reading() as tx:
        rows = await board.entries(tx)
    await db.close()
    assert [row["leased_until"] for row in rows] == [None] * 4
    assert {row["state"] for row in rows} <= {"DONE", "PENDING"}
    # The visit in hand was finished, no other was begun.
    assert sum(row["state"] == "DONE" for row in rows) == 1


async def test_a_process_whose_channel_was_taken_over_stops_and_does_not_call_it_a_clean_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    db = Database(url)
    async with (
        sandbox(tmp_path, poll_seconds=2.0) as box,
        started(environment(box, url, tmp_path), "listen") as process,
    ):
        async with asyncio.timeout(30):
            while True:
                async with db.writing() as tx:
                    taken = update(holder).values(worker="another/host/1/1")
                    if (await tx.execute(taken)).rowcount:
                        break
                await asyncio.sleep(0.1)
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 78
        assert "was taken over by another process" in err.decode()
    await db.close()


async def test_without_settings_it_says_which_are_missing_and_what_to_do(tmp_path: Path) -> None:
    async with started(CLEAN, "run", cwd=tmp_path) as process:
        _, err = await process.communicate()
        assert process.returncode == 78
        assert "SALESFORCE_LOGIN_URL" in err.decode()
        assert "Traceback" not in err.decode()
        assert len(err.decode().strip().splitlines()) <= 2


async def test_a_database_without_tables_is_told_in_one_sentence(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as box:
        env = environment(box, f"sqlite:///{tmp_path / 'new.db'}", tmp_path)
        async with started(env, "run") as process:
            _, err = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 78
            assert "fusion-sync migrate" in err.decode()


async def test_the_health_page_tells_alive_from_ready(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    port = 20000 + os.getpid() % 20000
    env = {**CLEAN, "DATABASE_URL": url, "FUSION_SYNC_OPS_PORT": str(port)}
    async with started(env, "serve", cwd=tmp_path) as process, aiohttp.ClientSession() as http:
        async with asyncio.timeout(20):
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/healthz") as answer:
                        assert await answer.json() == {"status": "alive"}
                        break
                except aiohttp.ClientConnectorError:
                    assert process.returncode is None
                    await asyncio.sleep(0.1)
        async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
            told = await answer.json()
            assert (answer.status, told["ready"], told["entries"]["PENDING"]) == (200, True, 0)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_the_sandbox_prints_one_line_that_is_enough_to_work_with(tmp_path: Path) -> None:
    async with started(CLEAN, "sandbox", "--json", "--ledger", str(tmp_path / "ledgers")) as process:
        assert process.stdout is not None
        told = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        async with aiohttp.ClientSession() as http:
            form = {
                "grant_type": "client_credentials",
                "client_id": told["intake"]["client_id"],
                "client_secret": told["intake"]["client_secret"],
            }
            async with http.post(f"{told['salesforce']['login_url']}/services/oauth2/token", data=form) as answer:
                token = (await answer.json())["access_token"]
            async with http.post(
                f"{told['salesforce']['instance_url']}/services/data/v66.0/sobjects/Patient__c",
                json=dict(next(intakes(1)).record),
                headers={"Authorization": f"Bearer {token}"},
            ) as answer:
                assert answer.status == 201, await answer.text()
            async with http.get(f"{told['control']['portal']}/stats") as answer:
                assert answer.status == 200
        assert set(told["environment"]) >= {"SALESFORCE_LOGIN_URL", "PORTAL_URL", "PORTAL_PASSWORD"}
        assert Path(told["ledgers"]["org"]).read_text().count("\n") >= 2
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
