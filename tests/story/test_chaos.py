"""Processes that are killed and frozen at random while the front desk types; then all comes to rest, and all is right.

FUSION_TEST_CHAOS_SECONDS makes it last longer, FUSION_TEST_SEED plays one again (as far as a machine can).

A process that happens to be frozen between its last check and the click goes on at once: what a longer freeze there
can do is the subject of `test_guards`, and by chance it would say nothing new.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from fusion.standin.intakes import intakes
from tests.story.stage import Stage, freeze, stage, thaw

SECONDS = float(os.environ.get("FUSION_TEST_CHAOS_SECONDS", "20"))
RECORDS = 40
LEASE = timedelta(seconds=1)

pytestmark = [pytest.mark.story, pytest.mark.timeout(300 + 3 * SECONDS)]


class FrontDesk:
    """People who make records and edit them. `changes` counts their saves."""

    def __init__(self, on: Stage, rng: random.Random) -> None:
        self._on = on
        self._rng = rng
        self._child = intakes(rng.randrange(1000))
        self._born: dict[str, Any] = {}
        self.changes = 0

    async def work(self, seconds: float) -> None:
        """All the records and more than ten saves of each, evenly over the time; many more if it is long."""
        saves = max(RECORDS * 12, int(seconds * 20))
        for number in range(saves):
            self._save(new=number % 4 == 0 and len(self._born) < RECORDS)
            await asyncio.sleep(seconds / saves)

    def _save(self, *, new: bool) -> None:
        org = self._on.org.control
        self.changes += 1
        if new or not self._born:
            record = next(self._child).record
            self._born[org.create(record)] = record["Date_of_Birth__c"]
            return
        one, other = self._rng.choices(list(self._born), k=2)
        if self._rng.random() < 0.1 and one != other:
            # Two records in one transaction, with the same change: one event tells of both.
            change = {"op": "update", "values": {"Guardian_City__c": f"Town {self.changes}"}}
            org.save({**change, "id": one}, {**change, "id": other}, automation=False)
        else:
            # Without automation: some have no birth date, as if from before the org's rules.
            org.update(one, self._edit(one), automation=False)

    def _edit(self, record_id: str) -> dict[str, Any]:
        number, draw = self.changes, self._rng
        return draw.choice(
            [
                {"Guardian_Phone__c": f"(919) 555-01{number % 100:02}"},
                {"Guardian_Street__c": f"{number} New Street", "Guardian_Postal_Code__c": f"27{number % 1000:03}"},
                {"Guardian_Email__c": f"mail{number}@example.com"},
                {"Preferred_Name__c": draw.choice(["Bean", "Ace", None])},
                {"Presenting_Concerns__c": f"Concern number {number}."},
                {"Case_Notes__c": f"Note number {number}.\nSecond line."},
                {"Gender__c": draw.choice(["Female", "Male", "Nonbinary"]), "Location__c": "North Clinic"},
                {"First_Name__c": draw.choice(["Robin", "Sky", "Jules"])},
                # Without a birth date it is refused, with it again it is not.
                {"Date_of_Birth__c": draw.choice([None, self._born[record_id], self._born[record_id]])},
            ]
        )


class Trouble:
    """Whoever kills and freezes. `kinds` are the orders of the processes, one process each; `told` counts deeds."""

    def __init__(self, on: Stage, rng: random.Random, kinds: list[dict[str, Any]]) -> None:
        self._on = on
        self._rng = rng
        self._kinds = kinds
        self._running = [self._start(kind) for kind in kinds]
        self._frozen: set[int] = set()
        self.told: Counter[str] = Counter()

    async def make(self, seconds: float) -> None:
        """A kill or a freeze every half second or so; in the end all run."""
        async with asyncio.TaskGroup() as freezes:
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                await asyncio.sleep(self._rng.uniform(0.2, 0.8))
                free = [number for number in range(len(self._kinds)) if number not in self._frozen]
                if not free:
                    continue
                number = self._rng.choice(free)
                if self._rng.random() < 0.5:
                    self._kill(number)
                else:
                    freezes.create_task(self._freeze(number, self._rng.uniform(1.2, 2.2) * LEASE.total_seconds()))

    def still_well(self) -> None:
        """Fail if a process ended by itself."""
        ended = [process.exitcode for process, _ in self._running if process.exitcode not in (None, -9)]
        assert ended == [], self._on.told()

    async def end(self) -> None:
        """SIGTERM to all; each must end as it should."""
        assert [await self._on.end(process) for process, _ in self._running] == [0] * len(self._running)

    def _start(self, kind: dict[str, Any]) -> tuple[BaseProcess, Path]:
        passes = self._on.folder / f"passes-{len(self._on.processes)}"
        return self._on.start(**kind, passes=passes), passes

    def _kill(self, number: int) -> None:
        self.still_well()
        self.told["killed"] += 1
        self._running[number][0].kill()
        self._running[number] = self._start(self._kinds[number])

    async def _freeze(self, number: int, seconds: float) -> None:
        process, passes = self._running[number]
        self._frozen.add(number)
        freeze(process)
        await asyncio.sleep(0.02)
        last = passes.read_text().split()[-1:] if passes.exists() else []
        if last and last[0].startswith("click:") and last[0].endswith(":before"):
            self.told["spared"] += 1
        else:
            self.told["frozen"] += 1
            await asyncio.sleep(seconds)
        thaw(process)
        self._frozen.discard(number)


KINDS: dict[str, list[dict[str, Any]]] = {
    "postgres": [{"works": False}, *({"listens": False, "user": user} for user in (1, 2, 3, 4))],
    "sqlite": [{"works": False}, {"listens": False}],
}


@pytest.mark.parametrize(
    ("migrated_url", "share"),
    [pytest.param("postgres", 0.7, marks=pytest.mark.postgres), ("sqlite", 0.3)],
    indirect=["migrated_url"],
    ids=["postgres", "sqlite"],
)
async def test_kills_and_freezes_at_random_lose_nothing_and_double_nothing(
    migrated_url: str, share: float, tmp_path: Path
) -> None:
    seed = int(os.environ.get("FUSION_TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}")
    seconds = SECONDS * share
    async with stage(migrated_url, tmp_path, lease=LEASE) as on:
        desk = FrontDesk(on, random.Random(seed))
        trouble = Trouble(
            on, random.Random(seed + 1), KINDS["sqlite" if migrated_url.startswith("sqlite") else "postgres"]
        )
        await asyncio.gather(desk.work(seconds), trouble.make(seconds))
        trouble.still_well()
        await on.rest(within=150, hurry=True)
        kinds = Counter(line["kind"] for line in on.portal.control.ledger())
        print(f"{desk.changes} saves, {dict(trouble.told)}, {dict(kinds)}")
        assert on.complaints() == [], on.told()
        await trouble.end()
        assert desk.changes >= 400
