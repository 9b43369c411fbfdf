"""Moments in the database: aware UTC in and out, and now by the database's own clock, on SQLite and Postgres alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, GenericFunction


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment. SQLite would give it back naive; a naive one is refused on the way in."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC; SQLite stores it as text that sorts."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time has no place in the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class db_now(GenericFunction[datetime]):
    """Now, by the database's clock, to the millisecond.

    On Postgres the start of the statement: the transaction's start lies before its waits for locks, and the wall clock
    is volatile, so that no index could be used with it.
    """

    type = UtcDateTime()
    inherit_cache = True
    name = "db_now"


class db_after(GenericFunction[datetime]):
    """`db_after(seconds)`: now plus that many seconds (a float; below zero: before now), by the database's clock."""

    type = UtcDateTime()
    inherit_cache = True
    name = "db_after"


# The text is exactly what SQLAlchemy stores for a DateTime on SQLite, so that text compares as time.
_SQLITE_FORMAT = "'%Y-%m-%d %H:%M:%f000'"


@compiles(db_now, "sqlite")
def _now_sqlite(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"strftime({_SQLITE_FORMAT}, 'now')"


@compiles(db_now, "postgresql")
def _now_postgres(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return "statement_timestamp()"


@compiles(db_after, "sqlite")
def _after_sqlite(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"strftime({_SQLITE_FORMAT}, 'now', ({compiler.process(element.clauses, **kw)}) || ' seconds')"


@compiles(db_after, "postgresql")
def _after_postgres(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => ({compiler.process(element.clauses, **kw)})::float8))"
