"""The two databases that tests run on are what they promise to be."""

import socket

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from listener.engines import sync_url


def tables_in(url: str) -> set[str]:
    engine = create_engine(sync_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE scratch (id integer)"))
        connection.commit()
        return set(inspect(connection).get_table_names()) - {"scratch"}


@pytest.mark.parametrize("again", [1, 2])
def test_a_database_is_empty_every_time(database_url: str, again: int) -> None:
    assert tables_in(database_url) == set()


@pytest.mark.parametrize("again", [1, 2])
def test_a_migrated_one_has_tables_and_nothing_of_other_tests(migrated_url: str, again: int) -> None:
    found = tables_in(migrated_url)
    assert {"outbox", "change", "stream", "alembic_version"} <= found


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80)])
def test_no_test_reaches_another_machine(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as one, pytest.raises(RuntimeError, match="not this machine"):
        one.connect(address)
