"""What is kept of a portal user: which password was tried, why the door is shut, a code, the browser's profile."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "portal_account",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("used_from", moment, nullable=True),
        sa.Column("tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("standing", sa.Text(), nullable=True),
        sa.Column("said", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("shut_at", moment, nullable=True),
        sa.Column("asked_at", moment, nullable=True),
        sa.Column("code", sa.LargeBinary(), nullable=True),
        sa.Column("given_at", moment, nullable=True),
        sa.Column("profile", sa.LargeBinary(), nullable=True),
        sa.Column("profile_at", moment, nullable=True),
        sa.Column("next_password", sa.Text(), nullable=True),
        sa.Column("next_at", moment, nullable=True),
        sa.Column("last_password", sa.Text(), nullable=True),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_portal_account_tries_count_up")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_portal_account")),
    )


def downgrade() -> None:
    """Drop it: the next start logs in anew, and tries a password again that was refused before."""
    op.drop_table("portal_account")
