"""Many rows in one INSERT, built once whatever their number.

On Postgres they are one JSON value. With a parameter for each value the driver and the server read a new text of many
kilobytes for each batch, which took most of the time of an append. SQLite reads that text in no time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ARRAY, Column, Float, Table, Text, any_, bindparam, cast, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from listener.database import Tx


def many(
    dialect: str, table: Table, names: Sequence[str], *, after: Mapping[str, str] | None = None, **constants: Any
) -> Any:
    """INSERT into those columns what `given` gives, and the constants; ON CONFLICT may follow, in that dialect.

    `after`: columns that become now plus the seconds which another name of the rows holds.
    """
    after = after or {}
    if dialect == "sqlite":
        moments = {name: func.db_after(bindparam(seconds)) for name, seconds in after.items()}
        return sqlite.insert(table).values(**constants, **moments)
    shape = [column(name, table.c[name].type) for name in names] + [column(one, Float) for one in after.values()]
    document = cast(bindparam("rows", type_=Text), JSONB)
    rows_ = func.jsonb_to_recordset(document).table_valued(*shape, name="given").render_derived(with_types=True)
    values = [*(rows_.c[name] for name in names), *constants.values()]
    values += [func.db_after(rows_.c[seconds]) for seconds in after.values()]
    return postgresql.insert(table).from_select([*names, *constants, *after], select(*values))


def given(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> Any:
    """The parameters of such an INSERT for these rows."""
    return rows if tx.dialect.name == "sqlite" else {"rows": json.dumps(rows, default=_moment)}


def one_of(dialect: str, what: Column[Any], name: str) -> Any:
    """Whether the column is one of the values that go by that name; on Postgres an array, for the same reason."""
    if dialect == "sqlite":
        return what.in_(bindparam(name, expanding=True))
    return what == any_(bindparam(name, type_=ARRAY(what.type)))


def _moment(value: object) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"{type(value).__name__} has no place in a row")
    return value.astimezone(UTC).isoformat()
