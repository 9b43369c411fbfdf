"""Chores run by themselves, never two of a kind at a time, and end when they are told to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from fusion.scheduler import Chore, Scheduler
from listener.errors import Outage, SetupError

HOUR, TICK, NOW = timedelta(hours=1), timedelta(seconds=0.02), timedelta(0)


class Log:
    """What a chore did: `begun`, `ended` or `cut` each time, and how many ran at once at the most."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.deeds, self.at_once, self.most = seconds, list[str](), 0, 0
        self.begins = asyncio.Event()

    async def run(self) -> None:
        self.deeds.append("begun")
        self.begins.set()
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.deeds.append("cut")
            raise
        finally:
            self.at_once -= 1
        self.deeds.append("ended")


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Chore], Scheduler]]:
    """Starts a scheduler with one chore; it is stopped after the test."""
    made: list[Scheduler] = []

    def started(chore: Chore) -> Scheduler:
        scheduler = Scheduler()
        scheduler.add(chore)
        scheduler.start()
        made.append(scheduler)
        return scheduler

    yield started
    for scheduler in made:
        if scheduler._scheduler.running:
            await scheduler.stop(grace=NOW)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.005)


Start = Callable[[Chore], Scheduler]


async def test_a_chore_runs_at_once_and_again_and_again(start: Start) -> None:
    log = Log()
    start(Chore(name="chore", every=TICK, run=log.run))
    await until(lambda: log.deeds.count("ended") >= 3)


async def test_a_chore_that_may_wait_waits(start: Start) -> None:
    log = Log()
    start(Chore(name="chore", every=HOUR, run=log.run, at_once=False))
    await asyncio.sleep(0.05)
    assert log.deeds == []


async def test_a_chore_never_runs_twice_at_a_time(start: Start) -> None:
    log = Log(0.1)
    scheduler = start(Chore(name="chore", every=TICK, run=log.run))
    for _ in range(20):
        scheduler.wake("chore")
        await asyncio.sleep(0.02)
    assert log.deeds.count("begun") >= 2
    assert log.most == 1


async def test_who_wakes_an_idle_chore_need_not_wait_for_its_time(start: Start) -> None:
    log = Log()
    scheduler = start(Chore(name="chore", every=HOUR, run=log.run, at_once=False))
    scheduler.wake("chore")
    await until(lambda: log.deeds == ["begun", "ended"])


async def test_a_wake_during_a_run_runs_it_once_more(start: Start) -> None:
    log = Log(0.05)
    scheduler = start(Chore(name="chore", every=HOUR, run=log.run))
    await log.begins.wait()
    for _ in range(3):
        scheduler.wake("chore")
    await until(lambda: log.deeds == ["begun", "ended"] * 2)
    await asyncio.sleep(0.1)
    assert log.deeds == ["begun", "ended"] * 2


async def test_a_wake_of_what_is_not_there_is_nothing(start: Start) -> None:
    start(Chore(name="chore", every=HOUR, run=Log().run)).wake("another")


async def test_what_runs_may_end_in_the_grace_and_is_not_run_again(start: Start) -> None:
    log = Log(0.1)
    scheduler = start(Chore(name="chore", every=TICK, run=log.run))
    await log.begins.wait()
    scheduler.wake("chore")
    await scheduler.stop(grace=timedelta(seconds=20))
    assert log.deeds == ["begun", "ended"]
    await asyncio.sleep(0.1)
    assert log.deeds == ["begun", "ended"]


async def test_what_outlasts_the_grace_is_cut_off(start: Start) -> None:
    log = Log(30)
    scheduler = start(Chore(name="chore", every=TICK, run=log.run))
    await log.begins.wait()
    await scheduler.stop(grace=timedelta(seconds=0.05))
    assert log.deeds == ["begun", "cut"]


async def test_nothing_begins_once_it_is_stopped(start: Start) -> None:
    log = Log()
    scheduler = start(Chore(name="chore", every=HOUR, run=log.run, at_once=False))
    scheduler.wake("chore")
    await scheduler.stop(grace=NOW)
    scheduler.wake("chore")
    await asyncio.sleep(0.05)
    assert log.deeds == []


def failing(error: Exception) -> tuple[list[str], Callable[[], Awaitable[None]]]:
    tries: list[str] = []

    async def run() -> None:
        tries.append("tried")
        raise error

    return tries, run


@pytest.mark.parametrize("error", [Outage("the database is not answering"), ValueError("a bug")])
async def test_a_chore_that_fails_is_run_again(start: Start, error: Exception) -> None:
    tries, run = failing(error)
    start(Chore(name="chore", every=TICK, run=run))
    await until(lambda: len(tries) >= 3)


async def test_a_wrong_set_up_is_handed_to_who_can_stop_the_process() -> None:
    wrong, heard = SetupError("no such field", hint="the permission set?"), list[SetupError]()
    _, run = failing(wrong)
    scheduler = Scheduler(give_up=heard.append)
    scheduler.add(Chore(name="chore", every=HOUR, run=run))
    scheduler.start()
    await until(lambda: heard == [wrong])
    await scheduler.stop(grace=NOW)
