"""How changes arrive: kept once each, folded into one waiting row a record, with the position of their stream.

On Postgres that is one statement, on SQLite one for each of the three. The changes are one JSON value: with a parameter
for each cell, driver and server would read a new text of many kilobytes for each batch, which took most of the time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Integer, Text, bindparam, case, cast, column, func, literal_column, select, text, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from listener import positions
from listener.change import Change, Source
from listener.database import Tx
from listener.positions import Position
from listener.schema import change, outbox

PRIORITY = {Source.MANUAL: 0, Source.STREAM: 10, Source.SWEEP: 20, Source.BACKFILL: 30}
"""Lower is sooner: a person waits for a retry, nobody for a backfill."""

_NOW = func.db_now()


async def keep(tx: Tx, changes: Sequence[Change], position: Position | None, *, settle: timedelta) -> int:
    """The number of changes that were new; see `outbox.append`."""
    if not changes:
        if position is not None:
            await positions.move(tx, position)
        return 0
    on_sqlite = tx.dialect.name == "sqlite"
    values = {"settle": settle.total_seconds(), "rows": _rows(changes, position, _as_text if on_sqlite else _as_iso)}
    if on_sqlite:
        await tx.execute(_FOLD, values)
        new: int = (await tx.execute(_KEEP, values)).rowcount
        if position is not None:
            await positions.move(tx, position)
        return new
    moves = {} if position is None else positions.values(position)
    kept: int = (await tx.execute(_WHOLE[position is not None], values | moves)).scalar_one()
    return kept


def _rows(changes: Sequence[Change], position: Position | None, moment: Any) -> str:
    rows = {
        one.dedupe_key: {
            "dedupe_key": one.dedupe_key,
            "channel": position.channel if position else None,
            "object_name": one.object_name,
            "record_id": one.record_id,
            "kind": one.kind,
            "fields": sorted(one.fields),
            "changed_at": moment(one.changed_at),
            "source": one.source,
            "priority": PRIORITY[one.source],
            "place": place,
        }
        for place, one in enumerate(changes)
    }
    return json.dumps(list(rows.values()))


def _as_iso(moment: datetime) -> str:
    return moment.isoformat()


def _as_text(moment: datetime) -> str:
    """As `UtcDateTime` is stored on SQLite."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


_COLUMNS = ("dedupe_key", "channel", "object_name", "record_id", "kind", "fields", "changed_at", "source")


def _fresh(dialect: str) -> Any:
    """Those of the changes that are not known yet."""
    rows = bindparam("rows", type_=Text)
    if dialect == "postgresql":
        shape = [column(name, change.c[name].type) for name in _COLUMNS]
        shape += [column(name, Integer) for name in ("priority", "place")]
        given: Any = func.jsonb_to_recordset(cast(rows, JSONB)).table_valued(*shape, name="given")
        given = given.render_derived(with_types=True)
    else:
        each = func.json_each(rows).table_valued("value", name="each")
        cells = [func.json_extract(each.c.value, f"$.{name}").label(name) for name in (*_COLUMNS, "priority", "place")]
        given = select(*cells).subquery("given")
    # Not NOT EXISTS: Postgres would make a join of it, and read all changes there are for one that is new. Nor IS NULL:
    # it expects that of one in 200, and would compare each change with each row.
    known = select(change.c.id).where(change.c.dedupe_key == given.c.dedupe_key).scalar_subquery()
    return select(given).where((known > 0).is_not(true()))


def _folded(dialect: str, fresh: Any) -> Any:
    """Each record's one waiting row, made or added to; in order, so that two listeners lock alike."""
    due_at = func.db_after(bindparam("settle"))
    each = {
        "object_name": func.min(fresh.c.object_name),
        "record_id": fresh.c.record_id,
        "state": literal_column("'PENDING'"),
        "priority": func.min(fresh.c.priority),
        "due_at": due_at,
        "changes": func.count(),
        "changed_at": func.max(fresh.c.changed_at),
        "created_at": _NOW,
    }
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    rows = select(*each.values()).group_by(fresh.c.record_id).order_by(fresh.c.record_id)
    fold: Any = insert(outbox).from_select(list(each), rows)
    new = fold.excluded
    return fold.on_conflict_do_update(
        index_elements=[outbox.c.record_id],
        index_where=text("state = 'PENDING' AND leased_until IS NULL"),
        set_={
            "changes": outbox.c.changes + new.changes,
            "changed_at": case((outbox.c.changed_at > new.changed_at, outbox.c.changed_at), else_=new.changed_at),
            "priority": _lesser(new.priority, outbox.c.priority),
            # A row that waits for its next try may be mended by this change: no reason to wait longer.
            "due_at": _lesser(new.due_at, outbox.c.due_at),
        },
    )


def _kept(fresh: Any, row_of: Any, *, where: Any = None) -> Any:
    """The changes in the order of their arrival, each with the row that it was folded into.

    A key that somebody else keeps at this very moment is an error on purpose: to begin again finds it known, and no row
    has counted it.
    """
    cells = select(*(fresh.c[name] for name in _COLUMNS), _NOW, row_of).order_by(fresh.c.place)
    if where is not None:
        cells = cells.where(where)
    return change.insert().from_select([*_COLUMNS, "received_at", "outbox_id"], cells)


def _whole(*, moves: bool) -> Any:
    """All of it for Postgres, which gives back how many were new."""
    fresh = _fresh("postgresql").cte("fresh")
    folded = _folded("postgresql", fresh).returning(outbox.c.id, outbox.c.record_id).cte("folded")
    kept = _kept(fresh, folded.c.id, where=folded.c.record_id == fresh.c.record_id).returning(change.c.id).cte("kept")
    whole = select(func.count()).select_from(kept)
    return whole.add_cte(positions.MOVE["postgresql"].cte("moved")) if moves else whole


def _waiting(fresh: Any) -> Any:
    row = select(outbox.c.id).where(
        outbox.c.record_id == fresh.c.record_id,
        outbox.c.state == literal_column("'PENDING'"),
        outbox.c.leased_until.is_(None),
    )
    return row.scalar_subquery()


def _lesser(one: Any, other: Column[Any]) -> Any:
    return case((one < other, one), else_=other)


_WHOLE = {moves: _whole(moves=moves) for moves in (False, True)}
_FRESH = _fresh("sqlite").subquery("fresh")
_FOLD = _folded("sqlite", _FRESH)
_KEEP = _kept(_FRESH, _waiting(_FRESH))
