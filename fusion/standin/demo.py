"""The main job on embedded stand-ins, told as a story: real browser, real wire, a database of its own.

Told twice: to a person as a live table, to a machine as one JSON object. Both end with the verdict of the ledgers.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from fusion import app
from fusion.app import Role
from fusion.settings import load
from fusion.standin.sandbox import Sandbox, sandbox
from fusion.standin.story import Case, Story, begin, story
from fusion.standin.verdict import disagreements
from listener import board
from listener.database import Database

Row = Mapping[str, Any]

_QUICK = {
    # A story is short: what waits half a minute in a clinic waits a second here.
    "FUSION_SYNC_SETTLE_SECONDS": "0.7",
    "FUSION_SYNC_POLL_SECONDS": "0.3",
    "FUSION_SYNC_GATE_SECONDS": "0.5",
    "FUSION_SYNC_LOOK_AGAIN_SECONDS": "1",
    "FUSION_SYNC_OPS_PORT": "0",
    "FUSION_SYNC_LOG_LEVEL": "error",
}


@dataclass(slots=True, kw_only=True)
class Ending:
    """How the story ended. `problems`: what the ledgers say against the app's claims, a sentence each."""

    cases: list[Case]
    rows: list[Row]
    problems: list[str]
    seconds: float
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether ledgers and claims agree."""
        return not self.problems

    def described(self) -> dict[str, Any]:
        """For a machine."""
        by_record = {case.record_id: case for case in self.cases}
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "problems": self.problems,
            "figures": self.figures,
            "cases": [
                {"title": case.title, "record_id": case.record_id, "entries": _claims(case, self.rows)}
                for case in by_record.values()
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Who looks on: `moved` after each look at the table, `told` when something happens in the story."""

    moved: Callable[[Sequence[Case], Sequence[Row]], None] = lambda _cases, _rows: None
    told: Callable[[str], None] = lambda _what: None


async def demo(
    folder: Path,
    *,
    database_url: str,
    patients: int,
    seed: int,
    watching: Watching,
    environment: Mapping[str, str],
    at_the_end: Callable[[Sandbox, Ending, asyncio.Event], Awaitable[None]] | None = None,
    limit: timedelta = timedelta(minutes=3),
) -> Ending:
    """Tell the story against that database, which must have its tables; `folder` takes ledgers, key and evidence.

    `at_the_end` is awaited while all still runs, with the event that stops it. Raises `SetupError` as the app does,
    and `TimeoutError` when the story does not come to its end in `limit`.
    """
    told = story(patients=patients, seed=seed)
    async with sandbox(folder, poll_seconds=20.0) as box:
        settings = _settings(box, folder, database_url, environment)
        db = Database(database_url)
        stopping = asyncio.Event()
        watching.told(f"org on {box.org.url}, portal on {box.portal.url}")
        began = time.monotonic()
        begin(told, box)
        process = asyncio.create_task(app.run(settings, frozenset(Role), stopping=stopping))
        try:
            rows = await play(told, box, db, watching=watching, limit=limit, still_well=lambda: _still_well(process))
            ending = Ending(
                cases=told.cases,
                rows=rows,
                problems=disagreements(told.cases, rows, box),
                seconds=time.monotonic() - began,
                figures=_figures(box),
            )
            if at_the_end is not None:
                await at_the_end(box, ending, stopping)
        finally:
            stopping.set()
            await asyncio.gather(process, return_exceptions=True)
            await db.close()
        return ending


async def play(
    told: Story,
    box: Sandbox,
    db: Database,
    *,
    watching: Watching,
    limit: timedelta,
    still_well: Callable[[], None] = lambda: None,
) -> list[Row]:
    """The outbox's rows when all is told: second parts are played one by one, each once its record is at rest.

    `still_well` is asked at each look and raises where waiting has become pointless.
    """
    waiting = told.second
    async with asyncio.timeout(limit.total_seconds()):
        while True:
            still_well()
            rows = await _rows(db)
            watching.moved(told.cases, rows)
            at_rest = {case.record_id for case in told.cases if _is_at_rest(case, rows)}
            if waiting and waiting[0].record_id in at_rest:
                case = waiting.pop(0)
                case.since = len(box.portal.control.ledger())
                watching.told(f"{case.title}: the front desk saves {case.record_id} again")
                assert case.act is not None  # noqa: S101 - `second` has no others
                case.act(case, box)
                case.acted = True
                await _heard(case, rows, db)
            elif not waiting and len(at_rest) == len(told.cases):
                return rows
            await asyncio.sleep(0.25)


def _still_well(process: asyncio.Task[None]) -> None:
    if process.done():
        process.result()
        raise RuntimeError("the app ended before the story did")


def _is_at_rest(case: Case, rows: Sequence[Row]) -> bool:
    mine = [row for row in rows if row["record_id"] == case.record_id]
    if not mine:
        return not case.intake.record["Ready_for_Fusion__c"]
    return all(row["state"] in ("DONE", "PARKED", "SUPERSEDED") for row in mine)


async def _heard(case: Case, before: Sequence[Row], db: Database) -> None:
    """Wait until the outbox has a row more for the record: before that, it only looks to be at rest."""
    known = sum(row["record_id"] == case.record_id for row in before)
    while sum(row["record_id"] == case.record_id for row in await _rows(db)) == known:  # noqa: ASYNC110 - a table
        await asyncio.sleep(0.05)


async def _rows(db: Database) -> list[Row]:
    async with db.reading() as tx:
        return list(reversed(await board.entries(tx, limit=1000)))


def _settings(box: Sandbox, folder: Path, database_url: str, environment: Mapping[str, str]) -> Any:
    # The app reads its settings where every process does; what the user's shell says of a real org must not leak in.
    for name in [name for name in os.environ if name.startswith(("SALESFORCE_", "PORTAL_", "DATABASE_"))]:
        del os.environ[name]
    os.environ |= {
        **_QUICK,
        **box.environment(),
        "DATABASE_URL": database_url,
        "PORTAL_EVIDENCE_DIR": str(folder / "evidence"),
        **environment,
    }
    return load(salesforce=True, portal=True, env_file=None)


def _claims(case: Case, rows: Sequence[Row]) -> list[dict[str, Any]]:
    names = ("id", "state", "outcome", "portal_id", "code", "changes", "attempts")
    return [{name: row[name] for name in names} for row in rows if row["record_id"] == case.record_id]


def _figures(box: Sandbox) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for line in box.portal.control.ledger():
        kinds[str(line["kind"])] = kinds.get(str(line["kind"]), 0) + 1
    writes = [entry for entry in box.org.ledger.entries if entry["kind"] == "write"]
    return {
        "charts": len(box.portal.control.patients()),
        "charts_created": kinds.get("create", 0),
        "forms_saved": kinds.get("save", 0),
        "rows_added": kinds.get("add", 0),
        "log_ins": kinds.get("login", 0),
        "screens_unlocked": kinds.get("unlock", 0),
        "salesforce_writes": len(writes),
    }
