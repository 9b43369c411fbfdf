"""What is kept of a portal user between processes: one row, written by who holds its log-in and by a person's commands.

The secrets in it are sealed, or digests; what they are is `fusion.account`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, literal, select, update

from listener.database import Tx, upsert
from listener.schema import portal_account

NOW = func.db_now()
"""The database's clock, for `put`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The row, and `now` by the database's clock. Columns: see `listener.schema.portal_account`."""

    name: str
    now: datetime
    password: str | None = field(repr=False)
    used_from: datetime | None
    tries: int
    standing: str | None
    said: str | None
    hint: str | None
    shut_at: datetime | None
    asked_at: datetime | None
    code: bytes | None = field(repr=False)
    given_at: datetime | None
    profile: bytes | None = field(repr=False)
    profile_at: datetime | None
    next_password: str | None = field(repr=False)
    next_at: datetime | None
    last_password: str | None = field(repr=False)


async def read(tx: Tx, name: str) -> Account | None:
    """The account as it is now; None if nobody has logged in as it."""
    found = select(portal_account, NOW.label("now")).where(portal_account.c.name == name)
    row = (await tx.execute(found)).mappings().first()
    return Account(**row) if row else None


async def every(tx: Tx) -> list[Account]:
    """All accounts, by name."""
    found = select(portal_account, NOW.label("now")).order_by(portal_account.c.name)
    return [Account(**row) for row in (await tx.execute(found)).mappings()]


async def put(tx: Tx, name: str, **values: Any) -> None:
    """Set these columns; the row is made if there is none."""
    fresh = upsert(tx, portal_account).values(name=name, **values)
    await tx.execute(fresh.on_conflict_do_update(index_elements=["name"], set_=values))


async def begin_try(tx: Tx, name: str) -> None:
    """One more log-in of which nobody knows how it ends."""
    await tx.execute(_of(name).values(tries=portal_account.c.tries + 1))


async def end_try(tx: Tx, name: str) -> None:
    """That one ended, and says nothing about the password."""
    tries = portal_account.c.tries
    await tx.execute(_of(name).values(tries=case((tries > literal(0), tries - 1), else_=tries)))


async def accepted(tx: Tx, name: str) -> None:
    """The portal took the password: whatever kept us out is over."""
    nothing = dict.fromkeys(("standing", "said", "hint", "shut_at"))
    used_from = func.coalesce(portal_account.c.used_from, NOW)
    await tx.execute(_of(name).values(tries=0, used_from=used_from, **nothing))


def _of(name: str) -> Any:
    return update(portal_account).where(portal_account.c.name == name)
