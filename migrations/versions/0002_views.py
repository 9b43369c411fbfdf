"""What ops ask of the outbox, as views: the README has queries to copy."""

from __future__ import annotations

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

VIEWS = {
    # What a worker still has to do, the next one first.
    "outbox_open": """
        SELECT id, record_id, state, priority, due_at, attempts, changes, changed_at,
               {age_of_changed_at} AS age_seconds, worker, leased_until, code, message
        FROM outbox
        WHERE state IN ('PENDING', 'PUSHED')
        ORDER BY priority, due_at, id
    """,
    # What waits for a person, the oldest first, and the command that answers it.
    "outbox_needs_you": """
        SELECT id, record_id, portal_id, parked_reason, code, message, changed_at,
               {age_of_changed_at} AS age_seconds, evidence,
               CASE parked_reason
                   WHEN 'held' THEN 'fusion-sync release '
                   WHEN 'ambiguous' THEN 'fusion-sync resolve '
                   WHEN 'identity' THEN 'fusion-sync resolve '
                   WHEN 'in_doubt' THEN 'fusion-sync resolve '
                   WHEN 'deleted' THEN 'fusion-sync resolve '
                   ELSE 'fusion-sync retry '
               END || id AS command
        FROM outbox
        WHERE state = 'PARKED'
        ORDER BY changed_at, id
    """,
    # Everything that was tried, for one record or one night. No end: the process died there.
    "outbox_history": """
        SELECT attempt.started_at, outbox.record_id, outbox.id AS entry, attempt.step, attempt.fence,
               attempt.outcome, attempt.error_class, attempt.message, attempt.ended_at,
               {seconds_of_attempt} AS seconds, attempt.worker, outbox.state, outbox.portal_id
        FROM attempt JOIN outbox ON outbox.id = attempt.outbox_id
        ORDER BY attempt.started_at, attempt.id
    """,
    # By day of the change: how many, how long from the save in Salesforce until both agreed, and how many were late.
    "outbox_sla": """
        SELECT {day_of_changed_at} AS day,
               count(*) AS finished,
               sum(changes) AS changes,
               round(avg({seconds_to_finish}), 1) AS average_seconds,
               round(max({seconds_to_finish}), 1) AS slowest_seconds,
               sum(CASE WHEN {seconds_to_finish} > 900 THEN 1 ELSE 0 END) AS over_15_minutes
        FROM outbox
        WHERE state = 'DONE'
        GROUP BY {day_of_changed_at}
        ORDER BY day
    """,
}

POSTGRES = {
    "age_of_changed_at": "round(extract(epoch FROM now() - changed_at), 1)",
    "seconds_of_attempt": "round(extract(epoch FROM attempt.ended_at - attempt.started_at), 3)",
    "day_of_changed_at": "(changed_at AT TIME ZONE 'UTC')::date",
    "seconds_to_finish": "extract(epoch FROM finished_at - changed_at)",
}

SQLITE = {
    "age_of_changed_at": "round((julianday('now') - julianday(changed_at)) * 86400, 1)",
    "seconds_of_attempt": "round((julianday(attempt.ended_at) - julianday(attempt.started_at)) * 86400, 3)",
    "day_of_changed_at": "date(changed_at)",
    "seconds_to_finish": "((julianday(finished_at) - julianday(changed_at)) * 86400)",
}


def upgrade() -> None:
    """Make the views."""
    words = POSTGRES if op.get_bind().dialect.name == "postgresql" else SQLITE
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query.format(**words)}")


def downgrade() -> None:
    """Drop them."""
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
