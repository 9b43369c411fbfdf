"""Everything that rests sealed, brought under the newest key, so that an old one can leave FUSION_SYNC_KEY.

Done at each start rather than by a command that somebody must remember before the old key is thrown away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, select, update

from listener.database import Database, Tx
from listener.errors import SetupError
from listener.schema import kept_login, portal_account
from listener.sealed import Sealed

_WHERE: tuple[tuple[Table, ColumnElement[bytes]], ...] = (
    (kept_login, kept_login.c.sealed),
    (portal_account, portal_account.c.profile),
    (portal_account, portal_account.c.code),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """How many sealed values there are: under the newest key, under an older one, and under none that we hold."""

    newest: int = 0
    older: int = 0
    lost: int = 0


async def count(tx: Tx, sealed: Sealed | None) -> Secrets:
    """What there is; None: we hold no key."""
    found = {"newest": 0, "older": 0, "lost": 0}
    async for _, _, _, value in _all(tx):
        found[_under(value, sealed)] += 1
    return Secrets(**found)


async def reseal(db: Database, sealed: Sealed) -> int:
    """How many were brought under the newest key; what no key opens is left as it is."""
    renewed = 0
    async with db.writing() as tx:
        async for table, column, name, value in _all(tx):
            if _under(value, sealed) == "older":
                # Whoever has changed it meanwhile has used the newest key.
                same = update(table).where(table.c.name == name, column == value)
                renewed += (await tx.execute(same.values({column: sealed.renewed(value)}))).rowcount
    return renewed


async def _all(tx: Tx) -> AsyncIterator[tuple[Table, ColumnElement[bytes], str, bytes]]:
    for table, column in _WHERE:
        for name, value in (await tx.execute(select(table.c.name, column).where(column.is_not(None)))).all():
            yield table, column, name, value


def _under(value: bytes, sealed: Sealed | None) -> str:
    if sealed is None:
        return "lost"
    if sealed.is_newest(value):
        return "newest"
    try:
        sealed.open(value)
    except SetupError:
        return "lost"
    return "older"
