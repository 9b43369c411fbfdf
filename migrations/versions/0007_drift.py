"""Which parts of the portal are no longer as their pack says, and which rows wait for that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    moment = sa.DateTime(timezone=True)
    entry = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "drift",
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("said", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("since", moment, nullable=True),
        sa.Column("checked_at", moment, nullable=False),
        sa.Column("doubted_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_drift")),
    )
    op.create_table(
        "waiting",
        sa.Column("outbox_id", entry, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_waiting_outbox_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("outbox_id", "place", name=op.f("pk_waiting")),
    )
    op.create_index(op.f("ix_waiting_place"), "waiting", ["place"])


def downgrade() -> None:
    """Drop them: rows that wait are looked at again within a day, and the next write is preceded by a look."""
    op.drop_table("waiting")
    op.drop_table("drift")
