"""Whatever a channel brings, the next good event is kept, and what was no event is a dead letter without its values."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from listener import positions, schema, wire
from listener.change import Ours
from listener.database import Database
from listener.listen import Intake, listen
from listener.stream import Batch
from tests.outbox_rows import record
from tests.postgres import Postgres

CANARY = "Zebulon-Canary"
_numbers = count(1)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "entityName": st.sampled_from(["Patient__c", "Contact", ""]) | values,
        "recordIds": st.lists(st.sampled_from([record(900), "a0P*", CANARY]), max_size=2) | values,
        "changeType": st.sampled_from(["CREATE", "UPDATE", "GAP_OVERFLOW", "SNAPSHOT"]) | values,
        "commitTimestamp": st.integers() | values,
        "transactionKey": values,
        "changedFields": values,
        "changeOrigin": values,
        "commitUser": values,
    },
)
events = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.just("/data/X") | values,
        "data": st.fixed_dictionaries(
            {},
            optional={
                "event": st.fixed_dictionaries({}, optional={"replayId": values}) | values,
                "payload": st.fixed_dictionaries({}, optional={"ChangeEventHeader": headers | values}) | values,
            },
        )
        | values,
    },
)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all examples; each has a channel of its own in it."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        name = server.make(request.getfixturevalue("migrated_postgres"))
        yield server.url(name)
        server.drop(name)
        return
    path = tmp_path_factory.mktemp("junk") / "outbox.db"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    yield f"sqlite:///{path}"


def good(number: int) -> dict[str, Any]:
    """An event as it should be."""
    header = {
        "entityName": "Patient__c",
        "recordIds": [record(number)],
        "changeType": "CREATE",
        "transactionKey": f"good-{number}",
        "commitTimestamp": 1_793_000_000_000,
        "changedFields": [],
    }
    return {"data": {"event": {"replayId": number}, "payload": {"ChangeEventHeader": header}}}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(junk=st.lists(events | values, min_size=1, max_size=5))
async def test_the_next_good_event_is_kept_whatever_came_before(url: str, junk: list[Any]) -> None:
    number = next(_numbers)
    channel = f"/data/Junk{number}"
    answer = wire.pieces(json.dumps([*junk, good(number)]).encode())
    assert answer is not None

    async def stream() -> AsyncIterator[Batch]:
        yield Batch(channel=channel, messages=tuple(wire.read(one) for one in answer))

    db = Database(url)
    intake = Intake(
        db=db,
        ours=Ours(user_id=None, client="fusion-sync", fields=frozenset()),
        watched=frozenset({"Patient__c"}),
        settle=timedelta(0),
        wake=lambda: None,
    )
    try:
        await listen(stream(), intake)
        kept = select(schema.change.c.record_id).where(schema.change.c.channel == channel).order_by(schema.change.c.id)
        dead = select(schema.dead_letter).where(schema.dead_letter.c.channel == channel)
        async with db.reading() as tx:
            assert (await tx.execute(kept)).scalars().all()[-1] == record(number)
            letters = [dict(row) for row in (await tx.execute(dead)).mappings()]
            assert await positions.replay_id(tx, channel) == str(number)
    finally:
        await db.close()
    assert len(letters) <= len(junk)
    for letter in letters:
        keys_alone = letter["shape"] if isinstance(letter["shape"], str) else json.dumps(letter["shape"])
        assert f'"{CANARY}"' not in keys_alone
        assert CANARY not in letter["reason"]
