"""The browser is kept warm: over visits, over trouble, and over the end of its process."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from playwright.async_api import Error as PlaywrightError
from portal_people import AVA, PASSWORD, USERNAME, Clinic, a_patient, web_portal
from pydantic import SecretStr

from fusion.account import KeptAccount
from fusion.doorbell import give_code
from fusion.standin.server import StandInPortal
from fusion.warm import Wear
from listener.database import Database
from listener.errors import EntryError
from listener.sealed import Sealed

pytestmark = [pytest.mark.browser]
KEY = Fernet.generate_key().decode()


@pytest.fixture
async def standin() -> AsyncIterator[StandInPortal]:
    async with StandInPortal() as standing:
        yield standing


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "outbox.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{path}"


@asynccontextmanager
async def process(standin: StandInPortal, url: str, tmp_path: Path, chart: str) -> AsyncIterator[asyncio.StreamReader]:
    """A process that reads the chart, and is killed at the end. What it says."""
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        "tests/portal_process.py",
        *(standin.url, url, KEY, PASSWORD, str(tmp_path), chart),
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert made.stdout is not None
    try:
        yield made.stdout
    finally:
        if made.returncode is None:
            made.send_signal(signal.SIGKILL)
        await made.wait()


async def said(words: asyncio.StreamReader) -> str:
    async with asyncio.timeout(60):
        return (await words.readline()).decode().strip()


async def test_three_starts_that_are_killed_take_one_log_in_and_one_code(
    standin: StandInPortal, sqlite: str, tmp_path: Path
) -> None:
    """The device is known by its local storage, the session by a cookie, the window by its session storage."""
    chart = Clinic(standin).put(AVA)
    standin.control.door(codes="email", window_bound=True)
    db = Database(sqlite)
    memory = KeptAccount(db, "the robot", SecretStr(PASSWORD), [KEY])
    async with web_portal(standin, tmp_path, memory=memory) as portal:
        with pytest.raises(Exception, match="waits for a log-in code"):
            await portal.read(chart)
        code = standin.control.code(USERNAME)
        assert code
        async with db.writing() as tx:
            await give_code(tx, "the robot", code, life=timedelta(minutes=10), sealed=Sealed([KEY]), actor="dana")
        assert await portal.read(chart) is not None
    await db.close()
    for _ in range(3):
        async with process(standin, sqlite, tmp_path, chart) as words:
            assert await said(words) == "read"
    counts = standin.ledger.counts()
    assert (counts["login"], counts["code_sent"], counts["password_accepted"]) == (1, 1, 1)


async def test_a_process_killed_with_the_password_on_its_way_is_the_one_attempt(
    standin: StandInPortal, sqlite: str, tmp_path: Path
) -> None:
    chart = Clinic(standin).put(AVA)
    standin.control.fault(kind="login", delay=60)
    async with process(standin, sqlite, tmp_path, chart):
        async with asyncio.timeout(60):
            while not standin.ledger.lines(kind="fault"):
                await asyncio.sleep(0.05)
    for _ in range(2):
        async with process(standin, sqlite, tmp_path, chart) as words:
            assert "cut off before the portal had answered" in await said(words)
    assert standin.wire.requests["login"] == 1


async def test_a_context_is_renewed_after_its_visits_and_the_portal_does_not_notice(
    standin: StandInPortal, tmp_path: Path
) -> None:
    patient = a_patient()
    chart = Clinic(standin).put(patient.values)
    standin.control.door(window_bound=True)
    async with web_portal(standin, tmp_path, wear=Wear(visits=2)) as portal:
        for _ in range(5):
            assert await portal.read(chart) is not None
        assert (portal.warm.launches, portal.warm.contexts) == (1, 3)
    assert standin.ledger.counts()["login"] == 1


async def test_trouble_goes_from_the_page_to_the_context_to_the_browser(standin: StandInPortal, tmp_path: Path) -> None:
    chart = Clinic(standin).put(AVA)
    async with web_portal(standin, tmp_path) as portal:
        assert await portal.read(chart) is not None
        seen = []
        for _ in range(4):
            tab = await portal.warm.tab()
            seen.append((portal.warm.launches, portal.warm.contexts))
            assert tab.page
            portal.warm.leave(trouble=True)
        assert seen == [(1, 1), (1, 1), (1, 2), (2, 3)]
        assert await portal.read(chart) is not None
    assert standin.ledger.counts()["login"] == 1


async def test_a_browser_that_is_too_heavy_is_started_anew(standin: StandInPortal, tmp_path: Path) -> None:
    chart = Clinic(standin).put(AVA)
    async with web_portal(standin, tmp_path, wear=Wear(megabytes=1)) as portal:
        for _ in range(22):
            assert await portal.read(chart) is not None
        assert portal.warm.launches == 2
    assert standin.ledger.counts()["login"] == 1


async def test_a_page_that_crashed_costs_its_visit_and_nothing_else(standin: StandInPortal, tmp_path: Path) -> None:
    chart = Clinic(standin).put(AVA)
    async with web_portal(standin, tmp_path) as portal:
        assert await portal.read(chart) is not None
        page = (await portal.warm.tab()).page
        devtools = await page.context.new_cdp_session(page)
        async with asyncio.timeout(10), page.expect_event("crash"):
            crashing = asyncio.ensure_future(devtools.send("Page.crash"))  # nobody is left to answer it
        with pytest.raises(EntryError):
            await portal.read(chart)
        assert await portal.read(chart) is not None
        assert (portal.warm.launches, portal.warm.contexts) == (1, 1)
    with pytest.raises(PlaywrightError):
        await crashing
    assert standin.ledger.counts()["login"] == 1


async def test_a_context_in_which_nothing_works_is_renewed_and_the_portal_knows_it_again(
    standin: StandInPortal, tmp_path: Path
) -> None:
    chart = Clinic(standin).put(AVA)
    standin.control.door(window_bound=True)
    async with web_portal(standin, tmp_path) as portal:
        assert await portal.read(chart) is not None
        await (await portal.warm.tab()).page.context.close()
        seen = []
        for _ in range(3):
            try:
                seen.append(await portal.read(chart) is not None)
            except EntryError:
                seen.append(False)
        assert seen == [False, False, True]
        assert (portal.warm.launches, portal.warm.contexts) == (1, 2)
    assert standin.ledger.counts()["login"] == 1


async def test_what_no_visit_needs_is_not_loaded_on_any_page(standin: StandInPortal, tmp_path: Path) -> None:
    chart = Clinic(standin).put(AVA)
    asks = "address => fetch(address, { mode: 'no-cors' }).then(() => 'loaded', () => 'not loaded')"
    unneeded = ("/logo.png", "/font.woff2", "/favicon.ico")
    async with web_portal(standin, tmp_path, wear=Wear(visits=1)) as portal:
        for _ in range(2):  # the second in another context
            assert await portal.read(chart) is not None
            page = (await portal.warm.tab()).page
            await page.goto(standin.url)
            assert [await page.evaluate(asks, address) for address in unneeded] == ["not loaded"] * 3
            assert await page.evaluate(asks, "/missing.js") == "loaded"
