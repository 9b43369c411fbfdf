"""What a person does at the command line: what is said, what it exits with, and what is true afterwards."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from sqlalchemy import func, update
from typer.testing import CliRunner

from listener import gates, links, schema
from listener.database import Database
from listener.entry import CONFIRMED_NEW, OutboxEntry, ParkedReason, State
from listener.gates import Lane
from listener.links import Link
from tests.fusion.desk import INTAKE, put_chart
from tests.fusion.round import Round
from tests.outbox_rows import arrive, claimed, intend, record, refused, row, rows, settle, states

ROOT = Path(__file__).parents[2]
BECAUSE = ("--reason", "She called.")
Run = Callable[..., Result]


@pytest.fixture
def run(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fusion-sync NAME …` on the database of this test, as dana."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("LOGNAME", "dana")
    monkeypatch.chdir(tmp_path)

    def started(name: str, *args: object) -> Result:
        alone = typer.Typer()
        alone.command(name=name)(import_module(f"fusion.cli.{name}").command)
        return CliRunner().invoke(alone, [str(one) for one in args])

    return started


async def said(run: Run, *args: object, code: int = 0) -> str:
    """What the command prints. In a thread, since it runs a loop of its own."""
    result = await asyncio.to_thread(run, *args)
    assert result.exit_code == code, result.output
    return result.output


async def told(run: Run, *args: object, code: int = 0) -> Any:
    """What the command prints for machines."""
    return json.loads(await said(run, *args, "--json", code=code))


async def parked(db: Database, reason: ParkedReason = ParkedReason.AMBIGUOUS) -> OutboxEntry:
    """An entry of record 1 that waits for a person."""
    await arrive(db, 1)
    return await settle(db, await claimed(db), refused(reason))


async def actions(db: Database) -> list[tuple[str, str, str, str]]:
    """Who did what to which, and why."""
    return [(one["actor"], one["verb"], one["target"], one["reason"]) for one in await rows(db, schema.action)]


async def test_retry_says_what_became_of_it(run: Run, db: Database) -> None:
    entry = await parked(db, ParkedReason.BAD_DATA)
    assert await said(run, "retry", entry.id, *BECAUSE) == f"Entry {entry.id} is due now.\n"
    assert await states(db) == [State.PENDING]
    assert await actions(db) == [("dana", "retry", str(entry.id), "She called.")]
    again = await told(run, "retry", entry.id, *BECAUSE)
    assert again == {"ok": True, "said": f"Entry {entry.id} is due now."}


async def test_hold_and_release(run: Run, db: Database) -> None:
    await arrive(db, 1)
    number = (await rows(db))[0]["id"]
    assert (await told(run, "hold", number, *BECAUSE))["ok"] is True
    assert await states(db) == [State.PARKED]
    assert (await told(run, "release", number, *BECAUSE))["ok"] is True
    assert await states(db) == [State.PENDING]
    assert [(actor, verb) for actor, verb, *_ in await actions(db)] == [("dana", "hold"), ("dana", "release")]


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        (("--chart", "40001"), State.PENDING, "chart 40001: She called."),
        (("--new",), State.PENDING, "new: She called."),
        (("--done",), State.DONE, "done: She called."),
    ],
)
async def test_resolve(run: Run, db: Database, answer: tuple[str, ...], state: State, why: str) -> None:
    entry = await parked(db)
    assert (await told(run, "resolve", entry.id, *answer, *BECAUSE))["ok"] is True
    after = await row(db, entry.id)
    assert (after["state"], after["resolved_by"]) == (state, "dana")
    assert after["code"] == (CONFIRMED_NEW if "--new" in answer else after["code"])
    assert await actions(db) == [("dana", "resolve", str(entry.id), why)]


@pytest.mark.parametrize("answers", [(), ("--new", "--done"), ("--chart", "1", "--new")])
async def test_resolve_takes_exactly_one_answer(run: Run, db: Database, answers: tuple[str, ...]) -> None:
    entry = await parked(db)
    assert "say one of" in " ".join((await said(run, "resolve", entry.id, *answers, *BECAUSE, code=2)).split())
    assert await states(db) == [State.PARKED]


async def test_resolve_by_the_chart_of_another_record_is_refused(run: Run, db: Database) -> None:
    entry = await parked(db)
    async with db.writing() as tx:
        await links.make(tx, Link(record_id=record(2), portal_id="40001", how="matched", identity=None))
    answer = await told(run, "resolve", entry.id, "--chart", "40001", *BECAUSE, code=1)
    assert answer["ok"] is False
    assert answer["said"] == f"chart 40001 is record {record(2)}'s already"
    assert answer["hint"]
    assert (await states(db), await actions(db)) == ([State.PARKED], [])


@pytest.mark.parametrize("name", ["retry", "hold", "release", "resolve"])
async def test_what_may_not_be_done_ends_with_1_and_says_why(run: Run, db: Database, name: str) -> None:
    answer = ("--done",) if name == "resolve" else ()
    missing = await told(run, name, 4711, *answer, *BECAUSE, code=1)
    assert missing == {"ok": False, "said": "there is no entry 4711", "hint": "`fusion-sync outbox` lists them"}
    await arrive(db, 1)
    entry = await claimed(db)
    spoken = await said(run, name, entry.id, *answer, *BECAUSE, code=1)
    assert spoken.splitlines()[0] == f"entry {entry.id} is being worked on."
    assert spoken.splitlines()[1].startswith("  → ")
    assert await actions(db) == []


@pytest.mark.parametrize("name", ["retry", "hold", "release", "resolve"])
async def test_nothing_is_done_without_a_reason(run: Run, db: Database, name: str) -> None:
    entry = await parked(db)
    answer = ("--done",) if name == "resolve" else ()
    assert "--reason" in await said(run, name, entry.id, *answer, code=2)
    assert (await states(db), await actions(db)) == ([State.PARKED], [])


@pytest.mark.parametrize("lane", list(Lane))
async def test_pause_and_resume(run: Run, db: Database, lane: Lane) -> None:
    async def is_open() -> bool:
        async with db.reading() as tx:
            found = await gates.read(tx)
        assert all(gate.is_open for other, gate in found.items() if other is not lane)
        return found[lane].is_open

    assert (await told(run, "pause", lane, *BECAUSE))["ok"] is True
    assert not await is_open()
    assert (await told(run, "resume", lane, "--reason", "All is well."))["ok"] is True
    assert await is_open()
    assert await actions(db) == [
        ("dana", "pause", str(lane), "She called."),
        ("dana", "resume", str(lane), "All is well."),
    ]
    assert "portal" in await said(run, "pause", "fax", *BECAUSE, code=2)


async def test_what_is_paused_is_not_worked_and_goes_on_when_it_is_resumed(run: Run, db: Database) -> None:
    work = Round(db)
    await work.intake()
    await said(run, "pause", "portal", *BECAUSE)
    await work.go()
    assert (work.portal.calls, await states(db)) == ([], [State.PENDING])
    await said(run, "resume", "portal", *BECAUSE)
    await work.go()
    assert (work.portal.creates, await states(db)) == (1, [State.DONE])


# What is decided is done


async def ambiguous(work: Round, **chart: Any) -> int:
    """The number of an entry that is parked, since staff has a chart that may be this child's."""
    put_chart(work.portal.inner, {**INTAKE, "SSN__c": None, **chart}, rows=False)
    await work.intake(SSN__c=None)
    await work.go()
    entry = await work.entry()
    assert (entry["state"], entry["parked_reason"]) == (State.PARKED, ParkedReason.AMBIGUOUS)
    assert work.portal.deeds == []
    work.portal.calls.clear()
    return int(entry["id"])


async def test_the_chart_that_a_person_named_is_brought_up_to_date(run: Run, db: Database) -> None:
    work = Round(db)
    number = await ambiguous(work)
    (chart,) = work.portal.inner.charts
    await said(run, "resolve", number, "--chart", chart, *BECAUSE)
    await work.go()
    entry = await work.entry()
    assert (entry["state"], entry["portal_id"], work.portal.creates) == (State.DONE, chart, 0)
    (link,) = await rows(db, schema.link)
    assert (link["portal_id"], link["how"]) == (chart, "by_hand")
    assert list(work.portal.inner.charts) == [chart]


async def test_where_a_person_says_that_there_is_none_a_chart_is_made_without_a_match(run: Run, db: Database) -> None:
    work = Round(db)
    number = await ambiguous(work, Last_Name__c="Sampel")
    await said(run, "resolve", number, "--new", *BECAUSE)
    await work.go()
    assert work.portal.creates == 1
    assert "find" not in work.portal.calls
    assert await states(db) == [State.DONE]


async def test_even_then_a_save_that_was_cut_off_is_looked_for_first(run: Run, db: Database) -> None:
    work = Round(db)
    number = await ambiguous(work, Last_Name__c="Sampel")
    await said(run, "resolve", number, "--new", *BECAUSE)
    work.portal.inner.lose_reply = True
    await work.go()
    assert ((await work.entry())["code"], work.portal.creates) == (CONFIRMED_NEW, 1)
    assert "find" not in work.portal.calls
    await work.all_due()
    await work.go()
    assert "find" in work.portal.calls
    assert work.portal.creates == 1
    assert await states(db) == [State.DONE]


# Looking


async def test_outbox_lists_newest_first_and_by_state(run: Run, db: Database) -> None:
    entry = await parked(db)
    await arrive(db, 2)
    everything = await told(run, "outbox")
    assert [one["state"] for one in everything] == ["PENDING", "PARKED"]
    assert [one["id"] for one in await told(run, "outbox", "--state", "PARKED")] == [entry.id]
    assert len(await told(run, "outbox", "--limit", "1")) == 1
    assert await told(run, "outbox", "--state", "DONE") == []
    table = await said(run, "outbox")
    assert record(1) in table
    assert "PARKED 1" in table
    await said(run, "outbox", "--state", "LOST", code=2)


async def test_where_lines_are_short_the_outbox_keeps_what_one_needs_to_act(
    run: Run, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nothing is in it." in await said(run, "outbox")
    entry = await parked(db)
    reason = str((await row(db, entry.id))["message"])
    monkeypatch.setattr("fusion.cli.outbox.width", lambda: 80)
    table = await said(run, "outbox")
    assert all(words in table for words in (str(entry.id), record(1), "PARKED", "why", reason))
    assert "tries" not in table


async def test_show_tells_one_entry_whole(run: Run, db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await intend(db, entry)
    await settle(db, entry, refused(ParkedReason.IN_DOUBT))
    found = await told(run, "show", entry.id)
    assert found["entry"]["id"] == entry.id
    assert [one["fields"] for one in found["changes"]] == [["First_Name__c"]]
    assert [one["step"] for one in found["attempts"]] == ["portal", "writeback"]
    page = await said(run, "show", entry.id)
    assert "First_Name__c" in page
    assert "in_doubt" in page
    assert (await said(run, "show", 4711, code=1)).strip() == "There is no entry 4711."


@pytest.mark.parametrize(
    ("reason", "look", "answer"),
    [
        (ParkedReason.AMBIGUOUS, True, "`fusion-sync resolve {} --chart N --reason …`"),
        (ParkedReason.IN_DOUBT, True, "`fusion-sync resolve {} --chart N --reason …`"),
        (ParkedReason.IDENTITY, True, "`fusion-sync retry {} --reason …`"),
        (ParkedReason.HELD, False, "`fusion-sync release {} --reason …`"),
        (ParkedReason.BAD_DATA, False, "correct the record in Salesforce"),
        (ParkedReason.EXHAUSTED, False, "`fusion-sync retry {} --reason …`"),
        (ParkedReason.DELETED, False, "`fusion-sync resolve {} --done --reason …`"),
        (ParkedReason.NOT_TOLD, False, "`fusion-sync retry {} --reason …`"),
    ],
)
async def test_show_names_the_next_move_of_what_is_parked(
    run: Run, db: Database, reason: ParkedReason, look: bool, answer: str
) -> None:
    entry = await parked(db, reason)
    moves = [line for line in (await said(run, "show", entry.id)).splitlines() if line.startswith("  → ")]
    assert len(moves) == 1 + look
    assert (f"`fusion-sync preview {record(1)}`" in moves[0]) is look
    assert answer.format(entry.id) in moves[-1]


async def test_show_names_no_move_where_none_is_needed(run: Run, db: Database) -> None:
    await arrive(db, 1)
    entry = await settle(db, await claimed(db))
    assert "→" not in await said(run, "show", entry.id)


async def test_purge_counts_or_deletes_and_never_what_is_young(run: Run, db: Database) -> None:
    await arrive(db, 1)
    await settle(db, await claimed(db))
    await parked(db)
    async with db.writing() as tx:
        done = update(schema.outbox).where(schema.outbox.c.state == State.DONE)
        await tx.execute(done.values(finished_at=func.db_after(-timedelta(days=40).total_seconds())))
    nothing = {"dry_run": False, "entries": 0, "gaps": 0, "dead_letters": 0, "evidence": 0}
    assert await told(run, "purge") == nothing
    assert await told(run, "purge", "--days", "30", "--dry-run") == {**nothing, "dry_run": True, "entries": 1}
    assert len(await rows(db)) == 2
    assert (await said(run, "purge", "--days", "30")).startswith(
        "1 entries, 0 closed gaps, 0 dead letters and 0 files of evidence deleted"
    )
    assert await states(db) == [State.PARKED]
    await said(run, "purge", "--days", "6", code=2)


# From a real shell


def test_a_real_shell_sees_the_same_words_and_exit_codes(tmp_path: Path, migrated_sqlite: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(migrated_sqlite.read_bytes())

    def shell(*args: str) -> subprocess.CompletedProcess[str]:
        given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": "sqlite:///outbox.db"}
        command = [sys.executable, "-W", "error", "-m", "fusion.cli", *args]
        return subprocess.run(command, cwd=tmp_path, env=given, text=True, capture_output=True, timeout=30, check=False)

    done = shell("pause", "portal", "--reason", "An update.")
    assert (done.returncode, done.stdout, done.stderr) == (0, "The way to portal is paused; what changes waits.\n", "")
    refusal = shell("retry", "4711", "--reason", "Why not.")
    assert (refusal.returncode, refusal.stderr) == (1, "")
    assert refusal.stdout == "there is no entry 4711.\n  → `fusion-sync outbox` lists them\n"

    async def who() -> str:
        db = Database(f"sqlite:///{tmp_path / 'outbox.db'}")
        found = await rows(db, schema.action)
        await db.close()
        return str(found[0]["actor"])

    assert asyncio.run(who()) == getpass.getuser()
