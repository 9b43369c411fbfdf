"""What happens by itself, and when. APScheduler only wakes: what is due is in the tables, so no restart forgets it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from listener.errors import SetupError, SyncError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """Something that runs again and again, never twice at a time. `at_once`: also right after the start."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[object]]
    at_once: bool = True


class Scheduler:
    """The chores of one process. `wake(name)` runs one sooner: right now, or again as soon as it is done."""

    def __init__(self, *, give_up: Callable[[SetupError], None] | None = None) -> None:
        """`give_up` hears of what no later run would do better. Chores are code: their schedule lives in memory."""
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._give_up = give_up
        self._running: set[asyncio.Task[None]] = set()
        self._again: set[str] = set()
        self._busy: set[str] = set()
        self._stopped = False

    def add(self, chore: Chore) -> None:
        """Have it run from the start on, or from now on."""
        self._scheduler.add_job(
            self._start,
            "interval",
            args=[chore],
            seconds=chore.every.total_seconds(),
            id=chore.name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC) + (timedelta(0) if chore.at_once else chore.every),
        )

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._scheduler.start()

    def wake(self, name: str) -> None:
        """Run the chore now; if it is running, once more when it is done, since it may have looked already."""
        if name in self._busy:
            self._again.add(name)
        elif self._scheduler.running and not self._stopped and (job := self._scheduler.get_job(name)):
            job.modify(next_run_time=datetime.now(UTC))

    async def stop(self, *, grace: timedelta) -> None:
        """Start nothing more, give what runs `grace` to end, then cut it off where it awaits."""
        self._stopped = True  # at once: the scheduler ends in the loop's next turn
        self._scheduler.shutdown(wait=False)
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _start(self, chore: Chore) -> None:
        if self._stopped or chore.name in self._busy:
            return  # told apart here, since the scheduler would warn at every tick of a long round
        self._busy.add(chore.name)
        # A task of our own: the scheduler's executor would cancel its tasks at shutdown, in the middle of a visit.
        task = asyncio.create_task(self._run(chore), name=chore.name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, chore: Chore) -> None:
        try:
            await self._once(chore)
            # Here and not by the scheduler: for that the run is not over yet, and it would skip the next.
            while chore.name in self._again and not self._stopped:
                self._again.discard(chore.name)
                await self._once(chore)
        finally:
            self._busy.discard(chore.name)
            self._again.discard(chore.name)

    async def _once(self, chore: Chore) -> None:
        try:
            await chore.run()
        except SetupError as error:
            log.error("chore cannot be done as set up", chore=chore.name, why=str(error), hint=error.hint)  # noqa: TRY400
            if self._give_up is not None:
                self._give_up(error)
        except SyncError as error:
            log.warning("chore put off", chore=chore.name, why=str(error), hint=error.hint)
        except Exception:
            log.exception("chore failed", chore=chore.name)
