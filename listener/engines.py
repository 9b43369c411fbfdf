"""Engines for the two databases, each with the settings without which it would not keep its promises.

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

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from listener.errors import SetupError

_IDLE = 1.0
"""Seconds after which an unused connection to Postgres is asked whether it still lives."""


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


def sqlite_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    """The one that writes, and the one that only reads. Raises `SetupError` where the file's folder is missing."""
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


def postgres_engine(url: str, *, commits_each_statement: bool = False) -> AsyncEngine:
    """One for `url` as in DATABASE_URL; with `pgbouncer=true` in it, statements are not prepared."""
    settings = {
        # An idle transaction holds back vacuum, and the claim slows with every dead row: none may linger.
        "statement_timeout": "10000",
        "lock_timeout": "5000",
        "idle_in_transaction_session_timeout": "30000",
        "timezone": "UTC",
        # A young table without statistics looks small enough to be read whole for every claim (seen: 0.2 ms at 1,400
        # rows, and growing). And to compile such a plan takes longer than to run it.
        "enable_seqscan": "off",
        "jit": "off",
    }
    engine = create_async_engine(
        async_url(url),
        pool_size=5,
        max_overflow=5,
        isolation_level="AUTOCOMMIT" if commits_each_statement else None,
        pool_reset_on_return=None if commits_each_statement else "rollback",
        connect_args={
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            "connect_timeout": 10,
            # Planning a claim takes longer than running it. Behind PgBouncer in transaction mode a prepared statement
            # may meet a connection that does not know it.
            "prepare_threshold": None if _is_behind_pgbouncer(url) else 5,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 15000,
        },
    )
    _ping_after_idleness(engine.sync_engine)
    return engine


class AtHand:
    """Connections that stay open between uses which follow closely.

    To take one from the pool and to give it back costs as much as to run a statement on it (0.15 ms each, measured).
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """`engine`: where they come from, and go to after a while or when something goes wrong."""
        self._engine = engine
        self._free: list[tuple[AsyncConnection, float]] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """One that nobody else uses meanwhile."""
        one = await self._take()
        try:
            yield one
        except BaseException:
            await asyncio.shield(one.close())
            raise
        self._free.append((one, time.monotonic()))

    async def close(self) -> None:
        """Close all that nobody uses."""
        while self._free:
            one, _ = self._free.pop()
            await one.close()
        await self._engine.dispose()

    async def _take(self) -> AsyncConnection:
        while self._free:
            one, used_at = self._free.pop()
            if time.monotonic() - used_at < _IDLE and not one.invalidated:
                return one
            await one.close()  # the pool asks it whether it lives, before it comes out again
        return await self._engine.connect()


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
