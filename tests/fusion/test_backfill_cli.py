"""`fusion-sync backfill` and `preview` as a person runs them: processes of their own, a real browser, kill -9."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest

from fusion.backfill import Place
from fusion.backfill_list import Draft, Line, Verdict
from listener import holders
from listener.change import long_id
from listener.database import Database
from tests.fusion.shell import Shell, arrived, shell
from tests.fusion.town import looks, writes

__all__ = ["shell"]  # a fixture
BECAUSE = ("--reason", "Reviewed with Kim.")
HOLD = timedelta(seconds=20)


def names(shell: Shell) -> list[str]:
    """Last names of all patients."""
    return [str(one["Last_Name__c"]) for one in shell.box.org.control.records()]


@pytest.mark.browser
@pytest.mark.timeout(120)  # three browsers, one after the other
async def test_a_preview_killed_in_the_middle_leaves_nothing_and_is_taken_up(shell: Shell) -> None:
    arrived(shell, 3)
    before = shell.tables()
    killed = shell.start("backfill", "--preview", "--out", "list.csv")
    part, began = shell.folder / "list.csv.part", time.monotonic()
    while not part.exists() or len(part.read_text().splitlines()) < 2:
        assert time.monotonic() - began < 40
        assert killed.poll() is None
        await asyncio.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    await asyncio.to_thread(killed.communicate)
    assert not (shell.folder / "list.csv").exists()
    assert (shell.tables(), writes(shell.box)) == (before, [])

    told = await shell.told("backfill", "--preview", "--out", "list.csv")
    assert (told["counts"]["create"], told["linked"], told["in_hand"]) == (3, 0, 0)
    assert told["kept"] >= 1
    assert (shell.tables(), writes(shell.box)) == (before, [])
    assert len(list(looks(shell.box, "login"))) == 2  # one for each process
    assert not part.exists()

    assert {line.split(",")[1][:3] for line in (shell.folder / "list.csv").read_text().splitlines()[1:]} == {"PT-"}
    assert "3 records went into the outbox" in await shell.run("backfill", "--approve", "list.csv", *BECAUSE)
    counted = await shell.run("preview", "--all", "--limit", "2")
    [line] = [line for line in counted.splitlines() if line.startswith("│ create")]
    assert line.split("│")[2].strip() == "2"
    assert "1 more entries wait: `--limit 3` takes them all." in counted
    assert [one for one in names(shell) if one in counted] == []
    assert [line.count("PENDING") for line in shell.tables() if line.startswith('INSERT INTO "outbox"')] == [1] * 3


@pytest.mark.browser
async def test_a_visit_is_shown_before_it_is_made(shell: Shell) -> None:
    [record] = arrived(shell, 1)
    before = shell.tables()
    told = await shell.told("preview", record)
    values = shell.box.org.control.records()[0]
    assert (told["would"], told["portal_id"], told["changes"]) == ("create", None, len(told["fields"]))
    shown = {one["label"]: one["new"] for one in told["fields"]}
    assert shown["First name"] == values["First_Name__c"]
    assert shown["SSN"] == f"•••-••-{str(values['SSN__c'])[-4:]}"
    assert (shell.tables(), writes(shell.box)) == (before, [])


async def test_it_never_runs_beside_a_worker_on_the_same_log_in(shell: Shell) -> None:
    db = Database(shell.database_url)
    username = shell.box.environment()["PORTAL_USERNAME"]
    async with holders.held(db, f"portal login {username} at {shell.box.portal.url}", lease=HOLD):
        said = await shell.run("backfill", "--preview", code=78)
    await db.close()
    assert "is held by another process" in said
    assert list(looks(shell.box, "login")) == []


async def test_an_approval_wants_a_reason_and_a_list(shell: Shell) -> None:
    assert "--reason" in await shell.run("backfill", "--approve", "list.csv", code=2)
    assert "cannot be read" in await shell.run("backfill", "--approve", "list.csv", *BECAUSE, code=1)


async def test_a_paused_portal_is_left_alone(shell: Shell) -> None:
    await shell.run("pause", "portal", *BECAUSE)
    assert "the way to portal is paused" in await shell.run("backfill", "--preview", code=69)
    assert list(looks(shell.box, "login")) == []


@pytest.mark.browser
async def test_who_is_logged_out_by_another_stops(shell: Shell) -> None:
    """Two processes that do not know of each other, on one portal user, would throw each other out for ever."""
    arrived(shell, 6)
    looking = shell.start("backfill", "--preview")
    while not list(looks(shell.box, "search")):
        assert looking.poll() is None
        await asyncio.sleep(0.05)
    shell.box.portal.control.end_sessions()
    _, errors = await asyncio.to_thread(looking.communicate)
    assert (looking.returncode, "the portal logged us out" in errors) == (69, True)
    assert len(list(looks(shell.box, "login"))) == 2


async def test_an_approval_killed_in_the_middle_is_whole_or_nothing(shell: Shell) -> None:
    ids, many = arrived(shell, 600), 600
    place = Place(
        org=shell.box.org.url,
        org_id=shell.box.org.org_id,
        portal=shell.box.portal.url.casefold(),
        object_name="Patient__c",
    )
    stamps = {one["Id"]: datetime.fromisoformat(one["SystemModstamp"]) for one in shell.box.org.control.records()}
    now = datetime.now(UTC)
    lines = [
        Line(
            record_id=long_id(one),
            verdict=Verdict.CREATE,
            decision="new",
            modified_at=stamps[one],
            looked_at=now,
            preview=place.new_preview(now),
        )
        for one in ids
    ]
    Draft(shell.folder / "list.csv", with_names=False).finish(lines)
    for delay in (0.0, 0.06):
        killed, seen = shell.start("backfill", "--approve", "list.csv", *BECAUSE), reads(shell)
        while reads(shell) < seen + many or not is_writing(shell):
            assert killed.poll() is None, killed.communicate()
            await asyncio.sleep(0.005)
        await asyncio.sleep(delay)
        killed.send_signal(signal.SIGKILL)
        await asyncio.to_thread(killed.communicate)
        assert kept(shell) in ((0, 0, 0), (many, many, 1))
    await shell.run("backfill", "--approve", "list.csv", *BECAUSE)
    assert kept(shell) == (many, many, 1)


def reads(shell: Shell) -> int:
    """How many records were read from the org."""
    return sum(one["rows"] for one in shell.box.org.ledger.of("read"))


def is_writing(shell: Shell) -> bool:
    """Whether somebody is in the middle of a transaction that writes."""
    with sqlite3.connect(shell.folder / "outbox.db", timeout=0, isolation_level=None) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def kept(shell: Shell) -> tuple[int, int, int]:
    """Entries, those of them that a person called new, and actions."""
    with sqlite3.connect(shell.folder / "outbox.db") as connection:
        told = "SELECT (SELECT count(*) FROM outbox), (SELECT count(code) FROM outbox), (SELECT count(*) FROM action)"
        found: tuple[int, int, int] = connection.execute(told).fetchone()
        return found
