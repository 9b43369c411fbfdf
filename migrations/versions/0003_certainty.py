"""What is certain about a channel: how it began, how far sweeps came, what they found, and whether it echoes."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None

Recreate = Literal["always", "never"]
MOMENTS = ("event_at", "covers_from", "swept_at", "missed_at", "compared_at", "beat_at", "echo_at")


def upgrade() -> None:
    """Add the columns; on SQLite the tables are written anew, so that they read as if they had been made like this."""
    always: Recreate = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("stream", recreate=always) as stream:
        for name in MOMENTS:
            stream.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
        stream.add_column(sa.Column("start", sa.Text(), nullable=True))
        stream.add_column(sa.Column("missed", sa.BigInteger(), server_default="0", nullable=False))
        stream.create_check_constraint(op.f("ck_stream_start"), "start IS NULL OR start IN ('retained', 'now')")
    with op.batch_alter_table("gap", recreate=always, table_kwargs={"sqlite_autoincrement": True}) as gap:
        gap.add_column(sa.Column("swept_until", sa.DateTime(timezone=True), nullable=True))
        gap.add_column(sa.Column("note", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take them away."""
    always: Recreate = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("gap", recreate=always, table_kwargs={"sqlite_autoincrement": True}) as gap:
        gap.drop_column("note")
        gap.drop_column("swept_until")
    with op.batch_alter_table("stream", recreate=always) as stream:
        stream.drop_constraint(op.f("ck_stream_start"), type_="check")
        for name in ("missed", "start", *reversed(MOMENTS)):
            stream.drop_column(name)
