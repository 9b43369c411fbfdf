"""The real parts behind wrappers that name the points which a process passes, and end it at one of them.

A point lies before and after every commit (named by what was written in it), every call of Salesforce and of the
portal, every batch of the stream, and (in `api_portal`) every click that saves.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event

from fusion.patient import Edit, Hit, Identity, Patient, Section, Shown
from fusion.portal import AboutToSave, Portal
from listener.change import RecordId
from listener.database import Database, Tx
from listener.errors import LeaseLost
from listener.org import FieldDescription, Org, Record, RecordError, Touched
from listener.stream import Batch, PositionLost

Passed = Callable[[str], None]
T = TypeVar("T")


class Points:
    """What was passed, in order, in a file; and the end at one of them."""

    def __init__(self, passes: Path, *, fatal: tuple[str, int] | None, by: signal.Signals) -> None:
        """`fatal`: the point and the pass at which the process sends itself the signal `by`."""
        self._file = os.open(passes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._seen: Counter[str] = Counter()
        self._fatal = fatal
        self._signal = by

    def passed(self, point: str) -> None:
        """Note it. If it is the fatal one, this is the last thing the process does, or does for a while."""
        self._seen[point] += 1
        os.write(self._file, f"{point}\n".encode())
        if self._fatal == (point, self._seen[point]):
            os.kill(os.getpid(), self._signal)


class WatchedDatabase(Database):
    """The database, each of its commits a point. `fenced` False: whoever once held a row may still write it.

    `full_while`: a file; while it is there, SQLite's file has no room to grow.
    """

    def __init__(
        self, url: str, passed: Passed, *, patience: float, fenced: bool = True, full_while: Path | None = None
    ) -> None:
        super().__init__(url, patience=patience)
        self._passed = passed
        self._fenced = fenced
        self._full_while = full_while

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        """As in `Database`."""
        said: list[tuple[str, str]] = []

        def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
            said.append((" ".join(statement.split()), repr(parameters)))
            return self._fence_or_none(statement), parameters

        async with super().writing() as tx:
            if self._full_while is not None:
                # No less than there are: then the next new page is one too many.
                pages = 1 if self._full_while.exists() else 2**30
                await tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            with _heard(tx, "before_cursor_execute", hear):
                yield tx
            name = written_in(said)
            if name:
                self._passed(f"commit:{name}:before")
        if name:
            self._passed(f"commit:{name}:after")

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[Tx]:
        """As in `Database`. On Postgres `before` is before the statement; a claim that finds nothing passes it too."""
        if self.is_sqlite:
            async with self.writing() as tx:
                yield tx
            return
        done: list[str] = []

        def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
            name = written_in([(" ".join(statement.split()), repr(parameters))])
            if name:
                self._passed(f"commit:{name}:before")
            return self._fence_or_none(statement), parameters

        def hear_back(_c: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
            name = written_in([(" ".join(statement.split()), repr(parameters))])
            if name and cursor.rowcount:
                done.append(name)

        async with super().at_once() as tx:
            with _heard(tx, "before_cursor_execute", hear), _heard(tx, "after_cursor_execute", hear_back):
                yield tx
        for name in done:
            self._passed(f"commit:{name}:after")

    def _fence_or_none(self, statement: str) -> str:
        return statement if self._fenced else statement.replace("outbox.fence = ", "outbox.fence >= ")


@contextmanager
def _heard(tx: Tx, what: str, hear: Callable[..., Any]) -> Iterator[None]:
    """Hear of what is executed, on a connection that others use after us."""
    connection = tx.sync_connection
    assert connection is not None
    event.listen(connection, what, hear, retval=what.startswith("before"))
    try:
        yield
    finally:
        event.remove(connection, what, hear)


_KINDS = (
    # The first that fits names the commit; a transaction that found nothing to do has no name.
    ("append", r"INSERT INTO change\b"),
    ("intend", r"UPDATE outbox SET intent_at="),
    ("link", r"INSERT INTO link\b"),
    ("pushed", r"UPDATE outbox SET .*\bpushed_at="),
    ("opened", r"UPDATE gate SET .*\breason="),
    ("probe", r"UPDATE gate\b"),
    ("claim", r"INSERT INTO attempt\b"),
    ("parked", r"UPDATE outbox SET state=.*'PARKED'"),
    ("settled", r"UPDATE outbox SET state=.*\bfinished_at=.*'DONE'"),
    ("released", r"UPDATE outbox SET state="),
    ("shut", r"INSERT INTO gate\b"),
    ("beat", r"UPDATE outbox SET leased_until=.*\bclaimed_at >"),
    ("position", r"INSERT INTO stream\b"),
)


def written_in(said: Sequence[tuple[str, str]]) -> str:
    """What a transaction was about, by its statements (text and parameters); "" if it wrote nothing of note."""
    texts = [f"{statement} {parameters}" for statement, parameters in said]
    return next((name for name, pattern in _KINDS if any(re.search(pattern, text) for text in texts)), "")


class WatchedOrg:
    """`Org`, with a point before and after each call: `org.read`, `org.update`."""

    def __init__(self, org: Org, passed: Passed) -> None:
        self._org = org
        self._passed = passed

    async def read(
        self, object_name: str, record_ids: Sequence[RecordId], fields: Sequence[str]
    ) -> dict[RecordId, Record]:
        return await _between("org.read", self._passed, lambda: self._org.read(object_name, record_ids, fields))

    async def update(self, object_name: str, values: Mapping[RecordId, Record]) -> dict[RecordId, RecordError | None]:
        return await _between("org.update", self._passed, lambda: self._org.update(object_name, values))

    def changed_since(
        self, object_name: str, since: datetime, until: datetime, *, where: str | None = None
    ) -> AsyncIterator[Touched]:
        return self._org.changed_since(object_name, since, until, where=where)

    def deleted_since(self, object_name: str, since: datetime, until: datetime) -> AsyncIterator[Touched]:
        return self._org.deleted_since(object_name, since, until)

    async def describe(self, object_name: str) -> dict[str, FieldDescription]:
        return await self._org.describe(object_name)

    async def user_id(self) -> str:
        return await self._org.user_id()

    async def now(self) -> datetime:
        return await self._org.now()


class WatchedPortal:
    """`Portal`, with a point before and after each call, and `save:asked` where a click is about to ask for leave."""

    def __init__(self, portal: Portal, passed: Passed, *, fenced: bool, intending: bool) -> None:
        self._portal = portal
        self._passed = passed
        self._fenced = fenced
        self._intending = intending

    async def find(self, patient: Patient) -> Sequence[Hit]:
        return await _between("portal.find", self._passed, lambda: self._portal.find(patient))

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        return await _between("portal.read", self._passed, lambda: self._portal.read(portal_id, wary=wary))

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        leave = self._leave(about_to_save)
        return await self._saving("portal.create", lambda: self._portal.create(patient, about_to_save=leave))

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        leave = self._leave(about_to_save)
        return await self._saving(
            "portal.update",
            lambda: self._portal.update(portal_id, edits, expect=expect, about_to_save=leave, wary=wary),
        )

    async def _saving(self, name: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self._fenced:
            return await _between(name, self._passed, call)
        # Whoever has no fence does not hear that its time is over, either.
        saving = asyncio.create_task(call())
        while not saving.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(saving)
        return saving.result()

    def _leave(self, about_to_save: AboutToSave) -> AboutToSave:
        async def asked() -> None:
            self._passed("save:asked")
            if not self._intending:
                return
            try:
                await about_to_save()
            except LeaseLost:
                if self._fenced:
                    raise

        return asked


async def _between(name: str, passed: Passed, call: Callable[[], Awaitable[T]]) -> T:
    passed(f"{name}:before")
    result = await call()
    passed(f"{name}:after")
    return result


async def watched(stream: AsyncIterator[Batch | PositionLost], passed: Passed) -> AsyncIterator[Batch | PositionLost]:
    """The stream; `after` is when the reader asks for more, and so has kept the batch."""
    async for item in stream:
        passed("stream.batch:before")
        yield item
        passed("stream.batch:after")
