"""`kill -9` at random moments of the whole story ends with the same ledgers as a run that nobody disturbed."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from portal_people import BROWSER

from fusion.cli.migrate import migrate
from fusion.standin.demo import Watching, play
from fusion.standin.sandbox import Sandbox, sandbox
from fusion.standin.story import begin, story
from fusion.standin.verdict import disagreements
from listener.database import Database

KILLS = int(os.environ.get("FUSION_TEST_KILLS", "10"))
QUICK = {
    "FUSION_SYNC_BROWSER": BROWSER or "",
    "FUSION_SYNC_SETTLE_SECONDS": "0.7",
    "FUSION_SYNC_POLL_SECONDS": "0.3",
    "FUSION_SYNC_GATE_SECONDS": "1",
    "FUSION_SYNC_LOOK_AGAIN_SECONDS": "1",
    "FUSION_SYNC_OPS_PORT": "0",
    "FUSION_SYNC_LEASE_SECONDS": "10",
    "FUSION_SYNC_PORTAL_ATTEMPTS": "30",
}


class Run:
    """`fusion-sync run` in a process of its own, which can be killed and started again."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.kills = 0

    async def start(self) -> None:
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fusion.cli", "run", env=self._environment, stdout=log, stderr=log
            )

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self.kills += 1

    async def end(self) -> int:
        """SIGTERM, and the exit code; the promise is 0 within 15 seconds."""
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(15):
            return await self._process.wait()

    def still_well(self) -> None:
        assert self._process is not None
        if self._process.returncode not in (None, -9):
            pytest.fail(f"the process ended by itself: {self._log.read_text()[-3000:]}")


def writes(box: Sandbox) -> Counter[tuple[str, str, str]]:
    """What the robot wrote, apart from order and from ids that differ between runs: kind, section, values."""
    return Counter(
        (str(line["kind"]), str(line["section"]), _without_record_ids(line["after"]))
        for line in box.portal.control.ledger()
        if line["kind"] in ("create", "add", "save")
    )


def _without_record_ids(values: Any) -> str:
    return "; ".join(f"{label}={text.split('[Salesforce intake')[0]}" for label, text in sorted(values.items()))


@asynccontextmanager
async def playing(folder: Path, url: str, seed: int, kills: int):
    """The whole story, by a process that is killed that often at moments drawn by the seed; then all that is left."""
    folder.mkdir()
    migrate(url)
    told = story(patients=12, seed=1)
    rng = random.Random(seed)
    async with sandbox(folder, poll_seconds=20.0) as box:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FUSION_SYNC_")},
            **QUICK,
            **box.environment(),
            "DATABASE_URL": url,
            "PORTAL_EVIDENCE_DIR": str(folder / "evidence"),
        }
        run = Run(environment, folder / "run.log")
        db = Database(url)
        begin(told, box)
        await run.start()

        async def disturb() -> None:
            for _ in range(kills):
                await asyncio.sleep(rng.uniform(0.8, 4.0))
                await run.kill()
                await run.start()

        disturbance = asyncio.create_task(disturb())
        try:
            rows = await play(told, box, db, watching=Watching(), limit=timedelta(minutes=4), still_well=run.still_well)
            await disturbance
            # The last kill may have come when all was told: give the last process time to find nothing to do.
            rows = await play(told, box, db, watching=Watching(), limit=timedelta(minutes=1), still_well=run.still_well)
            exit_code = await run.end()
            yield box, told, rows, run, exit_code
        finally:
            disturbance.cancel()
            await asyncio.gather(disturbance, return_exceptions=True)
            if run._process is not None and run._process.returncode is None:
                await run.kill()
            await db.close()


@pytest.mark.story
@pytest.mark.browser
@pytest.mark.xdist_group("story")
@pytest.mark.timeout(420)
async def test_killed_ten_times_it_ends_with_the_ledgers_of_an_undisturbed_run(tmp_path: Path) -> None:
    seed = int(os.environ.get("FUSION_TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}")
    async with playing(tmp_path / "calm", f"sqlite:///{tmp_path / 'calm.db'}", seed, 0) as (box, told, rows, _, code):
        assert code == 0
        assert disagreements(told.cases, rows, box) == []
        calm = writes(box)
    async with playing(tmp_path / "rough", f"sqlite:///{tmp_path / 'rough.db'}", seed, KILLS) as (
        box,
        told,
        rows,
        run,
        code,
    ):
        assert code == 0
        assert run.kills == KILLS
        assert disagreements(told.cases, rows, box) == []
        assert writes(box) == calm
