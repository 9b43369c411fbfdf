"""The tables' history leads to exactly the tables that the code has, and back, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool

import migrations
from listener import schema
from listener.engines import sync_url


@pytest.fixture
def config(database_url: str) -> Config:
    """Alembic, pointed at an empty database."""
    found = Config()
    found.set_main_option("script_location", str(Path(migrations.__file__).parent))
    found.attributes["url"] = database_url
    return found


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A look into that database."""
    found = create_engine(sync_url(database_url), poolclass=NullPool)
    yield found
    found.dispose()


def rules(connection: Connection) -> dict[str, str]:
    """Every table, index and constraint as the database itself writes it down, conditions and all; views aside.

    Alembic's own comparison sees neither a CHECK nor the condition of a partial index.
    """
    if connection.dialect.name == "sqlite":
        statement = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'view'"
    else:
        statement = """
            SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION SELECT 'constraint ' || conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
                FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
            UNION SELECT 'column ' || table_name || ' ' || column_name, data_type || ' ' || is_nullable || ' ' ||
                coalesce(column_default, '') FROM information_schema.columns
                WHERE table_schema = 'public' AND table_name IN (SELECT tablename FROM pg_tables)
        """
    found = {name: _sorted(definition) for name, definition in connection.execute(text(statement))}
    not_ours = ("alembic_version", "sqlite_sequence")
    return {name: definition for name, definition in found.items() if not any(one in name for one in not_ours)}


def _sorted(definition: str) -> str:
    # A table's constraints stand in whatever order they were named in; that is no difference.
    lines = [" ".join(line.split()).rstrip(",") for line in definition.replace('"', "").splitlines()]
    return "\n".join(sorted(line for line in lines if line))


def test_the_head_is_the_version_that_the_code_needs(config: Config) -> None:
    assert ScriptDirectory.from_config(config).get_heads() == [schema.VERSION]


def test_up_there_is_no_drift_and_down_and_up_again(config: Config, engine: Engine) -> None:
    command.upgrade(config, "head")
    command.check(config)
    with engine.connect() as connection:
        once = rules(connection)
    command.downgrade(config, "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
        assert inspect(connection).get_view_names() == []
        assert rules(connection) == {}
    command.upgrade(config, "head")
    with engine.connect() as connection:
        assert rules(connection) == once


def test_migrations_make_the_same_rules_as_the_schema(config: Config, engine: Engine) -> None:
    command.upgrade(config, "head")
    with engine.begin() as connection:
        migrated = rules(connection)
        for view in inspect(connection).get_view_names():
            connection.execute(text(f"DROP VIEW {view}"))
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
        assert rules(connection) == migrated
    tables = schema.metadata.tables.values()
    assert len(migrated) >= len(tables) + sum(len(one.indexes) for one in tables)


def test_an_upgrade_step_by_step_and_again_loses_no_row(config: Config, engine: Engine) -> None:
    revisions = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    row = {"id": 41, "record_id": "a0P000000000001EAA", "state": "DONE", "priority": 10, "object_name": "Patient__c"}
    row |= dict.fromkeys(("due_at", "changed_at", "created_at", "finished_at"), "2026-11-03 12:00:00.000000+00:00")
    command.upgrade(config, revisions[0])
    with engine.begin() as connection:
        names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO outbox ({names}) VALUES ({places})"), row)
    for revision in [*revisions[1:], "head", "head"]:
        command.upgrade(config, revision)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, record_id, state FROM outbox")).all()
    assert found == [(41, "a0P000000000001EAA", "DONE")]


def test_drift_would_be_seen(config: Config, engine: Engine) -> None:
    command.upgrade(config, "head")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE outbox ADD COLUMN more text"))
    with pytest.raises(CommandError, match="more"):
        command.check(config)
