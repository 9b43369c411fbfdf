"""Where alembic finds the database and the tables that it should have."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, pool

from listener import schema
from listener.engines import sync_url


def run() -> None:
    """Migrate the database named by the caller (`config.attributes["url"]`) or by DATABASE_URL."""
    url = sync_url(context.config.attributes.get("url") or os.environ.get("DATABASE_URL", "sqlite:///fusion-sync.db"))
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=schema.metadata,
            # SQLite cannot alter a table in place: alembic makes it anew and copies the rows.
            render_as_batch=True,
            compare_type=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
