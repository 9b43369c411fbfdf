"""The tables' history, by alembic: `fusion-sync migrate`, or `alembic upgrade head` with DATABASE_URL set."""
