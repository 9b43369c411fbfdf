"""The outbox and what stands around it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None

WAITING = sa.text("state = 'PENDING' AND leased_until IS NULL")
CLAIMABLE = sa.text("state = 'PENDING' AND leased_until IS NULL AND id > 0")
PUSHED = sa.text("state = 'PUSHED' AND leased_until IS NULL")
LEASED = sa.text("leased_until IS NOT NULL")
FINISHED = sa.text("finished_at IS NOT NULL")
ANSWERED = sa.text("state IN ('PARKED', 'PUSHED')")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "action",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("replay_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "gap",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("object_name", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("to_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed", sa.Integer(), nullable=True),
        sa.Column("enqueued", sa.Integer(), nullable=True),
        sa.Column("deleted", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gap")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "gate",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.CheckConstraint("lane IN ('portal', 'salesforce')", name=op.f("ck_gate_lane")),
        sa.CheckConstraint("state IN ('open', 'shut', 'probing', 'paused')", name=op.f("ck_gate_state")),
        sa.CheckConstraint(
            "state NOT IN ('shut', 'probing') OR until IS NOT NULL", name=op.f("ck_gate_shut_says_until_when")
        ),
        sa.PrimaryKeyConstraint("lane", name=op.f("pk_gate")),
    )
    op.create_table(
        "holder",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_holder")),
    )
    op.create_table(
        "link",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("portal_id", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=True),
        sa.CheckConstraint("how IN ('created', 'matched', 'by_hand')", name=op.f("ck_link_how")),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_link")),
        sa.UniqueConstraint("portal_id", name=op.f("uq_link_portal_id")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changes", sa.Integer(), server_default="1", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("intent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("intent_fence", sa.BigInteger(), nullable=True),
        sa.Column("intent_identity", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("portal_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("parked_reason", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('DONE', 'SUPERSEDED'))",
            name=op.f("ck_outbox_finished_says_when_and_only_then"),
        ),
        sa.CheckConstraint(
            "leased_until IS NULL OR state IN ('PENDING', 'PUSHED')", name=op.f("ck_outbox_only_open_rows_are_leased")
        ),
        sa.CheckConstraint(
            "parked_reason IS NULL OR parked_reason IN ('bad_data', 'exhausted', 'not_told', 'deleted', "
            "'ambiguous', 'identity', 'in_doubt', 'held')",
            name=op.f("ck_outbox_parked_reason"),
        ),
        sa.CheckConstraint("state <> 'PARKED' OR parked_reason IS NOT NULL", name=op.f("ck_outbox_parked_says_why")),
        sa.CheckConstraint("state <> 'PUSHED' OR outcome IS NOT NULL", name=op.f("ck_outbox_pushed_has_an_outcome")),
        sa.CheckConstraint(
            "state IN ('PENDING', 'PUSHED', 'DONE', 'PARKED', 'SUPERSEDED')", name=op.f("ck_outbox_state")
        ),
        sa.CheckConstraint(
            "(intent_at IS NULL) = (intent_fence IS NULL)", name=op.f("ck_outbox_an_intent_has_a_fence")
        ),
        sa.CheckConstraint("attempts >= 0 AND changes >= 0 AND fence >= 0", name=op.f("ck_outbox_counts_count_up")),
        sa.CheckConstraint(
            "intent_fence IS NULL OR intent_fence <= fence", name=op.f("ck_outbox_no_intent_from_the_future")
        ),
        sa.CheckConstraint("leased_until IS NULL OR worker IS NOT NULL", name=op.f("ck_outbox_a_lease_has_a_worker")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_outbox_answered",
            ["record_id", "state"],
            unique=False,
            sqlite_where=ANSWERED,
            postgresql_where=ANSWERED,
        )
        batch_op.create_index(
            "ix_outbox_finished", ["finished_at"], unique=False, sqlite_where=FINISHED, postgresql_where=FINISHED
        )
        batch_op.create_index(
            "ix_outbox_lease", ["leased_until"], unique=False, sqlite_where=LEASED, postgresql_where=LEASED
        )
        batch_op.create_index(
            "ix_outbox_pending",
            ["priority", "due_at", "id"],
            unique=False,
            sqlite_where=CLAIMABLE,
            postgresql_where=CLAIMABLE,
        )
        batch_op.create_index(
            "ix_outbox_pushed", ["priority", "due_at", "id"], unique=False, sqlite_where=PUSHED, postgresql_where=PUSHED
        )
        batch_op.create_index("ix_outbox_record", ["record_id", "id"], unique=False)
        batch_op.create_index(
            "ux_outbox_leased", ["record_id"], unique=True, sqlite_where=LEASED, postgresql_where=LEASED
        )
        batch_op.create_index(
            "ux_outbox_waiting", ["record_id"], unique=True, sqlite_where=WAITING, postgresql_where=WAITING
        )

    op.create_table(
        "stream",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("replay_id", sa.Text(), nullable=True),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("swept_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("own", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unwatched", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_stream")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("outbox_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.CheckConstraint("step IN ('portal', 'writeback')", name=op.f("ck_attempt_step")),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_attempt_outbox_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("outbox_id", "step", "fence", name=op.f("uq_attempt_outbox_id_step_fence")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "fields", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outbox_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_change_outbox_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_change_dedupe_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_change_outbox_id"), ["outbox_id"], unique=False)
        batch_op.create_index("ix_change_record", ["record_id", "id"], unique=False)


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("change", schema=None) as batch_op:
        batch_op.drop_index("ix_change_record")
        batch_op.drop_index(batch_op.f("ix_change_outbox_id"))

    op.drop_table("change")
    op.drop_table("attempt")
    op.drop_table("stream")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index("ux_outbox_waiting")
        batch_op.drop_index("ux_outbox_leased")
        batch_op.drop_index("ix_outbox_record")
        batch_op.drop_index("ix_outbox_pushed")
        batch_op.drop_index("ix_outbox_pending")
        batch_op.drop_index("ix_outbox_lease")
        batch_op.drop_index("ix_outbox_finished")
        batch_op.drop_index("ix_outbox_answered")

    op.drop_table("outbox")
    op.drop_table("link")
    op.drop_table("holder")
    op.drop_table("gate")
    op.drop_table("gap")
    op.drop_table("dead_letter")
    op.drop_table("action")
