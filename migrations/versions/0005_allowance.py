"""What the org said last of its limits, and the events that the stream brought us, by the hour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "allowance",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("allowed", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("used >= 0 AND allowed >= 0", name=op.f("ck_allowance_counts_count_up")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_allowance")),
    )
    op.create_table(
        "delivery",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "hour", name=op.f("pk_delivery")),
    )


def downgrade() -> None:
    """Drop them; the next look tells the limits again."""
    op.drop_table("delivery")
    op.drop_table("allowance")
