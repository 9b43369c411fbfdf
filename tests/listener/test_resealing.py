"""A key is changed: whatever is kept comes under the new one, and what no key opens stays as it is."""

import asyncio
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, insert, select

from listener import portal_account
from listener.database import Database
from listener.resealing import Secrets, count, reseal
from listener.schema import kept_login
from listener.sealed import Sealed

OLD, NEW, GONE = (Fernet.generate_key().decode() for _ in range(3))


async def counted(db: Database, *keys: str) -> Secrets:
    async with db.reading() as tx:
        return await count(tx, Sealed(keys) if keys else None)


async def kept(db: Database) -> dict[str, bytes]:
    """Each sealed value, by what it is."""
    async with db.reading() as tx:
        account = await portal_account.read(tx, "robot")
        login = (await tx.execute(select(kept_login.c.sealed))).scalar_one()
    assert account is not None
    found: dict[str, Any] = {"login": login, "profile": account.profile, "code": account.code}
    return found


@pytest.fixture
async def sealed_with_old(db: Database) -> None:
    old = Sealed([OLD])
    async with db.writing() as tx:
        now = func.db_now()
        login = insert(kept_login).values(name="app", sealed=old.seal(b"login"), version=3, made_at=now, renewed_at=now)
        await tx.execute(login)
        await portal_account.put(tx, "robot", profile=old.seal(b"profile"), code=old.seal(b"code"))
        await portal_account.put(tx, "another", profile=Sealed([GONE]).seal(b"lost"))
        await portal_account.put(tx, "nobody", tries=0)


@pytest.mark.usefixtures("sealed_with_old")
async def test_all_that_is_kept_comes_under_the_new_key_and_the_old_one_can_go(db: Database) -> None:
    assert await counted(db, OLD, GONE) == Secrets(newest=3, older=1)
    assert await counted(db, NEW, OLD) == Secrets(older=3, lost=1)
    assert await reseal(db, Sealed([NEW, OLD])) == 3
    assert await counted(db, NEW) == Secrets(newest=3, lost=1)
    assert {what: Sealed([NEW]).open(value) for what, value in (await kept(db)).items()} == {
        "login": b"login",
        "profile": b"profile",
        "code": b"code",
    }
    before = await kept(db)
    assert await reseal(db, Sealed([NEW, OLD])) == 0
    assert await kept(db) == before


@pytest.mark.usefixtures("sealed_with_old")
async def test_what_no_key_opens_stays_until_its_key_comes_back(db: Database) -> None:
    assert await reseal(db, Sealed([NEW])) == 0
    assert await counted(db, NEW) == Secrets(lost=4)
    assert await counted(db) == Secrets(lost=4)
    assert await reseal(db, Sealed([NEW, OLD, GONE])) == 4
    assert await counted(db, NEW) == Secrets(newest=4)


@pytest.mark.usefixtures("sealed_with_old")
async def test_two_processes_that_start_together_do_it_once(db: Database) -> None:
    both = await asyncio.gather(*(reseal(db, Sealed([NEW, OLD])) for _ in range(2)))
    assert sum(both) == 3
    assert await counted(db, NEW) == Secrets(newest=3, lost=1)


async def test_where_nothing_is_kept_there_is_nothing_to_do(db: Database) -> None:
    assert await reseal(db, Sealed([NEW, OLD])) == 0
    assert await counted(db, NEW) == Secrets()
