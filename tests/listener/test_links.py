"""Which chart is which record's: one each way, for ever, whoever asks at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from listener import links, schema
from listener.database import Database
from listener.errors import Conflict
from listener.links import Link
from tests.outbox_rows import record, rows


def a_link(number: int = 1, portal_id: str = "40001", **fields: str | None) -> Link:
    """A link of record `number`."""
    values: dict[str, str | None] = {"how": "created", "identity": "digest"} | fields
    return Link(record_id=record(number), portal_id=portal_id, **values)  # type: ignore[arg-type]


async def make(db: Database, link: Link) -> None:
    """Make it true or raise `Conflict`."""
    async with db.writing() as tx:
        await links.make(tx, link)


async def everything(db: Database) -> tuple[Link | None, Link | None]:
    """The links of record 1 and of chart 40001."""
    async with db.reading() as tx:
        return await links.of_record(tx, record(1)), await links.of_chart(tx, "40001")


async def test_a_link_is_found_from_both_ends(db: Database) -> None:
    assert await everything(db) == (None, None)
    await make(db, a_link())
    assert await everything(db) == (a_link(), a_link())


async def test_a_link_made_again_renews_its_digest_and_nothing_else(db: Database) -> None:
    await make(db, a_link(how="matched"))
    await make(db, a_link(how="created", identity="another"))
    assert await everything(db) == (a_link(how="matched", identity="another"),) * 2


async def test_a_record_never_gets_a_second_chart(db: Database) -> None:
    await make(db, a_link(1, "40001"))
    with pytest.raises(Conflict, match=record(1)):
        await make(db, a_link(1, "40002", identity="another"))
    assert await everything(db) == (a_link(), a_link())


async def test_a_chart_never_gets_a_second_record(db: Database) -> None:
    await make(db, a_link(1, "40001"))
    with pytest.raises(Conflict):
        await make(db, a_link(2, "40001", identity="another"))
    assert await everything(db) == (a_link(), a_link())


@pytest.mark.parametrize("second", [a_link(1, "40002"), a_link(2, "40001")], ids=["one record", "one chart"])
async def test_of_two_links_at_the_same_moment_the_first_stays(db: Database, second: Link) -> None:
    other = Database(db.url.render_as_string(hide_password=False))
    async with db.writing() as tx:
        await links.make(tx, a_link(1, "40001"))
        late = asyncio.create_task(make(other, second))
        await asyncio.wait([late], timeout=0.05)
        assert not late.done()  # it waits for us
    with pytest.raises(Conflict):
        await late
    assert await everything(db) == (a_link(), a_link())
    await other.close()


async def test_a_refused_link_takes_the_rest_of_its_transaction_along(db: Database) -> None:
    await make(db, a_link(1, "40001"))

    async def two_at_once() -> None:
        async with db.writing() as tx:
            await links.make(tx, a_link(3, "40003"))
            await links.make(tx, a_link(2, "40001"))

    with pytest.raises(Conflict):
        await two_at_once()
    async with db.reading() as tx:
        assert await links.of_chart(tx, "40003") is None


async def test_a_link_says_how_and_when_it_was_made(db: Database) -> None:
    await make(db, a_link(how="by_hand", identity=None))
    (only,) = await rows(db, schema.link)
    assert (only["how"], only["identity"], only["made_at"].tzinfo is not None) == ("by_hand", None, True)
