"""Whatever comes in between, at whatever moment of whatever visit: the chart is right in the end, or a person is asked.

Each kind of visit is made once in peace, and its steps are counted: what the driver does to the browser, and what the
page asks of its server. Then it is made again for each step, with something coming in right before it. In the end the
ledger must show each write once and nothing else; and who was asked says "again", and then it is right.

A sample runs always (FUSION_TEST_SEED chooses another), all of it with FUSION_TEST_MATRIX=full, each fifth step from
the second on with FUSION_TEST_MATRIX=2/5.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from portal_people import QUICK, web_portal

from fusion.browser import WebPortal
from fusion.pages.pack_file import load_pack
from fusion.standin.server import StandInPortal
from listener.database import Database
from listener.log import told_errors
from tests.story.interruptions import Actions, kick, lock, notice
from tests.story.visits import KINDS, Kind, Visit, begin

# What a timeout cuts off leaves the browser that all share in the middle of a visit.
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

MATRIX = os.environ.get("FUSION_TEST_MATRIX", "")
FIRST, EVERY = (int(number) for number in (MATRIX if "/" in MATRIX else "1/1").split("/"))
SEED = int(os.environ.get("FUSION_TEST_SEED", "1"))
BY_NAME = {kind.name: kind for kind in KINDS}

ON_THE_SCREEN = {"lock": lock, "kick": kick, "notice": notice}
AT_THE_SERVER: dict[str, dict[str, Any]] = {
    "error": {"status": 500},
    "error after the deed": {"status": 500, "after_commit": True},
    "cut": {"cut": True},
    "cut after the deed": {"cut": True, "after_commit": True},
    "slow": {"delay": 0.4},
    "too slow": {"delay": QUICK.page + 0.5, "after_commit": True},
}
WHAT = (*ON_THE_SCREEN, *AT_THE_SERVER)

End = tuple[str, str | None, str | None]
DONE: End = ("DONE", None, None)
STOPPED: End = ("PARKED", "unexpected_page", "exhausted")
IN_DOUBT: End = ("PARKED", "unexpected_page", "in_doubt")
ENDS = {
    # A page load may take a dialog away before anybody looks.
    ("notice", "looking"): {DONE, STOPPED},
    # The chart is there, or not: only the portal knows. Once its id is kept, it is no longer in doubt.
    ("notice", "making"): {DONE, STOPPED, IN_DOUBT},
    ("notice", "saving"): {DONE, STOPPED},
    ("notice", "saved"): {DONE, STOPPED},
}
"""State, code and reason with which a row may rest at first, by what came in and how far the robot was; else `DONE`."""


@pytest.fixture(autouse=True)
def told() -> Iterator[io.StringIO]:
    """What is logged, with errors as the program tells them: structlog's own way takes seconds for each."""
    before, kept = structlog.get_config(), io.StringIO()
    structlog.configure(
        processors=[structlog.processors.add_log_level, told_errors, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(kept),
        cache_logger_on_first_use=False,
    )
    yield kept
    structlog.configure(**before)


@dataclass(slots=True)
class Place:
    """A portal with its browser, and a database.

    `steps`: by kind, in peace: actions of the driver, and requests. `ends`: how far the robot was, and what came of it.
    """

    skin: str
    standin: StandInPortal
    portal: WebPortal
    db: Database
    actions: Actions
    steps: dict[str, tuple[int, int]] = field(default_factory=dict)
    ends: Counter[tuple[str, End]] = field(default_factory=Counter)

    async def ready(self, kind: Kind) -> Visit:
        """The visit that is to be made, with a browser that is logged in and is where a visit leaves it."""
        visit = await begin(kind, self.standin, self.portal, self.db)
        if not (await self.portal.warm.tab()).inside:
            await self.portal.enter()
        visit.mark = self.standin.ledger.lines()[-1].seq
        return visit

    async def in_peace(self, kind: Kind) -> list[str]:
        """The names of the actions of such a visit; its steps are counted."""
        visit = await self.ready(kind)
        before = self._requests()
        self.actions.begin()
        await visit.work()
        names = await self.actions.end()
        assert (await end_of(visit), visit.complaints(whole=True)) == (DONE, [])
        self.steps[kind.name] = (len(names), self._requests() - before)
        return names

    async def steps_of(self, kind: Kind, what: str) -> int:
        """How many steps of such a visit that could come before."""
        if kind.name not in self.steps:
            await self.in_peace(kind)
        actions, requests = self.steps[kind.name]
        return actions if what in ON_THE_SCREEN else requests

    def _requests(self) -> int:
        return sum(n for kind, n in self.standin.wire.requests.items() if kind != "page")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fusion_web", "harbor"])
async def place(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    """One browser for all, at each skin of the stand-in. A picture takes longer than a visit: none can be kept."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copy(migrated_sqlite, folder / "outbox.db")
    no_folder = folder / "outbox.db"
    db = Database(f"sqlite:///{folder / 'outbox.db'}")
    async with (
        StandInPortal(skin=request.param) as standin,
        web_portal(standin, no_folder, pack=load_pack(request.param)) as portal,
    ):
        await portal.enter()
        actions = Actions((await portal.warm.tab()).page)
        yield Place(request.param, standin, portal, db, actions)
    await db.close()


async def end_of(visit: Visit) -> End:
    row = await visit.row()
    return (row["state"], row["code"], row["parked_reason"])


async def on_the_screen(place: Place, visit: Visit, what: str, due: Callable[[], bool]) -> str | None:
    """The visit is made, and that comes up when it is due; how far the robot was then. None: nothing came up."""
    page, phase = (await place.portal.warm.tab()).page, ["looking"]

    async def deed() -> None:
        phase[0] = visit.phase
        await ON_THE_SCREEN[what](place.standin, page, framed=place.skin == "harbor")

    place.actions.begin(due=due, deed=deed)
    await visit.work()
    await place.actions.end()
    return phase[0] if place.actions.happened else None


async def at_the_server(place: Place, visit: Visit, what: str, step: int) -> str | None:
    """The visit is made, and that befalls the request of that number; likewise."""
    place.standin.control.fault(skip=step - 1, **AT_THE_SERVER[what])
    await visit.work(pause=0.8 if what == "too slow" else 0)
    return None if place.standin.faults.rules() else "any"


async def wrong_after(place: Place, visit: Visit, what: str, phase: str) -> list[str]:
    """What is not right about how it ended; a person who was asked says "again"."""
    end = await end_of(visit)
    place.ends[phase, end] += 1
    wrong = visit.complaints(whole=end == DONE)
    if end not in ENDS.get((what, phase), {DONE}):
        wrong.append(f"ended as {end}")
    if end != DONE:
        await visit.retried()
        wrong += [f"after all: {one}" for one in visit.complaints(whole=True)]
        if (after_all := await end_of(visit)) != DONE:
            wrong.append(f"ended after all as {after_all}")
    return wrong


async def disturbed(place: Place, kind: Kind, what: str, step: int) -> list[str] | None:
    """What is wrong after such a visit; None if it had fewer steps."""
    visit = await place.ready(kind)
    if what in ON_THE_SCREEN:
        phase = await on_the_screen(place, visit, what, lambda: len(place.actions.names) == step)
    else:
        phase = await at_the_server(place, visit, what, step)
    return None if phase is None else await wrong_after(place, visit, what, phase)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", BY_NAME if MATRIX else [])
@pytest.mark.parametrize("what", WHAT if MATRIX else [])
async def test_before_each_step(place: Place, name: str, what: str, told: io.StringIO) -> None:
    steps = range(FIRST, await place.steps_of(BY_NAME[name], what) + 1, EVERY)
    place.ends.clear()
    wrong, without_effect = {}, 0
    for step in steps:
        told.seek(0)
        told.truncate()
        began = time.monotonic()
        found = await disturbed(place, BY_NAME[name], what, step)
        print(f"step {step}: {time.monotonic() - began:.1f} s")
        without_effect += found is None
        if found:
            wrong[step] = found
            print(f"{found}\n{told.getvalue()}")
    print(f"{place.skin}, {name}, {what}: {len(steps)} steps, {without_effect} without effect, {len(wrong)} wrong")
    print("  ", {f"{phase} {end}": number for (phase, end), number in place.ends.items()})
    assert wrong == {}
    # A visit has some looks more or less, as the answers come.
    assert without_effect <= 2 + len(steps) // 5


async def test_a_sample_of_all_that(place: Place) -> None:
    print(f"FUSION_TEST_SEED={SEED}")
    rng = random.Random(f"{SEED} {place.skin}")
    quick = place.skin == "fusion_web"
    kinds = [kind for kind in KINDS if len(kind.writes) <= (4 if quick else 1)]
    wrong = {}
    for what in rng.sample(WHAT, 6) if quick else rng.sample(WHAT[:-1], 2):
        kind = rng.choice(kinds)
        step = rng.randint(1, await place.steps_of(kind, what))
        if found := await disturbed(place, kind, what, step):
            wrong[kind.name, what, step] = found
    assert wrong == {}


@pytest.mark.parametrize("clicked", [False, True], ids=["before the click", "after the click"])
async def test_a_dialog_over_a_new_chart_leaves_it_in_doubt_and_it_is_not_made_twice(
    place: Place, clicked: bool
) -> None:
    visit = await place.ready(BY_NAME["create"])
    due_at: list[int] = []

    def due() -> bool:
        if visit.phase == "making" and not due_at:
            due_at.append(len(place.actions.names) + clicked)
        return bool(due_at) and len(place.actions.names) >= due_at[0]

    phase = await on_the_screen(place, visit, "notice", due)
    assert phase is not None
    assert await wrong_after(place, visit, "notice", phase) == []


async def test_the_steps_of_a_visit_are_the_same_each_time(place: Place) -> None:
    looks = ("queryCount", "waitForSelector", "evaluateExpression")
    first, again = [await place.in_peace(BY_NAME["update Contacts"]) for _ in range(2)]
    deeds = [Counter(name for name in names if name not in looks) for names in (first, again)]
    assert deeds[0] == deeds[1]
    # Where texts are put in by a script of ours, they are among its calls.
    assert deeds[0]["fill"] == (1 if place.skin == "harbor" else 0)
    assert deeds[0]["evalOnSelectorAll"] >= 5
    assert abs(len(first) - len(again)) <= len(first) // 4
