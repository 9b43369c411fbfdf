"""The outbox beside other queues: appending, claiming and finishing, and what history costs.

All of it in one run and in turns, a round of each system after the other; what is compared lies side by side. Numbers
are medians of the rounds, ratios medians of each round's own: a shared machine gives no other number that means much.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from fusion.cli.migrate import migrate
from listener.database import Database
from tests.bench import history
from tests.bench.crew import crew
from tests.bench.ground import Ground, ground
from tests.bench.numbers import Numbers
from tests.bench.queues import BATCH, Queue
from tests.bench.systems import SYSTEMS

Said = Callable[[str], None]
_ONE, _BATCH, _DRAIN = "append one by one", f"append in batches of {BATCH}", "claim + finish, one by one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured. `seconds`: after so long no further round of a part begins; one round there always is."""

    rounds: int = 5
    seconds: float = 150.0
    singles: int = 60
    batched: int = 1_000
    drained: int = 200
    consumers: tuple[int, ...] = (1, 4)
    finished: tuple[int, ...] = (0, 10_000, 100_000, 1_000_000)
    claims: int = 40
    behind: tuple[int, ...] = (1, 10_000)
    samples: int = 20


FULL = Sizes()
QUICK = Sizes(
    rounds=2, seconds=12.0, singles=30, batched=500, drained=100, finished=(0, 10_000, 100_000), claims=20, samples=10
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: what was done by whom, where, and in what unit."""

    what: str
    system: str
    database: str
    unit: str = "rows/s"
    consumers: int = 1


def measure(sizes: Sizes, said: Said = lambda _line: None) -> dict[str, Any]:
    """`machine`, `rows` and `ratios`; `said` hears what is being done."""
    numbers: Numbers[Kind] = Numbers()
    with ground() as place, crew(max(sizes.consumers)) as consumers, asyncio.Runner() as runner:
        machine = place.machine()
        said("making the tables of every queue")
        # Each appends to one database and drains another, so that what is left of the one is not in the other's way.
        appended, drained = _made(place, runner, "appended"), _made(place, runner, "drained")
        for number in _rounds(sizes):
            said(f"round {number}: appending")
            for name, url in appended.items():
                if SYSTEMS[name].appends:
                    runner.run(_append(name, url, sizes, numbers))
            for size in sizes.consumers:
                said(f"round {number}: claiming and finishing, consumers: {size}")
                for name, url in drained.items():
                    rows = sizes.drained * (1 if size == 1 else 2)
                    runner.run(_fill(name, url, rows))
                    rate = _rate_of(consumers.drain(name, url, consumers=size), rows)
                    numbers.note(Kind(_DRAIN, name, SYSTEMS[name].database, consumers=size), rate)
        for database in ("postgres", "sqlite"):
            runner.run(_history(place, database, sizes, numbers, said))
            runner.run(_one_record(place, database, sizes, numbers, said))
    return {"machine": machine, "rows": numbers.rows(), "ratios": ratios(numbers)}


def _made(place: Ground, runner: asyncio.Runner, use: str) -> dict[str, str]:
    urls = {name: place.url(system.database, f"{name} {use}") for name, system in SYSTEMS.items()}
    for name, url in urls.items():
        runner.run(SYSTEMS[name].on(url).prepare())
    return urls


def ratios(numbers: Numbers[Kind]) -> dict[str, float | None]:
    """Ours over theirs; for growth the time with history over the time without, on whichever database it is worse."""

    def drained(system: str, consumers: int = 1) -> Kind:
        return Kind(_DRAIN, system, "postgres", consumers=consumers)

    one, two, whole = "ours, one finish", "ours, two stages", "ours, whole round"
    calls, theirs = "procrastinate, calls", "procrastinate, worker"
    appended = (Kind(_BATCH, one, "postgres"), Kind(_BATCH, calls, "postgres"))
    return {
        "claim_finish_vs_procrastinate": numbers.ratio(drained(one), drained(calls)),
        "append_batch_vs_procrastinate": numbers.ratio(*appended),
        "growth_1m_vs_0": _worst(numbers, lambda place: (_finished(1_000_000, place), _finished(0, place))),
        "one_record_10k_vs_1": _worst(
            numbers,
            *(
                lambda place, what=what: (_behind(10_000, what, place), _behind(1, what, place))
                for what in history.WAYS
            ),
        ),
        "claim_finish_4_consumers_vs_procrastinate": numbers.ratio(drained(one, 4), drained(calls, 4)),
        "two_stages_vs_procrastinate": numbers.ratio(drained(two), drained(calls)),
        "whole_round_vs_procrastinate_worker": numbers.ratio(drained(whole), drained(theirs)),
        "claim_finish_vs_pgqueuer": numbers.ratio(drained(one), drained("pgqueuer, calls")),
        "growth_100k_vs_0": _worst(numbers, lambda place: (_finished(100_000, place), _finished(0, place))),
    }


def _worst(numbers: Numbers[Kind], *pairs: Callable[[str], tuple[Kind, Kind]]) -> float | None:
    each = [numbers.ratio(*pair(place)) for pair in pairs for place in ("postgres", "sqlite")]
    return max((one for one in each if one is not None), default=None)


def _finished(rows: int, database: str) -> Kind:
    return Kind("claim", f"ours, {rows:,} finished rows", database, unit="ms")


def _behind(behind: int, what: str, database: str) -> Kind:
    return Kind(f"one record, {what}", f"ours, {behind:,} changes behind it", database, unit="ms")


async def _append(name: str, url: str, sizes: Sizes, numbers: Numbers[Kind]) -> None:
    system = SYSTEMS[name]
    async with _opened(system.on(url)) as queue:
        numbers.note(Kind(_ONE, name, system.database), await _rate(queue.append, sizes.singles))
        if system.batches:
            numbers.note(Kind(_BATCH, name, system.database), await _rate(queue.append_batches, sizes.batched))


async def _rate(append: Callable[[int], Awaitable[None]], rows: int) -> float:
    began = time.perf_counter()
    await append(rows)
    return rows / (time.perf_counter() - began)


async def _fill(name: str, url: str, rows: int) -> None:
    async with _opened(SYSTEMS[name].on(url)) as queue:
        await queue.append_batches(rows - rows % BATCH)
        await queue.append(rows % BATCH)


def _rate_of(moments: list[float], rows: int) -> float:
    if len(moments) != rows:
        raise RuntimeError(f"{len(moments)} rows were finished, and {rows} had been there")
    return (rows - 1) / (moments[-1] - moments[0])


async def _history(place: Ground, database: str, sizes: Sizes, numbers: Numbers[Kind], said: Said) -> None:
    """What a claim costs, with more and more finished rows around it."""
    many: dict[int, Database] = {}
    for rows in sizes.finished:
        said(f"{database}: {rows:,} finished rows")
        url = place.url(database, f"finished-{rows}")
        await asyncio.to_thread(migrate, url)
        await asyncio.to_thread(history.finish_many, url, rows)
        many[rows] = Database(url)
    # A claim is quick, so there may be more rounds; there and back, so that none is always the first.
    for number in _rounds(replace(sizes, rounds=sizes.rounds * 3)):
        for rows, db in sorted(many.items(), reverse=number % 2 == 0):
            numbers.note(_finished(rows, database), await history.claim_cost(db, sizes.claims))
    for db in many.values():
        await db.close()


async def _one_record(place: Ground, database: str, sizes: Sizes, numbers: Numbers[Kind], said: Said) -> None:
    """What one record costs, with many changes of it behind the one that is being worked."""
    cases: dict[int, Database] = {}
    for behind in sizes.behind:
        url = place.url(database, f"behind-{behind}")
        await asyncio.to_thread(migrate, url)
        cases[behind] = Database(url)
    for _ in _rounds(sizes):
        for behind, db in cases.items():
            said(f"{database}: {behind:,} changes behind one record")
            for what, cost in (await history.one_record(db, behind, samples=sizes.samples)).items():
                numbers.note(_behind(behind, what, database), cost)
    for db in cases.values():
        await db.close()


def _rounds(sizes: Sizes) -> Iterator[int]:
    began = time.monotonic()
    for number in range(1, sizes.rounds + 1):
        yield number
        if time.monotonic() - began > sizes.seconds:
            return


@asynccontextmanager
async def _opened(queue: Queue) -> AsyncIterator[Queue]:
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()
