"""The log-in that a person made once: sealed in the database, shared by all processes, renewed by one at a time.

A renewal is put down before it is asked for. Where the app rotates its refresh tokens, the answer holds the only one
that is still good, and it is kept before anything of it is used. If the process dies between answer and commit, that
token is lost: the next renewal is refused, and only a person can log in again; the row says which of the two it was.
("Refresh Token Rotation": a token that was used before ends all that came after it.)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, func, or_, select, update

from listener.database import Database, Tx, upsert
from listener.errors import SetupError
from listener.schema import kept_login
from listener.sealed import Sealed
from listener.settings import SalesforceSettings
from listener.token_endpoint import Token, origin_of

_NOW = func.db_now()
_LOG_IN = "run `fusion-sync login`"


class LoginEnded(SetupError):
    """What a person gave us is good no more, whoever asks and however often: a person must log in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a person's consent came to: the token of now, and what brings the next one."""

    token: Token
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The grant as it is kept. `unsure_since`: when a renewal was asked for whose answer nobody has kept."""

    grant: Grant
    version: int
    unsure_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a log-in stands, without what is sealed. `name`: the app and the address; `ended`: why it is over."""

    name: str
    made_at: datetime
    renewed_at: datetime
    ended: str | None


async def standings(tx: Tx) -> list[Standing]:
    """Every log-in that is kept, by its name."""
    columns = (kept_login.c.name, kept_login.c.made_at, kept_login.c.renewed_at, kept_login.c.ended)
    return [Standing(**row) for row in (await tx.execute(select(*columns).order_by(kept_login.c.name))).mappings()]


class KeptLogin:
    """The one row of a log-in; everything that reads or changes it."""

    def __init__(self, db: Database, sealed: Sealed, settings: SalesforceSettings) -> None:
        """The row of that app at that address: another app's log-in is another row."""
        self._db = db
        self._sealed = sealed
        self._name = f"{settings.client_id} at {origin_of(settings.login_url, named='SALESFORCE_LOGIN_URL')}"
        self._me = secrets.token_hex(8)

    async def held(self) -> Held:
        """What is kept now. `SetupError` if nobody has logged in, the log-in is over, or the key does not open it."""
        async with self._db.reading() as tx:
            row = (await tx.execute(select(kept_login).where(kept_login.c.name == self._name))).mappings().first()
        if row is None:
            raise SetupError("nobody has logged in to Salesforce for this program yet", hint=_LOG_IN)
        if row["ended"] is not None:
            raise LoginEnded(row["ended"], hint=_LOG_IN)
        return Held(grant=self._opened(row["sealed"]), version=row["version"], unsure_since=row["asked_at"])

    async def turn(self, held: Held, *, lease: timedelta) -> bool:
        """Whether it is on us to renew now. Nobody else will for the time of the lease, or until we are done."""
        return await self._changed(
            self._of(
                held,
                kept_login.c.ended.is_(None),
                or_(kept_login.c.asking_until.is_(None), kept_login.c.asking_until <= _NOW),
            ).values(
                asking=self._me,
                asking_until=func.db_after(lease.total_seconds()),
                asked_at=func.coalesce(kept_login.c.asked_at, _NOW),
            )
        )

    async def renewed(self, held: Held, grant: Grant) -> bool:
        """Keep what the renewal brought. False where the row is another by now: a person has logged in meanwhile."""
        return await self._changed(
            self._of(held).values(
                sealed=self._closed(grant),
                version=held.version + 1,
                renewed_at=_NOW,
                asking=None,
                asking_until=None,
                asked_at=None,
            )
        )

    async def not_renewed(self, held: Held, *, answered: bool) -> None:
        """Let others try. `answered`: Salesforce said no, so that the old refresh token is surely not used up."""
        values: dict[str, Any] = {"asking": None, "asking_until": None}
        if answered:
            values["asked_at"] = held.unsure_since
        await self._changed(self._of(held, kept_login.c.asking == self._me).values(values))

    async def end(self, held: Held, why: str) -> None:
        """Put down that the kept refresh token is good no more, so that nobody asks with it again."""
        await self._changed(self._of(held, kept_login.c.asking == self._me).values(ended=why, asking_until=None))

    async def begin(self, grant: Grant) -> Grant | None:
        """Keep what a person has just logged in for; the grant before, if there was one that can still be opened."""
        row = select(kept_login.c.sealed, kept_login.c.version).where(kept_login.c.name == self._name)
        async with self._db.writing() as tx:
            before = (await tx.execute(row.with_for_update())).first()
            fresh = upsert(tx, kept_login).values(
                name=self._name, sealed=self._closed(grant), version=1, made_at=_NOW, renewed_at=_NOW
            )
            values = {
                "sealed": fresh.excluded.sealed,
                "version": kept_login.c.version + 1,
                "made_at": _NOW,
                "renewed_at": _NOW,
                **dict.fromkeys(("asking", "asking_until", "asked_at", "ended")),
            }
            await tx.execute(fresh.on_conflict_do_update(index_elements=["name"], set_=values))
        try:
            return self._opened(before.sealed) if before else None
        except SetupError:
            return None  # sealed with a key that is gone: it was of no use any more

    def _of(self, held: Held, *more: ColumnElement[bool]) -> Update:
        return update(kept_login).where(kept_login.c.name == self._name, kept_login.c.version == held.version, *more)

    async def _changed(self, change: Update) -> bool:
        async with self._db.at_once() as tx:
            return (await tx.execute(change)).rowcount == 1

    def _closed(self, grant: Grant) -> bytes:
        # With its name inside, or who can write to the table could put one row's secret into another.
        body = asdict(grant.token) | {"refresh_token": grant.refresh_token, "name": self._name}
        return self._sealed.seal(json.dumps(body).encode())

    def _opened(self, sealed: bytes) -> Grant:
        body: Mapping[str, str] = json.loads(self._sealed.open(sealed))
        if body["name"] != self._name:
            raise SetupError("the kept log-in is that of another app", hint=_LOG_IN)
        names = ("access_token", "instance_url", "user_id", "org_id")
        return Grant(token=Token(**{name: body[name] for name in names}), refresh_token=body["refresh_token"])
