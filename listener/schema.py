"""The tables. No patient data rests in them: ids, names of fields, states, codes and sentences that name nobody.

Times are UTC by the *database's* clock. State names in indexes are literals: a bound parameter would lose the partial
index under a generic plan on Postgres (measured: Seq Scan; `tests/listener/test_plans.py` guards it).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from listener.entry import ParkedReason, State
from listener.moments import UtcDateTime

VERSION = "0007"
"""The alembic revision that this code needs; a test holds it against the head of `migrations/`."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Id = BigInteger().with_variant(Integer, "sqlite")
_Names = JSON().with_variant(JSONB, "postgresql")


def _one_of(column: str, values: Any) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


def _partial(name: str, *columns: Any, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


outbox = Table(
    "outbox",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("object_name", Text, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("changes", Integer, nullable=False, server_default="1"),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("worker", Text),
    Column("claimed_at", UtcDateTime),
    Column("leased_until", UtcDateTime),
    Column("intent_at", UtcDateTime),
    Column("intent_fence", BigInteger),
    # For whom a chart was about to be made, as in link.identity: who is called otherwise since cannot be looked for.
    Column("intent_identity", Text),
    Column("outcome", Text),
    Column("portal_id", Text),
    Column("code", Text),
    Column("message", Text),
    Column("evidence", Text),
    Column("parked_reason", Text),
    Column("resolved_by", Text),
    Column("resolved_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("pushed_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    CheckConstraint(_one_of("state", State), name="state"),
    CheckConstraint("leased_until IS NULL OR state IN ('PENDING', 'PUSHED')", name="only_open_rows_are_leased"),
    CheckConstraint("leased_until IS NULL OR worker IS NOT NULL", name="a_lease_has_a_worker"),
    CheckConstraint(
        "(finished_at IS NOT NULL) = (state IN ('DONE', 'SUPERSEDED'))", name="finished_says_when_and_only_then"
    ),
    CheckConstraint("state <> 'PARKED' OR parked_reason IS NOT NULL", name="parked_says_why"),
    CheckConstraint(f"parked_reason IS NULL OR {_one_of('parked_reason', ParkedReason)}", name="parked_reason"),
    CheckConstraint("state <> 'PUSHED' OR outcome IS NOT NULL", name="pushed_has_an_outcome"),
    CheckConstraint("(intent_at IS NULL) = (intent_fence IS NULL)", name="an_intent_has_a_fence"),
    CheckConstraint("intent_fence IS NULL OR intent_fence <= fence", name="no_intent_from_the_future"),
    CheckConstraint("attempts >= 0 AND changes >= 0 AND fence >= 0", name="counts_count_up"),
    # Coalescing: later changes of a record fold into its one waiting row.
    _partial("ux_outbox_waiting", "record_id", where="state = 'PENDING' AND leased_until IS NULL", unique=True),
    # Never two workers on one record, whatever row they hold.
    _partial("ux_outbox_leased", "record_id", where="leased_until IS NOT NULL", unique=True),
    # `id > 0` is always true and keeps this index to the claim: without statistics Postgres takes the one that was made
    # last to look up a record as well, and reads every waiting row for each (seen: 1.9 ms at 1,500 waiting rows).
    _partial(
        "ix_outbox_pending",
        *("priority", "due_at", "id"),
        where="state = 'PENDING' AND leased_until IS NULL AND id > 0",
    ),
    _partial("ix_outbox_pushed", "priority", "due_at", "id", where="state = 'PUSHED' AND leased_until IS NULL"),
    _partial("ix_outbox_lease", "leased_until", where="leased_until IS NOT NULL"),
    # Those that may block their record, and those that its next answer covers. With the state in it, or SQLite would
    # rather read the record's whole history.
    _partial("ix_outbox_answered", "record_id", "state", where="state IN ('PARKED', 'PUSHED')"),
    _partial("ix_outbox_finished", "finished_at", where="finished_at IS NOT NULL"),
    Index("ix_outbox_record", "record_id", "id"),
    sqlite_autoincrement=True,  # an id is never used twice, not even after a purge
)

change = Table(
    "change",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("dedupe_key", Text, nullable=False, unique=True),
    Column("channel", Text),
    Column("object_name", Text, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("fields", _Names, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("source", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("outbox_id", _Id, ForeignKey("outbox.id", ondelete="CASCADE"), index=True),
    Index("ix_change_record", "record_id", "id"),
    sqlite_autoincrement=True,
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("outbox_id", _Id, ForeignKey("outbox.id", ondelete="CASCADE"), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("step", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("outcome", Text),
    Column("error_class", Text),
    Column("message", Text),
    Column("evidence", Text),
    CheckConstraint("step IN ('portal', 'writeback')", name="step"),
    UniqueConstraint("outbox_id", "step", "fence"),
    sqlite_autoincrement=True,
)

link = Table(
    "link",
    metadata,
    Column("record_id", Text, primary_key=True),
    Column("portal_id", Text, nullable=False, unique=True),
    Column("made_at", UtcDateTime, nullable=False),
    Column("how", Text, nullable=False),
    # A salted scrypt digest of the name and birth date that we last saw on the chart: it tells an intended change of
    # these from somebody else's chart, and cannot be read back.
    Column("identity", Text),
    CheckConstraint("how IN ('created', 'matched', 'by_hand')", name="how"),
)

gate = Table(
    "gate",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("until", UtcDateTime),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("actor", Text),
    CheckConstraint("lane IN ('portal', 'salesforce')", name="lane"),
    CheckConstraint("state IN ('open', 'shut', 'probing', 'paused')", name="state"),
    CheckConstraint("state NOT IN ('shut', 'probing') OR until IS NOT NULL", name="shut_says_until_when"),
)

# Two clocks: event_at, covers_from and swept_until are Salesforce's, all other moments the database's.
stream = Table(
    "stream",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("replay_id", Text),
    Column("moved_at", UtcDateTime),
    Column("heard_at", UtcDateTime),
    Column("event_at", UtcDateTime),
    Column("start", Text),
    Column("covers_from", UtcDateTime),
    Column("swept_until", UtcDateTime),
    Column("swept_at", UtcDateTime),
    Column("missed_at", UtcDateTime),
    Column("compared_at", UtcDateTime),
    Column("beat_at", UtcDateTime),
    Column("echo_at", UtcDateTime),
    Column("own", BigInteger, nullable=False, server_default="0"),
    Column("unwatched", BigInteger, nullable=False, server_default="0"),
    Column("missed", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("start IS NULL OR start IN ('retained', 'now')", name="start"),
)

# from_at, to_at and swept_until by Salesforce's clock; from_at NULL: from the beginning of time.
gap = Table(
    "gap",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("object_name", Text),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("from_at", UtcDateTime),
    Column("to_at", UtcDateTime),
    Column("reason", Text, nullable=False),
    Column("swept_until", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("changed", Integer),
    Column("enqueued", Integer),
    Column("deleted", Integer),
    Column("note", Text),
    sqlite_autoincrement=True,
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("replay_id", Text),
    Column("reason", Text, nullable=False),
    Column("shape", Text, nullable=False),  # keys and types of the body; its values may be a patient's
    Column("digest", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

kept_login = Table(
    "kept_login",
    metadata,
    Column("name", Text, primary_key=True),  # "CLIENT_ID at LOGIN_URL"
    Column("sealed", LargeBinary, nullable=False),  # the tokens; the key to them is in the environment
    Column("version", BigInteger, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("renewed_at", UtcDateTime, nullable=False),
    Column("asking", Text),
    Column("asking_until", UtcDateTime),
    Column("asked_at", UtcDateTime),  # of a renewal whose answer nobody has kept yet
    Column("ended", Text),
)

# One user of the portal, by "USERNAME at ADDRESS": what must be known of the log-in when a process starts anew.
portal_account = Table(
    "portal_account",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text),  # a salted digest: which password the rest is about
    Column("used_from", UtcDateTime),  # when the portal first took it
    Column("tries", BigInteger, nullable=False, server_default="0"),  # begun, and nobody knows how they ended
    Column("standing", Text),  # why the door is shut until a person opens it
    Column("said", Text),
    Column("hint", Text),
    Column("shut_at", UtcDateTime),
    Column("asked_at", UtcDateTime),  # since when a page waits for a log-in code
    Column("code", LargeBinary),  # sealed, for as long as it takes the worker to read it
    Column("given_at", UtcDateTime),  # without a code: a new one is to be sent
    Column("profile", LargeBinary),  # sealed: the browser's cookies and storage
    Column("profile_at", UtcDateTime),
    Column("next_password", Text),  # a digest: a change to it was begun
    Column("next_at", UtcDateTime),
    Column("last_password", Text),  # a digest: of the one before, which is good no more
    CheckConstraint("tries >= 0", name="tries_count_up"),
)

# The parts of the portal as they were seen last: which are no longer as the pack says. The portal's words only.
drift = Table(
    "drift",
    metadata,
    Column("place", Text, primary_key=True),
    Column("pack", Text, nullable=False),  # its name and a digest of what it says
    Column("said", _Names, nullable=False),
    Column("since", UtcDateTime),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("doubted_at", UtcDateTime),
)

# The rows that can only go on when a part of the portal is in order again.
waiting = Table(
    "waiting",
    metadata,
    Column("outbox_id", _Id, ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Text, primary_key=True, index=True),
)

# What the org said last of a limit of 24 hours.
allowance = Table(
    "allowance",
    metadata,
    Column("name", Text, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Column("allowed", BigInteger, nullable=False),
    Column("told_at", UtcDateTime, nullable=False),
    CheckConstraint("used >= 0 AND allowed >= 0", name="counts_count_up"),
)

# The messages that the stream brought us, by the hour in which they came.
delivery = Table(
    "delivery",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("events", BigInteger, nullable=False),
)

holder = Table(
    "holder",
    metadata,
    Column("name", Text, primary_key=True),  # "channel …" or "portal login …": one process at a time
    Column("worker", Text, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("leased_until", UtcDateTime, nullable=False),
)

action = Table(
    "action",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_autoincrement=True,
)
