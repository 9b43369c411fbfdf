"""What is kept of a portal user: one attempt a password, whatever process makes it, and a code that is read once."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import func, select, update

from fusion.account import KeptAccount
from fusion.doorbell import give_code, send_anew, try_again
from fusion.expiry import alarm, expires_at
from fusion.pages.memory import Profile, Shut
from fusion.pages.standing import Standing
from listener import gates, portal_account
from listener.database import Database
from listener.errors import EntryError
from listener.gates import Lane
from listener.schema import action
from listener.schema import portal_account as accounts
from listener.sealed import Sealed

KEY, NEWER = Fernet.generate_key().decode(), Fernet.generate_key().decode()
NAME = "portal login robot@example.com at http://localhost"
CANARY = "Canary-horse-1"


def account_in(db: Database, password: str = CANARY, keys: Any = (KEY,)) -> KeptAccount:
    """As a process that has just started."""
    return KeptAccount(db, NAME, SecretStr(password), keys)


async def recalled(db: Database, **which: Any) -> Standing | None:
    shut = await account_in(db, **which).recall()
    return shut.standing if shut else None


async def columns(db: Database) -> dict[str, Any]:
    async with db.reading() as tx:
        return dict((await tx.execute(select(accounts))).mappings().one())


async def age(db: Database, column: str, by: timedelta) -> None:
    async with db.writing() as tx:
        values = {column: func.db_after(-by.total_seconds())}
        await tx.execute(update(accounts).values(values))


async def test_a_refused_password_is_not_tried_by_the_next_process(db: Database) -> None:
    first = account_in(db)
    assert await first.recall() is None
    await first.trying()
    await first.shut(Shut(Standing.REFUSED))
    assert await recalled(db) is Standing.REFUSED
    assert await recalled(db, password="Another-horse-2") is None
    assert (await columns(db))["standing"] is None


async def test_a_log_in_that_was_cut_off_counts_as_the_one_attempt(db: Database) -> None:
    first = account_in(db)
    await first.recall()
    await first.trying()
    assert await recalled(db) is Standing.UNANSWERED


async def test_a_password_that_was_good_has_one_more_chance_after_a_cut_off(db: Database) -> None:
    for expected in (None, None, Standing.UNANSWERED):
        account = account_in(db)
        shut = await account.recall()
        assert (shut.standing if shut else None) is expected
        if expected is None:
            await account.trying()
            if (await columns(db))["used_from"] is None:
                await account.accepted()
                await account.trying()


async def test_trouble_of_the_portal_is_no_attempt(db: Database) -> None:
    account = account_in(db)
    await account.recall()
    for _ in range(3):
        await account.trying()
        await account.not_judged()
    await account.not_judged()
    assert (await columns(db))["tries"] == 0
    assert await recalled(db) is None


async def test_a_person_opens_the_door_again_with_a_reason(db: Database) -> None:
    account = account_in(db)
    await account.recall()
    await account.shut(Shut(Standing.LOCKED))
    async with db.writing() as tx:
        await gates.shut(tx, Lane.PORTAL, reason="locked", wait=timedelta(minutes=15))
    async with db.writing() as tx:
        await try_again(tx, NAME, actor="dana", reason="Kim unlocked it.")
    assert await account.recall() is None
    async with db.reading() as tx:
        assert (await gates.read(tx))[Lane.PORTAL].may_probe
        noted = (await tx.execute(select(action.c.actor, action.c.verb, action.c.reason))).one()
    assert tuple(noted) == ("dana", "again", "Kim unlocked it.")
    with pytest.raises(EntryError, match="nothing keeps"):
        async with db.writing() as tx:
            await try_again(tx, NAME, actor="dana", reason="Once more.")


async def test_neither_the_password_nor_the_code_nor_the_profile_rests_in_the_open(db: Database) -> None:
    account = account_in(db)
    await account.recall()
    await account.asked()
    async with db.writing() as tx:
        await give_code(tx, NAME, "424242", life=timedelta(minutes=10), sealed=Sealed([KEY]), actor="dana")
    await account.keep(Profile(storage={"cookies": [{"value": "a-cookie"}]}, session={"window": "a-window"}))
    kept = repr(await columns(db))
    assert not any(secret in kept for secret in (CANARY, "424242", "a-cookie", "a-window"))
    assert "Canary" not in repr(await account.account())


async def test_a_code_is_read_once_and_is_gone_with_that(db: Database) -> None:
    account = account_in(db)
    await account.recall()
    await account.asked()
    assert await account.given() is None
    async with db.writing() as tx:
        await give_code(tx, NAME, "424242", life=timedelta(minutes=10), sealed=Sealed([KEY]), actor="dana")
    given = await account.given()
    assert given is not None
    assert given.code is not None
    assert given.code.get_secret_value() == "424242"
    assert await account.given() is None
    assert (await columns(db))["code"] is None


async def test_a_code_that_nobody_waits_for_or_that_is_late_is_refused(db: Database) -> None:
    account = account_in(db)
    await account.recall()
    with pytest.raises(EntryError, match="no log-in waits"):
        async with db.writing() as tx:
            await give_code(tx, NAME, "424242", life=timedelta(minutes=10), sealed=Sealed([KEY]), actor="dana")
    await account.asked()
    await age(db, "asked_at", timedelta(minutes=11))
    with pytest.raises(EntryError, match="10 minutes") as late:
        async with db.writing() as tx:
            await give_code(tx, NAME, "424242", life=timedelta(minutes=10), sealed=Sealed([KEY]), actor="dana")
    assert "--resend" in late.value.hint


async def test_a_code_is_taken_as_long_as_the_pack_says_that_it_is_good(db: Database) -> None:
    account = account_in(db)
    await account.recall()
    await account.asked()
    await age(db, "asked_at", timedelta(minutes=6))
    with pytest.raises(EntryError, match="more than 5 minutes ago"):
        async with db.writing() as tx:
            await give_code(tx, NAME, "424242", life=timedelta(minutes=5), sealed=Sealed([KEY]), actor="dana")
    async with db.writing() as tx:
        await give_code(tx, NAME, "424242", life=timedelta(minutes=7), sealed=Sealed([KEY]), actor="dana")
    assert await account.given() is not None


async def test_after_a_restart_only_a_person_has_a_new_code_sent(db: Database) -> None:
    """A log-in of each start would flood the mailbox, and make the code before worthless."""
    account = account_in(db)
    await account.recall()
    await account.asked()
    assert await recalled(db) is Standing.CODE
    async with db.writing() as tx:
        await give_code(tx, NAME, "424242", life=timedelta(minutes=10), sealed=Sealed([KEY]), actor="dana")
    assert await recalled(db) is Standing.CODE
    assert (await columns(db))["code"] is None
    async with db.writing() as tx:
        await send_anew(tx, NAME, actor="dana")
    assert await recalled(db) is None


async def test_a_profile_outlives_the_process_and_a_change_of_keys(db: Database) -> None:
    profile = Profile(storage={"cookies": []}, session={"window": "w"})
    account = account_in(db)
    await account.recall()
    await account.keep(profile)
    assert await account_in(db, keys=(NEWER, KEY)).profile() == profile
    assert await recalled(db, keys=(NEWER, KEY)) is None
    assert await account_in(db, keys=(NEWER,)).profile() is None


async def test_with_a_new_key_the_password_stays_the_one_that_was_tried(db: Database) -> None:
    """Without it, an old key that goes would take the refusal with it, and the password would be typed again."""
    account = account_in(db)
    await account.recall()
    await account.shut(Shut(Standing.REFUSED))
    assert not await account.renew_digest()
    both = account_in(db, keys=(NEWER, KEY))
    assert await both.renew_digest()
    assert not await both.renew_digest()
    assert await recalled(db, keys=(NEWER,)) is Standing.REFUSED
    before = (await columns(db))["password"]
    assert not await account_in(db, password="Another-horse-2", keys=(NEWER, KEY)).renew_digest()
    assert not await account_in(db, keys=()).renew_digest()
    assert (await columns(db))["password"] == before


async def test_without_a_key_no_profile_is_kept_and_a_refusal_still_is(db: Database) -> None:
    account = account_in(db, keys=())
    await account.recall()
    await account.keep(Profile(storage={"cookies": []}, session={}))
    assert (await columns(db))["profile"] is None
    await account.shut(Shut(Standing.REFUSED))
    assert await recalled(db, keys=()) is Standing.REFUSED


async def test_the_end_of_a_password_is_told_at_14_7_and_1_days(db: Database) -> None:
    account = account_in(db)
    await account.recall()
    await account.accepted()
    told = []
    for used_days in (1, 75, 77, 84, 89, 91):
        await age(db, "used_from", timedelta(days=used_days))
        async with db.reading() as tx:
            row = await portal_account.read(tx, NAME)
        assert row is not None
        found = alarm(row, 90)
        told.append(found.code if found else None)
        assert alarm(row, None) is None
        end = expires_at(row, 90)
        assert end is not None
    assert told == [None, None, "password_14d", "password_7d", "password_1d", "password_1d"]
