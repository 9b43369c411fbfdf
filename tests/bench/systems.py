"""Everything that is measured side by side, by the name that the table shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import ours, rivals
from tests.bench.queues import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One queue on one kind of database. `appends`: whether its appending is measured; it differs by queue alone.

    `batches`: whether it can append many at once.
    """

    name: str
    database: str
    on: Callable[[str], Queue]
    appends: bool = True
    batches: bool = True


_ALL = (
    System(name="ours, one finish", database="postgres", on=ours.OneFinish),
    System(name="procrastinate, calls", database="postgres", on=rivals.Procrastinate),
    System(name="ours, two stages", database="postgres", on=ours.TwoStages, appends=False),
    System(name="pgqueuer, calls", database="postgres", on=rivals.Pgqueuer),
    System(name="ours, whole round", database="postgres", on=ours.Round, appends=False),
    System(name="procrastinate, worker", database="postgres", on=rivals.ProcrastinateWorker, appends=False),
    System(name="ours, one finish, SQLite", database="sqlite", on=ours.OneFinish),
    System(name="huey", database="sqlite", on=rivals.Huey, batches=False),
    System(name="ours, two stages, SQLite", database="sqlite", on=ours.TwoStages, appends=False),
    System(name="ours, whole round, SQLite", database="sqlite", on=ours.Round, appends=False),
)
# Neighbours are what is compared: a machine that is busy for a second is so for both.
SYSTEMS = {system.name: system for system in _ALL}
