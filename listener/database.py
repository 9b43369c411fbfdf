"""Connections to the one database: SQLite on one host, or Postgres. Transactions are opened here and nowhere else.

SQLite has one writer: its engine has one connection and begins with BEGIN IMMEDIATE, since a deferred transaction that
turns into a write fails at once when another holds the lock, whatever the busy timeout. Readers have an engine of their
own that cannot write. `synchronous=FULL`: WAL with NORMAL may lose the last commits when the power fails, and a lost
"the portal has it" is a second visit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql import column, table

from listener import disk, schema
from listener.errors import Conflict, Outage, SetupError

Tx = AsyncConnection
"""A connection inside a transaction. Who opened it decides when it commits."""

_IDLE = 1.0
"""Seconds after which an unused connection to Postgres is asked whether it still lives."""

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
        prepares = not _is_behind_pgbouncer(url)
        self._writer, self._reader = (
            _sqlite_engines(self.url) if self.is_sqlite else _postgres_engines(self.url, prepares=prepares)
        )

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        """A transaction that may write; on SQLite it holds the write lock from its first instruction."""
        async with _translated(), self._in_time(), self._writer.begin() as tx:
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
            await self._writer.dispose()
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
        """Give all connections back."""
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


def async_url(url: str) -> URL:
    """The URL with the driver that we use: `sqlite+aiosqlite` or `postgresql+psycopg`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SetupError("DATABASE_URL is not a database URL", hint="use sqlite:///FILE or postgresql://…") from None
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise SetupError("DATABASE_URL names no file", hint="use sqlite:///FILE: the outbox must outlive us")
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg").difference_update_query(["pgbouncer"])
        case other:
            raise SetupError(f"DATABASE_URL names {other}, which is not supported", hint="use SQLite or Postgres")


def _is_behind_pgbouncer(url: str) -> bool:
    return make_url(url).query.get("pgbouncer") == "true"


def sync_url(url: str) -> URL:
    """The same database for alembic, which is not async."""
    parsed = async_url(url)
    return parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed


def upsert(tx: Tx, rows: Any) -> sqlite.Insert | postgresql.Insert:
    """INSERT into a table, with ON CONFLICT to follow, in the dialect of the connection."""
    return sqlite.insert(rows) if tx.dialect.name == "sqlite" else postgresql.insert(rows)


def _sqlite_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    folder = Path(url.database or "").parent
    if not folder.is_dir():
        raise SetupError(f"the folder of the database file {url.database} does not exist", hint="create it")
    writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=60)
    reader = create_async_engine(url, pool_size=4, max_overflow=4)
    for engine, only_read in ((writer, False), (reader, True)):
        _on_connect(engine, only_read=only_read)

    @event.listens_for(writer.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return writer, reader


def _on_connect(engine: AsyncEngine, *, only_read: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(dbapi_connection: Any, _record: Any) -> None:
        # The driver would begin deferred transactions of its own; we say when, and how.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 30000")
        if only_read:
            cursor.execute("PRAGMA query_only = ON")
        else:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


def _postgres_engines(url: URL, *, prepares: bool) -> tuple[AsyncEngine, AsyncEngine]:
    # An idle transaction holds back vacuum, and the claim slows with every dead row: none may linger.
    limits = "-c statement_timeout=10000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000"
    engine = create_async_engine(
        url,
        pool_size=5,
        max_overflow=5,
        connect_args={
            "options": f"{limits} -c timezone=UTC",
            "connect_timeout": 10,
            # Planning a claim takes longer than running it. Behind PgBouncer in transaction mode a prepared statement
            # may meet a connection that does not know it.
            "prepare_threshold": 5 if prepares else None,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 15000,
        },
    )
    _ping_after_idleness(engine.sync_engine)
    return engine, engine


def _ping_after_idleness(engine: Engine) -> None:
    """Replace a connection that died while nobody used it; one used a moment ago is not worth a round trip."""

    @event.listens_for(engine, "checkin")
    def _back(_connection: Any, record: Any) -> None:
        record.info["back_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _out(connection: Any, record: Any, _proxy: Any) -> None:
        now = time.monotonic()
        if now - record.info.get("back_at", now) < _IDLE:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


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
