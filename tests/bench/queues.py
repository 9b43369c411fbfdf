"""What every queue under measurement can do; the same moves, so that only the queues differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

BATCH = 100
"""Rows of one batch. The stream's batches are of about this size after an outage; alone, a change comes by itself."""


class Queue(Protocol):
    """One queue on one database. Every row is another record's, and working it is no work at all."""

    async def prepare(self) -> None:
        """Make its tables, in an empty database."""
        ...

    async def open(self) -> None:
        """Connect, so that the first measured call need not."""
        ...

    async def append(self, rows: int) -> None:
        """Add rows, each committed before the next."""
        ...

    async def append_batches(self, rows: int) -> None:
        """Add rows, `BATCH` at a time in one transaction each."""
        ...

    async def drain(self, done: Callable[[], None]) -> None:
        """Claim and finish row by row until none is due, each step committed; `done` is called after each."""
        ...

    async def close(self) -> None:
        """Give all connections back."""
        ...
