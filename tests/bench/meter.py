"""What a visit costs: time, processor seconds of all processes that take part, and the memory of those beside ours."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import psutil
from playwright.async_api import Playwright, async_playwright

_MB = 2**20


@dataclass(slots=True)
class Cost:
    """Of one visit. `mb`: 0 where no other process takes part."""

    ms: float = 0.0
    cpu: float = 0.0
    mb: float = 0.0


@dataclass(slots=True)
class Meter:
    """Measures this process and *others* with all that they start."""

    others: set[psutil.Process] = field(default_factory=set)

    @contextmanager
    def running(self, cost: Cost) -> Iterator[None]:
        """Add what the body takes."""
        before, own, began = self._others_cpu(), time.process_time(), time.perf_counter()
        yield
        cost.ms += (time.perf_counter() - began) * 1000
        cost.cpu += time.process_time() - own + self._others_cpu() - before

    def weigh(self, cost: Cost) -> None:
        """Note the memory that is in use now, with what is shared counted once (PSS)."""
        for process in self._tree():
            with suppress(psutil.Error):
                cost.mb += process.memory_full_info().pss / _MB

    def _others_cpu(self) -> float:
        seconds = 0.0
        for process in self._tree():
            with suppress(psutil.Error):
                used = process.cpu_times()
                seconds += used.user + used.system
        return seconds

    def _tree(self) -> Iterator[psutil.Process]:
        for process in self.others:
            yield process
            with suppress(psutil.Error):
                yield from process.children(recursive=True)


@contextmanager
def started() -> Iterator[set[psutil.Process]]:
    """Fills with the processes that the body started directly."""
    before, found = set(psutil.Process().children()), set[psutil.Process]()
    yield found
    found |= set(psutil.Process().children()) - before


@asynccontextmanager
async def a_playwright() -> AsyncIterator[tuple[Playwright, Meter]]:
    """A driver of one's own, and what measures it."""
    with started() as others:
        playwright = await async_playwright().start()
    yield playwright, Meter(others)
    await playwright.stop()
