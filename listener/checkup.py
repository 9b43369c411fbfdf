"""Is the outbox's database sound, and does anything in it wait for somebody? One finding a question. Reads only.

What makes the rest unreadable ends the round: there is no use in asking a database without tables for its rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex

from listener import allowance, board, disk, gaps, gates, outbox, positions, schema, tokens
from listener.alarms import Expected, alarms
from listener.database import Database, Tx
from listener.entry import State
from listener.errors import Outage, SetupError

LATE = timedelta(hours=1)
STUCK = timedelta(minutes=5)
"""A worker that lives takes over a lease that ran out at its next look, a second later."""
LITTLE_ROOM, NO_ROOM = 1_000_000_000, 100_000_000
LARGE_LOG = 200_000_000
"""Below this Postgres reads the whole table whatever indexes there are, and is right to."""

_ENTRIES = schema.outbox
_CLAIMS_INDEX = "ix_outbox_pending"
_RESTORE = "stop all processes, and restore the last backup"


class Verdict(StrEnum):
    """What a finding means for whoever runs this."""

    OK = "ok"
    WARNING = "warning"  # it works; somebody should look
    WRONG = "wrong"  # it does not work, or will not for long


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question: one sentence, and the next move where there is one to make."""

    check: str
    verdict: Verdict
    said: str
    move: str = ""


async def examine(
    db: Database,
    *,
    expected: Expected,
    mounts: disk.Mounts = disk.mounts,
    free: Callable[[Path], int] = disk.free_bytes,
) -> list[Finding]:
    """Every finding about the database, in the order in which one would look; never raises what it can tell."""
    findings: list[Finding] = []
    file = db.file
    if file is not None:
        if not file.is_file():
            return [_wrong("file", f"There is no file {file}.", "run `fusion-sync migrate`, or correct DATABASE_URL")]
        findings += _about_the_file(file, mounts(), free(file.parent))
        if any(one.verdict is Verdict.WRONG for one in findings):
            return findings
    # Which tables there are is asked of a file that is whole, and rights on tables where tables are.
    order = (_INTEGRITY, _SCHEMA) if db.is_sqlite else (_SCHEMA, _INTEGRITY)
    about_salesforce = (("stream", partial(_stream, expected=expected)), ("limits", _limits), ("log-in", _log_ins))
    for name, ask in (*order, _PLAN, _ROWS, *about_salesforce):
        try:
            findings += [one async for one in ask(db)]
        except SetupError as error:
            return [*findings, _wrong(name, _ended(_capital(str(error))), error.hint)]
        except Outage as error:
            move = "is another program holding the file?" if db.is_sqlite else "is the server running, and reachable?"
            return [*findings, _wrong(name, _ended(_capital(str(error))), move)]
        except SQLAlchemyError as error:
            # By class: its text may quote a row.
            kind = type(getattr(error, "orig", error)).__name__
            move = _RESTORE if db.is_sqlite else "may this user read every table? what does the server's log say?"
            return [*findings, _wrong(name, f"The database does not answer as one of ours ({kind}).", move)]
    return findings


def _about_the_file(file: Path, mounted: Sequence[disk.Mount], free: int) -> list[Finding]:
    mount = disk.mount_of(file, mounted)
    if mount is None:
        lies = _warning("file system", "It is not known what file system the file lies on.", "it must be a local disk")
    elif mount.is_network:
        lies = _wrong(
            "file system",
            f"The file lies on a network file system ({mount.kind}), where SQLite's locks do not hold.",
            "stop all processes, and move it to a disk of this host, or use Postgres",
        )
    else:
        lies = _ok("file system", f"The file lies on a disk of this host ({mount.kind}).")
    room = f"{_size(free)} are free on the file's disk."
    if free < LITTLE_ROOM:
        left = (_wrong if free < NO_ROOM else _warning)("disk", room, "make room: a full disk stops every commit")
    else:
        left = _ok("disk", room)
    ahead = file.with_name(f"{file.name}-wal")
    size = ahead.stat().st_size if ahead.is_file() else 0
    written = f"The write-ahead log has {_size(size)}."
    if size > LARGE_LOG:
        move = "end who reads for long (an open sqlite3 shell?): it is emptied when nobody reads"
        return [lies, left, _warning("write-ahead log", written, move)]
    return [lies, left, _ok("write-ahead log", written)]


async def _schema(db: Database) -> AsyncIterator[Finding]:
    await db.check()
    yield _ok("schema", f"The tables are at version {schema.VERSION}, as this program needs them.")


async def _sound(db: Database) -> AsyncIterator[Finding]:
    async with db.reading() as tx:
        if db.is_sqlite:
            # Both speak of places in the file and of tables, never of what is in a row.
            broken = [
                str(one) for one in (await tx.execute(text("PRAGMA integrity_check(10)"))).scalars() if one != "ok"
            ]
            strays = len((await tx.execute(text("PRAGMA foreign_key_check"))).all())
            if broken or strays:
                told = f"The file is damaged in {len(broken)} places at least, and {strays} rows belong to no entry."
                yield _wrong("integrity", told, _RESTORE)
            else:
                yield _ok("integrity", "The file is whole.")
            return
        if (await tx.execute(select(func.pg_is_in_recovery()))).scalar_one():
            move = "let DATABASE_URL name the primary, or wait until it has recovered"
            yield _wrong("integrity", "The server is a standby or still recovering: nothing can be written.", move)
            return
        for table in schema.metadata.sorted_tables:
            await tx.execute(select(table).limit(1))
        yield _ok("integrity", f"The server takes writes, and all {len(schema.metadata.sorted_tables)} tables answer.")


async def _plan(db: Database) -> AsyncIterator[Finding]:
    async with db.reading() as tx:
        pick = outbox.next_due(State.PENDING)
        if _CLAIMS_INDEX in await _explained(tx, pick):
            yield _ok("claim", f"The claim finds the next entry by {_CLAIMS_INDEX}.")
            return
        told = f"The claim does not use {_CLAIMS_INDEX}: each takes longer, the more entries there are."
        yield _wrong("claim", told, f"make the index anew: `{_made_anew(tx)}`")


async def _rows(db: Database) -> AsyncIterator[Finding]:
    async with db.reading() as tx:
        now: datetime = (await tx.execute(select(func.db_now()))).scalar_one()
        lanes = await gates.read(tx)
        yield await _oldest(tx, now)
        yield await _leases(tx, shut=not all(gate.is_open for gate in lanes.values()))
        for lane, gate in lanes.items():
            if gate.is_open:
                yield _ok(f"way to {lane}", "It is open.")
            elif gate.rests:
                yield _ok(f"way to {lane}", _ended(f"It rests: {gate.reason}"))
            elif gate.state == "paused":
                told = f"{gate.actor or 'Somebody'} paused it: {gate.reason or 'no reason given'}"
                yield _warning(f"way to {lane}", _ended(told), f"`fusion-sync resume {lane} --reason …`")
            else:
                told = (
                    f"It is {gate.state} after {_number(gate.failures, 'failure')}: {gate.reason or 'no reason given'}"
                )
                yield _warning(f"way to {lane}", _ended(told), "it is tried again by itself; is the other side up?")
        doubts, parked = await board.doubts(tx), (await board.counts(tx))[State.PARKED]
        if doubts["open_gaps"]:
            told = f"{_number(doubts['open_gaps'], 'gap')} in the stream: changes in it may not be known yet."
            yield _warning("gaps", told, "the next sweep closes it: is a listener running?")
        else:
            yield _ok("gaps", "No gap in the stream is open.")
        if doubts["dead_letters"]:
            told = f"{_number(doubts['dead_letters'], 'message')} of Salesforce could not be read."
            yield _warning("dead letters", told, "`SELECT * FROM dead_letter`: it holds their shapes, no values")
        else:
            yield _ok("dead letters", "Every message of Salesforce could be read.")
        if parked:
            told = f"Entries that wait for a person: {parked}."
            yield _warning("people", told, "`fusion-sync outbox --state PARKED`")
        else:
            yield _ok("people", "Nothing waits for a person.")


async def _stream(db: Database, *, expected: Expected) -> AsyncIterator[Finding]:
    async with db.reading() as tx:
        standings = await positions.standings(tx)
        open_gaps = await gaps.list_gaps(tx, only_open=True)
    for one in standings:
        found = alarms(one, [gap for gap in open_gaps if gap.channel == one.channel], expected)
        for alarm in found:
            yield _warning("stream", alarm.said, alarm.move)
        if not found:
            yield _ok("stream", f"Nothing speaks against {one.channel} being heard whole.")


async def _limits(db: Database) -> AsyncIterator[Finding]:
    async with db.reading() as tx:
        usages = await allowance.read(tx)
    for one in usages.values():
        yield _warning("limits", one.said, one.move) if one.is_tight else _ok("limits", one.said)


async def _log_ins(db: Database) -> AsyncIterator[Finding]:
    async with db.reading() as tx:
        found = await tokens.standings(tx)
    for one in found:
        if one.ended is not None:
            yield _warning("log-in", f"{one.ended}.", "`fusion-sync login`, if SALESFORCE_AUTH is web")
        else:
            told = f"A person's of {one.made_at:%Y-%m-%d}, last renewed at {one.renewed_at:%Y-%m-%d %H:%M} UTC."
            yield _ok("log-in", told)


_INTEGRITY, _SCHEMA, _PLAN, _ROWS = ("integrity", _sound), ("schema", _schema), ("claim", _plan), ("entries", _rows)


async def _oldest(tx: Tx, now: datetime) -> Finding:
    open_rows = select(_ENTRIES.c.id, _ENTRIES.c.changed_at).where(_ENTRIES.c.state.in_(["PENDING", "PUSHED"]))
    row = (await tx.execute(open_rows.order_by(_ENTRIES.c.changed_at, _ENTRIES.c.id).limit(1))).first()
    if row is None:
        return _ok("oldest entry", "Nothing waits.")
    age = now - row.changed_at
    told = f"Entry {row.id} has waited longest, since its change {_span(age)} ago."
    return _warning("oldest entry", told, f"`fusion-sync show {row.id}`") if age > LATE else _ok("oldest entry", told)


async def _leases(tx: Tx, *, shut: bool) -> Finding:
    ran_out = _ENTRIES.c.leased_until < func.db_after(-STUCK.total_seconds())
    stuck: int = (await tx.execute(_count(ran_out))).scalar_one()
    if not stuck:
        return _ok("leases", "No lease is stuck.")
    told = f"{_number(stuck, 'lease')} ran out more than {STUCK.seconds // 60} minutes ago, and nobody took over."
    if shut:
        return _warning("leases", told, "they are taken over when the ways are open again")
    return _wrong("leases", told, "start a worker: `fusion-sync work`")


def _made_anew(tx: Tx) -> str:
    (index,) = [one for one in _ENTRIES.indexes if one.name == _CLAIMS_INDEX]
    made = " ".join(str(CreateIndex(index).compile(dialect=tx.dialect)).split())
    return f"DROP INDEX IF EXISTS {_CLAIMS_INDEX}; {made}"


async def _explained(tx: Tx, pick: Select[Any]) -> str:
    word = "EXPLAIN QUERY PLAN" if tx.dialect.name == "sqlite" else "EXPLAIN"
    # With parameters, as it is sent: where SQLite reads `LIMIT 1` as a literal, it plans otherwise.
    query = pick.compile(dialect=tx.dialect)
    names = query.positiontup
    values: Any = query.params if names is None else tuple(query.params[name] for name in names)
    plan = await tx.exec_driver_sql(f"{word} {query}", values)
    return " ".join(str(cell) for row in plan for cell in row)


def _count(where: ColumnElement[bool]) -> Select[Any]:
    return select(func.count()).select_from(_ENTRIES).where(where)


def _number(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _capital(told: str) -> str:
    return f"{told[:1].upper()}{told[1:]}"


def _ended(told: str) -> str:
    return told if told.endswith((".", "!", "?")) else f"{told}."


def _ok(check: str, said: str) -> Finding:
    return Finding(check=check, verdict=Verdict.OK, said=said)


def _warning(check: str, said: str, move: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARNING, said=said, move=move)


def _wrong(check: str, said: str, move: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WRONG, said=said, move=move)
