"""A database with the tables in it, for what is tested from the claim to the answer."""

from collections.abc import AsyncIterator

import pytest

from listener.database import Database


@pytest.fixture
async def db(migrated_url: str) -> AsyncIterator[Database]:
    """The database of this test alone; each test that asks runs on SQLite and on Postgres."""
    database = Database(migrated_url)
    yield database
    await database.close()
