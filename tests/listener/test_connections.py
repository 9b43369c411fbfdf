"""Connections to Postgres: those that died while nobody used them, and what a pooler between can bear."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import text

from listener.database import Database
from tests.postgres import Postgres

pytestmark = pytest.mark.postgres


@pytest.fixture
async def url(postgres: Postgres) -> AsyncIterator[str]:
    """The URL of an empty database."""
    name = postgres.make()
    yield postgres.url(name)
    postgres.drop(name)


async def prepared(db: Database) -> int:
    """How many statements the connection has prepared after the same one ran often."""
    for _ in range(10):
        async with db.writing() as tx:
            await tx.execute(text("SELECT 1"))
    async with db.writing() as tx:
        found = await tx.execute(text("SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1'"))
        return int(found.scalar_one())


async def test_a_connection_that_died_while_idle_is_replaced_unnoticed(url: str) -> None:
    db = Database(url)
    async with db.writing() as tx:
        first = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [first])
    await asyncio.sleep(1.1)
    async with db.writing() as tx:
        assert (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one() != first
    await db.close()


async def test_statements_are_prepared(url: str) -> None:
    db = Database(url)
    assert await prepared(db) == 1
    await db.close()


async def test_behind_pgbouncer_no_statement_is_prepared(url: str) -> None:
    db = Database(f"{url}{'&' if '?' in url else '?'}pgbouncer=true")
    assert await prepared(db) == 0
    await db.close()
