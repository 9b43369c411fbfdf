"""A database with empty tables in it, for whatever is tested against a real one."""

from __future__ import annotations

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


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a commit on a disk waits for it, and these tests commit a lot."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="outbox-test-") as folder:
        yield Path(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def db(request: pytest.FixtureRequest, quick_folder: Path) -> AsyncIterator[Database]:
    """A database with all tables and nothing in them; each test runs on both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), quick_folder / "outbox.db")
        database = Database(f"sqlite:///{quick_folder / 'outbox.db'}")
    else:
        database = Database(request.getfixturevalue("shared_postgres"))
        async with database.writing() as tx:
            names = [table.name for table in reversed(schema.metadata.sorted_tables)]
            await tx.exec_driver_sql("; ".join(f"DELETE FROM {name}" for name in names))
    yield database
    await database.close()
