"""A visit beside the usual way and beside no browser at all, on the same stand-in portal, in one run and in turns.

The portal runs in a process of its own. Numbers are medians of the rounds, ratios medians of each round's own.
"""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from pydantic import SecretStr

from fusion.browser import WebPortal
from fusion.chromium import find
from listener.errors import SetupError
from tests.bench.clinic import PACK, PASSWORD, USERNAME, Child, Clinic
from tests.bench.meter import Cost, Meter, a_playwright, started
from tests.bench.numbers import Numbers
from tests.bench.ways import Floor, Usual, Warm

_REST = 0.5
"""Seconds between two visits: a browser that was closed takes a while until it is gone."""
Said = Callable[[str], None]
_CHANGED, _SAME, _NEW = "one phone changed", "nothing changed", "a new patient"
_USUAL, _IDLE = "Chromium per visit", "Chromium per visit, waiting for network idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    rounds: int = 15
    latencies: tuple[int, ...] = (0, 100)


FULL = Sizes()
QUICK = Sizes(rounds=5)


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: which visit, which way, how slow the portal, in what unit."""

    what: str
    way: str
    latency_ms: int
    unit: str = "ms"


class Way(Protocol):
    """One way of doing the visit."""

    name: str

    async def visit(self, child: Child) -> Cost:
        """What it cost; raises if the chart then shows anything but what Salesforce has."""
        ...


def measure(sizes: Sizes, said: Said = lambda _line: None) -> dict[str, Any]:
    """`machine`, `rows`, `ratios` and `figures`; `said` hears what is being done."""
    return asyncio.run(_measure(sizes, said))


async def _measure(sizes: Sizes, said: Said) -> dict[str, Any]:
    numbers: Numbers[Kind] = Numbers()
    figures: dict[str, float] = {}
    program = find(os.environ.get("FUSION_SYNC_BROWSER"))
    if program is None:
        raise SetupError("there is no Chromium to measure", hint="`make test` installs one")
    async with Clinic.open() as clinic, _ways(clinic, program) as (warm, usual, idle, floor):
        children = [await clinic.child(name) for name in ("Ada", "Ben", "Cleo", "Dov")]
        for latency in sizes.latencies:
            await clinic.latency(latency)
            # The first visit logs in, and finds every cache cold.
            await _visit(clinic, warm, children[0])
            for number in range(1, sizes.rounds + 1):
                said(f"{latency} ms, round {number} of {sizes.rounds}")
                ways: Sequence[Way] = (usual, warm, floor, idle)
                for way, child in zip(ways, children, strict=True):
                    if way is idle and number > sizes.rounds // 3:
                        continue
                    _note(numbers, Kind(_CHANGED, way.name, latency), await _visit(clinic, way, child))
                same = await warm.look(children[1])
                _note(numbers, Kind(_SAME, warm.name, latency), same)
                new = await warm.make(clinic.newcomer())
                _note(numbers, Kind(_NEW, warm.name, latency), new)
        await clinic.latency(0)
        figures["changed_requests"] = await _requests(clinic, lambda: _visit(clinic, warm, children[1]))
        figures["unchanged_requests"] = await _requests(clinic, lambda: warm.look(children[1]))
        figures["usual_requests"] = await _requests(clinic, lambda: _visit(clinic, usual, children[0]))
    return {"machine": _machine(), "rows": numbers.rows(), "ratios": ratios(numbers), "figures": figures}


def ratios(numbers: Numbers[Kind]) -> dict[str, float | None]:
    """How many times as much the one takes as the other, for the visit with one changed phone."""

    def of(one: str, other: str, latency: int, unit: str = "ms") -> float | None:
        return numbers.ratio(Kind(_CHANGED, one, latency, unit), Kind(_CHANGED, other, latency, unit))

    return {
        "usual_vs_warm_0ms": of(_USUAL, Warm.name, 0),
        "usual_vs_warm_100ms": of(_USUAL, Warm.name, 100),
        "cpu_usual_vs_warm": of(_USUAL, Warm.name, 0, "CPU s"),
        "warm_vs_floor_100ms": of(Warm.name, Floor.name, 100),
        "idle_vs_warm_0ms": of(_IDLE, Warm.name, 0),
        "idle_vs_warm_100ms": of(_IDLE, Warm.name, 100),
    }


@asynccontextmanager
async def _ways(clinic: Clinic, program: str) -> AsyncIterator[tuple[Warm, Usual, Usual, Floor]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        portal = WebPortal(
            url=clinic.url,
            username=USERNAME,
            password=SecretStr(PASSWORD),
            pack=PACK,
            evidence=Path(folder),
            executable=program,
        )
        with started() as others:
            await portal.__aenter__()
        try:
            async with a_playwright() as (playwright, meter), _http() as http:
                floor = Floor(clinic, http)
                await floor.log_in()
                usual, idle = (Usual(clinic, playwright, meter, program, idle=idle) for idle in (False, True))
                yield Warm(clinic, portal, Meter(others)), usual, idle, floor
        finally:
            await portal.__aexit__(None, None, None)


def _http() -> aiohttp.ClientSession:
    """One that keeps cookies also of a host that has no name."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def _visit(clinic: Clinic, way: Way, child: Child) -> Cost:
    """A visit with a phone that changed just now; what the portal then has is asked of the portal itself."""
    phone = clinic.change_phone(child)
    # What the one before left to be tidied up is not this one's cost.
    await asyncio.sleep(_REST)
    cost = await way.visit(child)
    kept = (await clinic.chart(child.portal_id))["Contacts"][0]["Phone"]
    if kept != phone:
        raise RuntimeError(f"{way.name}: the portal does not have the phone that was to be saved")
    return cost


async def _requests(clinic: Clinic, visit: Callable[[], Any]) -> int:
    before = await clinic.requests()
    await visit()
    return await clinic.requests() - before


def _note(numbers: Numbers[Kind], kind: Kind, cost: Cost) -> None:
    numbers.note(kind, cost.ms)
    numbers.note(Kind(kind.what, kind.way, kind.latency_ms, "CPU s"), cost.cpu)
    if cost.mb:
        numbers.note(Kind(kind.what, kind.way, kind.latency_ms, "MB"), cost.mb)


def _machine() -> dict[str, Any]:
    """The machine. `load`: how many processes wanted its cores in the last minute."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "playwright": metadata.version("playwright"),
    }
