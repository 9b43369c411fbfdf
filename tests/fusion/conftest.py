"""A database with empty tables in it, for what is tested from the claim to the answer."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from listener import schema
from listener.database import Database
from tests.postgres import Postgres


@pytest.fixture(scope="session")
def shared_postgres(postgres: Postgres, migrated_postgres: str) -> Iterator[str]:
    """The URL of one database for many tests: emptying tables takes a tenth of the time that a new database does."""
    name = postgres.make(migrated_postgres)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a database with all tables and nothing in them; each test runs on both. SQLite's is in memory."""
    if request.param == "postgres":
        shared: str = request.getfixturevalue("shared_postgres")
        database = Database(shared)
        async with database.writing() as tx:
            for table in reversed(schema.metadata.sorted_tables):
                await tx.execute(table.delete())
        await database.close()
        yield shared
        return
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="fusion-test-") as folder:
        shutil.copy(request.getfixturevalue("migrated_sqlite"), Path(folder) / "outbox.db")
        yield f"sqlite:///{Path(folder) / 'outbox.db'}"


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """That database, open."""
    database = Database(url)
    yield database
    await database.close()
