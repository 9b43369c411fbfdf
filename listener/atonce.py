"""A write and what follows from it: one statement on Postgres, one after another on SQLite.

On Postgres each statement is a round trip, and a transaction of several is two more; that is most of what a claim or a
save costs. What follows is written as parts of the first statement there ("Data-Modifying Statements in WITH"): all of
them see the tables as they were before, and the row as the first one left it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Insert, Select, Update, bindparam, select
from sqlalchemy.sql.dml import ReturningUpdate

from listener.database import Tx
from listener.schema import outbox

Following = Callable[[Any], Insert | Update]
"""Makes a statement from the row that was hit, given as something to select from."""


class AtOnce:
    """Built once: to build a statement takes longer than to run it."""

    def __init__(
        self, dialect: str, first: Update, *then: Following, gives: Sequence[str] = ("id",), many: bool = False
    ) -> None:
        """`first` hits a row of the outbox (`many`: or more) or none; `then` is run only if it hit.

        `gives`: columns of those rows.
        """
        if dialect == "postgresql":
            hit = first.returning(outbox).cte("hit")
            whole = select(*(hit.c[column] for column in gives))
            for number, following in enumerate(then):
                whole = whole.add_cte(following(hit).cte(f"then_{number}"))
            self._first: Select[Any] | ReturningUpdate[Any] = whole
            self._then: list[Insert | Update] = []
        else:
            hits = outbox.c.id.in_(bindparam("hit_ids", expanding=True)) if many else outbox.c.id == bindparam("hit_id")
            left = select(outbox).where(hits).subquery("hit")
            self._first = first.returning(*(outbox.c[column] for column in gives))
            self._then = [following(left) for following in then]

    async def run(self, tx: Tx, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What it gives of the row as it is now; None if none was hit, and then nothing was written."""
        row: Mapping[str, Any] | None = (await tx.execute(self._first, values)).mappings().first()
        if row is not None:
            for statement in self._then:
                await tx.execute(statement, {**values, "hit_id": row["id"]})
        return row

    async def run_many(self, tx: Tx, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The same for a statement that hits many; in no order."""
        rows: Sequence[Mapping[str, Any]] = (await tx.execute(self._first, values)).mappings().all()
        if rows:
            for statement in self._then:
                await tx.execute(statement, {**values, "hit_ids": [row["id"] for row in rows]})
        return rows


def of(hit: Any, column: str) -> Any:
    """A value of the row that was hit, for a condition."""
    return select(hit.c[column]).scalar_subquery()
