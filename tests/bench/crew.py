"""Consumers in processes of their own, as workers are run; they stay for all rounds, so that no start is measured."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

import structlog

from tests.bench.queues import Queue
from tests.bench.systems import SYSTEMS

_PATIENCE = 120.0


class Crew:
    """Up to so many consumers at once."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        """`pipes`: one to each process."""
        self._pipes = pipes

    def drain(self, system: str, url: str, *, consumers: int) -> list[float]:
        """The moments, sorted, at which a row was finished, by a clock that all processes share; connecting is over."""
        crew = self._pipes[:consumers]
        for pipe in crew:
            pipe.send((system, url))
        for pipe in crew:
            _answer(pipe)
        for pipe in crew:
            pipe.send("go")
        return sorted(moment for pipe in crew for moment in _answer(pipe))


@contextmanager
def crew(size: int) -> Iterator[Crew]:
    """So many processes, ended at the end."""
    context = get_context("spawn")
    pairs = [context.Pipe() for _ in range(size)]
    members = [context.Process(target=_work, args=(theirs,), daemon=True) for _ours, theirs in pairs]
    for member in members:
        member.start()
    for _ours, theirs in pairs:
        theirs.close()
    try:
        yield Crew([ours for ours, _theirs in pairs])
    finally:
        for ours, _theirs in pairs:
            ours.close()
        for member in members:
            member.join(timeout=5)
            if member.is_alive():
                member.kill()
                member.join()


def _answer(pipe: Connection) -> list[float]:
    if not pipe.poll(_PATIENCE):
        raise TimeoutError("a consumer does not answer")
    failed, moments = pipe.recv()
    if failed:
        raise RuntimeError(f"a consumer failed: {failed}")
    return list(moments)


def _work(pipe: Connection) -> None:
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with asyncio.Runner() as runner:
        while True:
            try:
                system, url = pipe.recv()
            except EOFError:
                return
            try:
                queue = SYSTEMS[system].on(url)
                runner.run(queue.open())
                pipe.send((None, []))
                pipe.recv()
                pipe.send((None, runner.run(_drained(queue))))
            except Exception as error:
                pipe.send((f"{type(error).__name__}: {error}", []))


async def _drained(queue: Queue) -> list[float]:
    moments: list[float] = []
    await queue.drain(lambda: moments.append(time.perf_counter()))
    await queue.close()
    return moments
