"""Whatever workers, crashes and changes do in whatever order: nothing is lost and nothing is done twice.

FUSION_TEST_EXAMPLES=3000 looks longer. The runs with a guard taken out must fail, or the others would prove nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import func, select, update

from listener import outbox, schema
from listener.database import Database, Tx
from listener.entry import OutboxEntry, State
from listener.errors import LeaseLost
from tests.outbox_machine import OutboxMachine

EXAMPLES = int(os.environ.get("FUSION_TEST_EXAMPLES", "50"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


@pytest.fixture
def machine(migrated_sqlite: Path, quick_folder: Path) -> Iterator[Callable[[], OutboxMachine]]:
    """Makes one machine an example, all over one database that each of them empties."""
    shutil.copy(migrated_sqlite, quick_folder / "outbox.db")
    with asyncio.Runner() as runner:
        database = Database(f"sqlite:///{quick_folder / 'outbox.db'}")
        yield lambda: OutboxMachine(database, runner)
        runner.run(database.close())


@pytest.mark.timeout(60 + EXAMPLES * 2)
def test_nothing_is_lost_and_nothing_is_done_twice(machine: Callable[[], OutboxMachine]) -> None:
    run_state_machine_as_test(machine, settings=SETTINGS)


def must_fail(machine: Callable[[], OutboxMachine], saying: str) -> None:
    """Some example of a run that is always the same breaks a promise; not made smaller, since nobody will read it."""
    hunt = settings(SETTINGS, max_examples=300, derandomize=True, phases=[Phase.generate])
    with pytest.raises(AssertionError, match=saying):
        run_state_machine_as_test(machine, settings=hunt)


def test_without_the_fence_it_fails(machine: Callable[[], OutboxMachine], monkeypatch: pytest.MonkeyPatch) -> None:
    def by_id_alone(entry: OutboxEntry) -> Any:
        return schema.outbox.c.id == entry.id

    monkeypatch.setattr(outbox, "_held", by_id_alone)
    must_fail(machine, "a stale holder")


def test_without_the_intent_it_fails(machine: Callable[[], OutboxMachine], monkeypatch: pytest.MonkeyPatch) -> None:
    async def looks_and_says_nothing(tx: Tx, entry: OutboxEntry) -> None:
        valid = schema.outbox.c.leased_until > func.db_now()
        if (await tx.execute(select(schema.outbox.c.id).where(outbox._held(entry), valid))).first() is None:
            raise LeaseLost(f"entry {entry.id} is no longer ours")

    monkeypatch.setattr(outbox, "intend", looks_and_says_nothing)
    must_fail(machine, "a click that nobody knows of")


def test_where_an_answer_covers_what_came_after_it_it_fails(
    machine: Callable[[], OutboxMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def covers_too_much(
        tx: Tx, before: OutboxEntry, after: OutboxEntry, *, error: str | None = None, really: Any = outbox.save
    ) -> bool:
        saved: bool = await really(tx, before, after, error=error)
        if saved and before.state is State.PENDING and after.state is State.PUSHED:
            waiting = (schema.outbox.c.record_id == after.record_id, schema.outbox.c.state == State.PENDING)
            gone = {"state": State.SUPERSEDED, "finished_at": func.db_now()}
            await tx.execute(update(schema.outbox).where(*waiting).values(gone))
        return saved

    monkeypatch.setattr(outbox, "save", covers_too_much)
    must_fail(machine, "is lost")
