"""The one database, SQLite on one host or Postgres: its transactions are opened here and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import column, table

from listener import disk, schema
from listener.engines import AtHand, async_url, postgres_engine, sqlite_engines
from listener.errors import Conflict, Outage, SetupError

Tx = AsyncConnection
"""A connection inside a transaction. Who opened it decides when it commits."""

_MIGRATE = "run `fusion-sync migrate`"


class Database:
    """The outbox's database. `async with database.writing() as tx:` is one transaction; leaving it commits.

    Every error that means "not there now" comes out as `Outage`; a broken rule of the tables as `Conflict`: then
    nothing of that transaction was written.
    """

    def __init__(self, url: str, *, patience: float = 30.0, mounts: disk.Mounts = disk.mounts) -> None:
        """`url` as in DATABASE_URL; raises `SetupError` if it names neither SQLite nor Postgres.

        `patience`: seconds that a transaction on Postgres may take in all.
        """
        self.url = async_url(url)
        self._patience = patience
        self._mounts = mounts
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._single: AtHand | None = None
        if self.is_sqlite:
            self._writer, self._reader = sqlite_engines(self.url)
        else:
            self._writer = self._reader = postgres_engine(url)
            self._single = AtHand(postgres_engine(url, commits_each_statement=True))

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        """A transaction that may write; on SQLite it holds the write lock from its first instruction."""
        async with _translated(), self._in_time(), self._writer.begin() as tx:
            yield tx

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[Tx]:
        """A transaction of one statement, which Postgres commits with it: one round trip instead of three.

        A second statement there would be a transaction of its own.
        """
        if self._single is None:
            async with self.writing() as tx:
                yield tx
            return
        async with _translated(), self._in_time(), self._single.connection() as tx:
            yield tx

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """A transaction that only reads, and does not wait for writers."""
        async with _translated(), self._in_time(), self._reader.connect() as tx:
            yield tx

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Cut off what something between us and the database has swallowed: TCP is content, and waits for ever.

        SQLite's statements end by themselves (`busy_timeout`), in a thread that cannot be cut off.
        """
        limit = asyncio.timeout(None if self.is_sqlite else self._patience)
        try:
            async with limit:
                yield
        except (TimeoutError, DBAPIError):
            if not limit.expired():
                raise
            # The other connections lead to the same place.
            await self.close()
            raise Outage(
                "the database did not answer in time", hint="is it reachable, and not behind a proxy that hangs?"
            ) from None

    async def check(self) -> None:
        """Raise `SetupError` unless the schema is the one that this code was written for, on a disk that keeps it."""
        self._refuse_a_network_disk()
        revision = table("alembic_version", column("version_num"))
        found: str | None = None
        try:
            async with self.reading() as tx:
                found = (await tx.execute(select(revision.c.version_num))).scalar_one_or_none()
        except (OperationalError, ProgrammingError):
            found = None
        except Outage:
            if not self.is_sqlite:
                raise
        except DatabaseError as error:
            raise SetupError(
                f"the database {self.name} cannot be read ({type(error.orig).__name__})",
                hint="is it a database of this program, and whole? `fusion-sync doctor --database`",
            ) from error
        if found is None:
            raise SetupError(f"the database {self.name} has no tables yet", hint=_MIGRATE)
        if found != schema.VERSION:
            raise SetupError(
                f"the database {self.name} is at revision {found}, this program needs {schema.VERSION}",
                hint=_MIGRATE if found < schema.VERSION else "install the newer version of this program",
            )

    @property
    def file(self) -> Path | None:
        """SQLite's file; None on Postgres."""
        return Path(self.url.database or "") if self.is_sqlite else None

    @property
    def name(self) -> str:
        """The database as a person would name it, without credentials."""
        return self.url.render_as_string(hide_password=True)

    async def close(self) -> None:
        """Give all connections back; the next transaction opens new ones."""
        if self._single is not None:
            await self._single.close()
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()

    def _refuse_a_network_disk(self) -> None:
        mount = disk.mount_of(self.file, self._mounts()) if self.file else None
        if mount is not None and mount.is_network:
            raise SetupError(
                f"the database file {self.file} lies on a network file system ({mount.kind})",
                hint="put it on a disk of this host, or use Postgres: SQLite's locks do not hold over a network",
            )


def upsert(tx: Tx, rows: Any) -> sqlite.Insert | postgresql.Insert:
    """INSERT into a table, with ON CONFLICT to follow, in the dialect of the connection."""
    return sqlite.insert(rows) if tx.dialect.name == "sqlite" else postgresql.insert(rows)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict(f"a rule of the tables was hit ({type(error.orig).__name__})") from error
    except OperationalError as error:
        raise Outage(
            f"the database is not answering ({type(error.orig).__name__})",
            hint="is it running, reachable, and is there room on its disk? `fusion-sync doctor --database`",
        ) from error
    except PoolTimeout as error:
        raise Outage("no connection to the database came free", hint="does another process hold it locked?") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Outage("the connection to the database was lost", hint="it is opened again by itself") from error
        raise
