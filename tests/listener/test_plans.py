"""What the hot statements cost when 50,000 rows are finished: each finds its partial index, and none reads a table.

The statements are those that were really sent. On Postgres they are planned three ways: with the values, as a generic
plan that does not know them, and without any statistics, as on a table that was never analyzed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from listener import outbox, schema, tellings
from listener.database import Database
from listener.entry import OutboxEntry, ParkedReason, State
from tests.outbox_rows import (
    DAY,
    LEASE,
    NO_TIME,
    NOON,
    UPDATED,
    a_change,
    alter,
    arrive,
    claimed,
    let_the_lease_run_out,
    push,
    refused,
    rows,
    save,
    settle,
)

FINISHED = 50_000
MINUTES = 60 * 1000


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def old_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that has worked for a long time: 50,000 rows of 2,000 records are done, as many changes are kept."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("old") / "outbox.db"
        file.write_bytes(request.getfixturevalue("migrated_sqlite").read_bytes())
        yield f"sqlite:///{file}"
        return
    server = request.getfixturevalue("postgres")
    name = server.make(request.getfixturevalue("migrated_postgres"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def old(old_url: str) -> AsyncIterator[Database]:
    """That database; filled by the first test that comes."""
    database = Database(old_url)
    if not await rows(database, schema.holder):
        await _fill(database)
    yield database
    await database.close()


async def _fill(db: Database) -> None:
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {FINISHED})"
    number = "substr('00000000000' || (i % 2000), -11)" if db.is_sqlite else "lpad((i % 2000)::text, 11, '0')"
    stamp = "'2026-11-03 12:00:00.000000'" if db.is_sqlite else "timestamptz '2026-11-03 12:00Z'"
    record = f"'a0P0' || {number} || 'EAA'"
    async with db.writing() as tx:
        await tx.execute(
            text(
                "INSERT INTO outbox (object_name, record_id, state, priority, due_at, changed_at, created_at, outcome, "
                f"finished_at) {numbers} SELECT 'Patient__c', {record}, CASE WHEN i % 10 = 0 THEN 'SUPERSEDED' ELSE "
                f"'DONE' END, 10, {stamp}, {stamp}, {stamp}, 'updated', {stamp} FROM n"
            )
        )
        await tx.execute(
            text(
                "INSERT INTO change (dedupe_key, object_name, record_id, kind, fields, changed_at, source, received_at,"
                f" outbox_id) {numbers} SELECT 'old:' || i, 'Patient__c', {record}, 'UPDATE', '[]', {stamp}, 'stream', "
                f"{stamp}, (SELECT max(id) FROM outbox) - i + 1 FROM n"
            )
        )
        await tx.execute(text(f"INSERT INTO holder VALUES ('filled', 'one', {stamp}, {stamp})"))
    # Some of everything, so that no index is empty.
    await arrive(db, *range(9_000, 9_030))
    for _ in range(5):
        await settle(db, await claimed(db), refused(ParkedReason.IN_DOUBT))
    for _ in range(5):
        pushed = await push(db, await claimed(db))
        await save(db, pushed, pushed.released())


@contextmanager
def _sent(db: Database) -> Iterator[list[tuple[str, Any]]]:
    """Every statement on outbox and change that is sent within, with its values."""
    found: list[tuple[str, Any]] = []

    def note(_c: Connection, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        if re.search(r"\b(outbox|change)\b", statement):
            found.append((statement, values))

    single = [db._single._engine] if db._single else []
    engines = [engine.sync_engine for engine in (db._writer, *single)]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def _plans(db: Database, statement: str, values: Any) -> list[str]:
    """How the database would run it, each way it may be asked to."""
    async with db.writing() as tx:
        if db.is_sqlite:
            steps = await tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            return ["\n".join(step[3] for step in steps)]
        known = "\n".join(step[0] for step in await tx.exec_driver_sql(f"EXPLAIN {statement}", values))
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
        for number, name in enumerate(names, 1):
            statement = statement.replace(f"%({name})s", f"${number}")
        await tx.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.exec_driver_sql(f"PREPARE planned AS {statement}")
        nothing = f"({', '.join(['NULL'] * len(names))})" if names else ""
        generic = "\n".join(step[0] for step in await tx.exec_driver_sql(f"EXPLAIN EXECUTE planned{nothing}"))
        await tx.exec_driver_sql("DEALLOCATE planned")
    return [known, generic]


async def _claim(db: Database, stage: State | None = None) -> None:
    async with db.writing() as tx:
        if stage is None:
            await outbox.claim(tx, worker="one", lease=LEASE)
        else:
            await outbox.claim_to_probe(tx, stage, worker="one", lease=LEASE)
        await tx.rollback()


async def _claim_abandoned(db: Database, stage: State) -> None:
    entry = await claimed(db, State.PENDING)
    if stage is State.PUSHED:
        entry = await push(db, entry)
    await let_the_lease_run_out(db, entry)
    await _claim(db, stage)
    await alter(db, entry.id, leased_until=None, state=State.DONE, finished_at=NOON)


async def _append(db: Database) -> None:
    async with db.writing() as tx:
        await outbox.append(tx, [a_change(number) for number in (1, 1, 9_001)], None, settle=NO_TIME)
        await tx.rollback()


async def _save(db: Database, draw: Callable[[OutboxEntry], OutboxEntry]) -> None:
    entry = await claimed(db)
    async with db.writing() as tx:
        await outbox.beat(tx, entry, lease=LEASE, deadline=DAY)
        await outbox.intend(tx, entry)
        await outbox.save(tx, entry, draw(entry))
        await tx.rollback()
    await save(db, entry, entry.released())


async def _gathered(db: Database) -> None:
    async with db.writing() as tx:
        await tellings.gathered(tx, after=LEASE)


async def _claim_many(db: Database) -> None:
    async with db.writing() as tx:
        await tellings.claim(tx, worker="one", lease=LEASE)
        await tx.rollback()


async def _let_many_go(db: Database) -> None:
    async with db.writing() as tx:
        entries = await tellings.claim(tx, worker="one", lease=LEASE)
        assert len(entries) == 5
        await tellings.standing(tx, [entry.id for entry in entries])
        await tellings.not_claimed_since(tx, entries)
        assert len(await tellings.save(tx, entries, entries[0].settled())) == 5
        await tx.rollback()


async def _recall(db: Database) -> None:
    async with db.writing() as tx:
        await tellings.recall(tx)
        await tx.rollback()


Act = Callable[[Database], Coroutine[Any, Any, None]]
ACTS: dict[str, tuple[Act, set[str]]] = {
    "claim": (_claim, {"ix_outbox_lease", "ix_outbox_pending", "ux_outbox_leased", "ix_outbox_answered"}),
    "see what has gathered": (_gathered, {"ix_outbox_lease", "ix_outbox_pushed", "ix_outbox_pending"}),
    "recall": (_recall, {"ix_outbox_answered"}),
    "claim many write-backs": (_claim_many, {"ix_outbox_lease", "ix_outbox_pushed", "ux_outbox_leased"}),
    "let many go": (_let_many_go, set()),
    "claim a visit by a probe": (
        lambda db: _claim(db, State.PENDING),
        {"ix_outbox_lease", "ix_outbox_pending", "ux_outbox_leased", "ix_outbox_answered"},
    ),
    "claim a write-back": (
        lambda db: _claim(db, State.PUSHED),
        {"ix_outbox_lease", "ix_outbox_pushed", "ux_outbox_leased"},
    ),
    "rescue a visit": (lambda db: _claim_abandoned(db, State.PENDING), {"ix_outbox_lease"}),
    "rescue a write-back": (lambda db: _claim_abandoned(db, State.PUSHED), {"ix_outbox_lease"}),
    "append": (_append, {"ux_outbox_waiting"}),
    "save an answer": (lambda db: _save(db, lambda entry: entry.pushed(UPDATED)), {"ix_outbox_answered"}),
    "give a row back": (lambda db: _save(db, lambda entry: entry.released()), {"ux_outbox_waiting"}),
}


@pytest.mark.parametrize("act", list(ACTS))
@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "with statistics"])
async def test_no_hot_statement_reads_a_table(old: Database, act: str, analyzed: bool) -> None:
    if analyzed:
        async with old.writing() as tx:
            await tx.exec_driver_sql("ANALYZE")
    do, indexes = ACTS[act]
    with _sent(old) as statements:
        await do(old)
    whole = ""
    for statement, values in statements:
        for plan in await _plans(old, statement, values):
            assert not re.search(r"Seq Scan on (outbox|change)", plan), plan
            assert "SCAN" not in plan or "CONSTANT ROW" in plan or re.search(r"USING (COVERING )?INDEX", plan), plan
            assert "ix_outbox_record" not in plan, plan  # all that the record ever had
            # To find one record among all that wait:
            assert "ix_outbox_pending" not in plan or re.search("claimed_at|AS visits", statement), plan
            whole += f"{plan}\n\n"
    if not old.is_sqlite or act != "append":  # SQLite's plan of an upsert does not say which index takes the conflict
        assert all(index in whole for index in indexes), whole


async def test_a_young_database_does_not_read_all_that_wait_to_find_one_record(database_url: str) -> None:
    """Without statistics all partial indexes look equally small to Postgres, and this is how a backlog begins.

    It then takes one by the order in which they were made, which here is another than the migrations'.
    """
    young = Database(database_url)
    async with young.writing() as tx:
        await tx.run_sync(schema.metadata.create_all)
    await arrive(young, *range(1_500))
    with _sent(young) as statements:
        await _append(young)
    for statement, values in statements:
        for plan in await _plans(young, statement, values):
            assert "ix_outbox_pending" not in plan, plan
    await young.close()


async def test_a_plan_that_was_made_when_there_was_nothing_yet_does_not_read_all_changes(migrated_url: str) -> None:
    """A connection keeps it for hours, while the table grows (seen: one more change took 6 times as long)."""
    empty = Database(migrated_url)
    with _sent(empty) as statements:
        await _append(empty)
    for statement, values in statements:
        for plan in await _plans(empty, statement, values):
            assert not re.search(r"Scan (using \w+ )?on change .*\n(?! *Index Cond)", plan), plan
    await empty.close()
