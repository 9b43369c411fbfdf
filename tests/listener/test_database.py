"""Connections and transactions: what is refused at the start, what is told apart when it breaks, and the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import bindparam, func, insert, literal, select, text

from listener import schema
from listener.database import Database
from listener.engines import async_url, sync_url
from listener.errors import Conflict, Outage, SetupError
from tests.outbox_rows import NOON, arrive, now, rows

# The URL


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///outbox.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///outbox.db", "sqlite+aiosqlite"),
        ("postgresql://db.example.com/fusion", "postgresql+psycopg"),
        ("postgresql+asyncpg://db.example.com/fusion", "postgresql+psycopg"),
    ],
)
def test_a_url_gets_the_driver_that_we_use(url: str, driver: str) -> None:
    assert async_url(url).drivername == driver
    assert sync_url(url).get_backend_name() == async_url(url).get_backend_name()


def test_the_scheme_that_hosting_services_write_is_understood() -> None:
    assert async_url("postgres://db.example.com/fusion").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "url", ["", "outbox.db", "mysql://db.example.com/fusion", "sqlite://", "sqlite:///:memory:", "postgresql"]
)
def test_what_is_no_database_of_ours_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(SetupError) as refused:
        Database(url)
    assert refused.value.hint


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="nowhere"):
        Database(f"sqlite:///{tmp_path / 'nowhere' / 'outbox.db'}")


def test_a_name_never_holds_the_password() -> None:
    assert "hunter2" not in Database("postgresql://fusion:hunter2@db.example.com/fusion").name


# The version


async def test_the_version_that_the_code_needs_passes(db: Database) -> None:
    await db.check()


async def test_an_empty_database_says_to_migrate(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(SetupError, match="has no tables yet") as refused:
        await database.check()
    assert "fusion-sync migrate" in refused.value.hint
    await database.close()


@pytest.mark.parametrize(
    ("revision", "says", "hint"),
    [
        (None, "has no tables yet", "fusion-sync migrate"),  # undone down to its base
        ("0000", "is at revision 0000", "fusion-sync migrate"),
        ("9999", "is at revision 9999", "install the newer version"),
    ],
)
async def test_another_version_says_what_to_do(database_url: str, revision: str | None, says: str, hint: str) -> None:
    database = Database(database_url)
    async with database.writing() as tx:
        await tx.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
        if revision:
            await tx.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
    with pytest.raises(SetupError, match=says) as refused:
        await database.check()
    assert hint in refused.value.hint
    await database.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "outbox.db"
    file.write_bytes(b"Dear reader, this is a letter. " * 100)
    database = Database(f"sqlite:///{file}")
    with pytest.raises(SetupError, match="cannot be read"):
        await database.check()
    await database.close()


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    database = Database("postgresql://127.0.0.1:1/fusion")
    with pytest.raises(Outage) as outage:
        await database.check()
    assert outage.value.hint
    await database.close()


# Transactions


async def test_an_error_inside_takes_everything_back(db: Database) -> None:
    async def half() -> None:
        async with db.writing() as tx:
            await tx.execute(insert(schema.stream).values(channel="x"))
            raise KeyError

    with pytest.raises(KeyError):
        await half()
    assert await rows(db, schema.stream) == []


async def test_a_broken_rule_is_a_conflict_that_quotes_no_row(db: Database) -> None:
    async def twice() -> None:
        async with db.writing() as tx:
            await tx.execute(insert(schema.stream).values(channel="Zebulon-Canary"))
            await tx.execute(insert(schema.stream).values(channel="Zebulon-Canary"))

    with pytest.raises(Conflict) as conflict:
        await twice()
    assert "Zebulon" not in str(conflict.value)
    assert await rows(db, schema.stream) == []


async def test_a_reader_sees_what_is_committed_and_waits_for_nobody(db: Database) -> None:
    async with db.writing() as tx:
        await tx.execute(insert(schema.stream).values(channel="x"))
        assert await asyncio.wait_for(rows(db, schema.stream), timeout=5) == []
    assert len(await rows(db, schema.stream)) == 1


async def test_writers_of_one_process_queue_up(db: Database) -> None:
    await asyncio.gather(*[arrive(db, number) for number in range(12)])
    assert len(await rows(db)) == 12


async def test_a_writer_that_is_cancelled_leaves_no_lock_behind(db: Database) -> None:
    async def holds_on(inside: asyncio.Event) -> None:
        async with db.writing() as tx:
            await tx.execute(insert(schema.stream).values(channel="x"))
            inside.set()
            await asyncio.sleep(60)

    for _ in range(3):
        inside = asyncio.Event()
        task = asyncio.create_task(holds_on(inside))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await asyncio.wait_for(arrive(db, 1), timeout=10) == 1
    assert await rows(db, schema.stream) == []


async def test_a_writer_that_is_cancelled_on_its_way_in_leaves_no_lock_behind(db: Database) -> None:
    async def goes_in() -> None:
        async with db.writing() as tx:
            await tx.execute(insert(schema.stream).values(channel="x"))
            await tx.rollback()

    for steps in range(12):
        task = asyncio.create_task(goes_in())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.wait_for(arrive(db, 1), timeout=10) == 1


async def test_sqlite_keeps_what_it_promised_to_keep(migrated_sqlite: Path, tmp_path: Path) -> None:
    file = tmp_path / "outbox.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{file}")
    async with database.writing() as tx:
        found = [(await tx.exec_driver_sql(f"PRAGMA {name}")).scalar_one() for name in PRAGMAS]
    assert dict(zip(PRAGMAS, found, strict=True)) == PRAGMAS
    async with database.reading() as tx:
        with pytest.raises(Outage, match="not answering"):
            async with database.reading() as reader:
                await reader.execute(insert(schema.stream).values(channel="x"))
        assert (await tx.execute(select(func.count()).select_from(schema.stream))).scalar_one() == 0
    await database.close()


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


# Time


async def test_moments_come_back_as_they_went_in_and_aware(db: Database) -> None:
    eastern = timezone(timedelta(hours=-5))
    for number, moment in enumerate([NOON, NOON.astimezone(eastern), datetime(2026, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)]):
        async with db.writing() as tx:
            await tx.execute(insert(schema.stream).values(channel=str(number), heard_at=moment))
    found = [one["heard_at"] for one in await rows(db, schema.stream)]
    assert found == [NOON, NOON, datetime(2026, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)]
    assert all(moment.tzinfo is UTC for moment in found)


async def test_a_naive_time_is_refused(db: Database) -> None:
    async with db.writing() as tx:
        with pytest.raises(Exception, match="naive"):
            await tx.execute(insert(schema.stream).values(channel="x", heard_at=datetime(2026, 1, 1)))  # noqa: DTZ001


@pytest.mark.parametrize("seconds", [0.0, 0.25, -0.25, 90.0, -90.0, 86_400.0 * 400, 0.0001, -0.00004])
async def test_the_databases_clock_counts_in_seconds_and_their_parts(db: Database, seconds: float) -> None:
    query = select(func.db_now(), func.db_after(bindparam("seconds", seconds)), literal(1))
    async with db.reading() as tx:
        before, after, _ = (await tx.execute(query)).one()
    assert abs((after - before).total_seconds() - seconds) < 0.002
    assert abs(await now(db) - datetime.now(UTC)) < timedelta(seconds=20)


async def test_stored_and_computed_moments_compare_as_time(db: Database) -> None:
    async with db.writing() as tx:
        await tx.execute(insert(schema.stream).values(channel="past", heard_at=func.db_after(-0.5)))
        await tx.execute(insert(schema.stream).values(channel="future", heard_at=func.db_after(30.0)))
        stored = datetime.now(UTC) + timedelta(seconds=30)
        await tx.execute(insert(schema.stream).values(channel="stored", heard_at=stored))
        past = select(schema.stream.c.channel).where(schema.stream.c.heard_at <= func.db_now())
        assert (await tx.execute(past)).scalars().all() == ["past"]
