"""The portal's search: every result to the last page, or an error, never a part that looks like the whole."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import structlog

from fusion.codes import Code
from fusion.pages import document
from fusion.pages.entry import Entry
from fusion.pages.pack import Pack
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.pages.values import canonical, given_and_middle, shown
from fusion.patient import Field, Hit, Identity, Patient
from fusion.portal import Refused
from listener.errors import EntryError

log = structlog.get_logger()

_READ = script("search.js")
# Less than the whole, so that no line is left between two views.
_SCREEN = "list => { list.scrollTop += Math.max(20, list.clientHeight * 0.7); }"
_DRAWN = 0.05
_TRIES = 3

Result = Mapping[str, str]
"""One line as the page shows it: id, name, birth_date, phone."""


def queries(patient: Patient, pack: Pack) -> Iterator[str]:
    """What to search for, as one would type it: last name, birth date, phone, as far as there are any."""
    asked: set[str] = set()
    for field in pack.search.by:
        entry, value = pack.entry(field), patient.values.get(field, "")
        if entry is None or not value:
            continue
        query = shown(entry, value, pack.forms)
        if len(query) >= pack.search.shortest and query not in asked:
            asked.add(query)
            yield query


async def find(tab: Tab, patient: Patient) -> tuple[Hit, ...]:
    """Every result of every query, without doubles. Raises EntryError if the answers can't be read to their end."""
    await tab.look_over()
    tab.forget_chart()
    await be_inside(tab)
    found: dict[str, Hit] = {}
    for query in queries(patient, tab.pack):
        for result in await _search(tab, query):
            hit = hit_from(result, patient, tab.pack)
            found.setdefault(hit.portal_id, hit)
    await tab.visible(tab.pack.search.box).fill("", timeout=tab.patience.action * 1000)
    return tuple(found.values())


def hit_from(result: Result, patient: Patient, pack: Pack) -> Hit:
    """One line of the results in canonical values. Raises Refused (`PORTAL_CHANGED`) if it has no id or name."""
    name = re.fullmatch(pack.search.name, result["name"].strip())
    portal_id = result["id"]
    if pack.search.row.link is not None and (found := re.search(pack.chart.address or "", portal_id)):
        portal_id = found["id"]
    if not portal_id or name is None:
        raise Refused(Code.PORTAL_CHANGED, "expected an id and a name in each search result")
    first, _ = given_and_middle(name["given"], patient.values.get(Field.FIRST_NAME, ""))
    born = _canonical(pack.entry(Field.BIRTH_DATE), result["birth_date"], pack)
    try:
        birth_date = date.fromisoformat(born)
    except ValueError:
        birth_date = None
    return Hit(
        portal_id=portal_id,
        identity=Identity(first_name=first, last_name=name["last"].strip(), birth_date=birth_date),
        phone=_canonical(pack.entry(Field.PHONE), result["phone"], pack),
    )


async def be_inside(tab: Tab) -> None:
    """Be on a page that has the search; without loading one if the tab is on such a page."""
    box = tab.visible(tab.pack.search.box)
    if not await box.count():
        await tab.open(tab.pack.routes.home, {"box": box}, expected=tab.pack.search.box[0].says)
        await tab.clear()


async def _search(tab: Tab, query: str) -> list[Result]:
    """Every result of one query. Raises Refused (`UNEXPECTED_PAGE`) if a filter keeps some back and stays."""
    for _ in range(_TRIES):
        await _ask(tab, query)
        if not await _is_filtered(tab):
            return await _to_the_end(tab, query)
    raise Refused(Code.UNEXPECTED_PAGE, "a filter of the search that stays")


async def _ask(tab: Tab, query: str) -> None:
    search = tab.pack.search
    if search.inactive is not None:
        box = tab.all_of(search.inactive)
        await tab.first_of({"it": box.first}, expected=search.inactive[0].says)
        if not await box.is_checked():
            # It may lie in a panel that opens only with results, where a real click does not reach it yet.
            await box.dispatch_event("click")
            until = time.monotonic() + tab.patience.menu
            while not await box.is_checked():
                if time.monotonic() > until:
                    raise Refused(Code.PORTAL_CHANGED, f"expected {search.inactive[0].says} to be ticked by a click")
                await asyncio.sleep(_DRAWN)
    await tab.visible(search.box).fill(query, timeout=tab.patience.action * 1000)
    await document.mark(tab)
    if search.submit is not None:
        await tab.click(search.submit)
    await _answered(tab)


async def _answered(tab: Tab) -> None:
    settled = document.anew(tab).locator(tab.pack.search.settled).first
    await tab.first_of({"settled": settled}, expected="search results", within=tab.patience.page)
    # A failure must not read as "nobody found".
    await tab.clear()


async def _is_filtered(tab: Tab) -> bool:
    """Whether somebody's filter kept results back; then it is taken away. Nobody found is no reason for a new chart."""
    search = tab.pack.search
    if search.filter is None or not await tab.all_of(search.filter).count():
        return False
    if search.unfilter is None:
        raise Refused(Code.UNEXPECTED_PAGE, "a filter of the search")
    log.warning("search filtered", why="somebody has left a filter, which is taken away")
    # It may lie in a panel that is not in view.
    await tab.all_of(search.unfilter).first.dispatch_event("click", timeout=tab.patience.action * 1000)
    return True


async def _to_the_end(tab: Tab, query: str) -> list[Result]:
    search = tab.pack.search
    read: list[Result] = []
    for _ in range(search.pages):
        answer = await _listed(tab, query)
        # A page of results takes the place of the one before, or is put under it.
        further = answer["rows"][0 if tab.pack.page.loads else len(read) :]
        if read and not further:
            raise _withheld()
        read += further
        more = tab.visible(search.more) if search.more else None
        if more is None or not await more.count():
            return await _all_of_them(tab, query, read, answer["total"])
        await document.mark(tab)
        await more.click(timeout=tab.patience.action * 1000)
        await _answered(tab)
    raise EntryError(
        f"the search has more than {search.pages} pages of results", hint="a person looks for the chart and links it"
    )


async def _all_of_them(tab: Tab, query: str, read: list[Result], total: str | None) -> list[Result]:
    """As many as the portal says that there are, scrolling on where a list has only what is in view."""
    search = tab.pack.search
    if search.total is None:
        return read
    if total is None or not total.isdecimal():
        raise Refused(Code.PORTAL_CHANGED, "expected a number of search results")
    rows = {row["id"]: row for row in read}
    until = time.monotonic() + tab.patience.page
    while len(rows) < int(total):
        if search.scroll is None or time.monotonic() > until:
            raise _withheld()
        await tab.place.locator(search.scroll).first.evaluate(_SCREEN)
        await asyncio.sleep(_DRAWN)
        await _answered(tab)
        before = len(rows)
        rows |= {row["id"]: row for row in (await _listed(tab, query))["rows"]}
        if len(rows) > before:
            until = time.monotonic() + tab.patience.page
    return list(rows.values())


async def _listed(tab: Tab, query: str) -> dict[str, Any]:
    search = tab.pack.search
    asked = {"row": search.row.model_dump(), "settled": search.settled, "echo": search.echo, "total": search.total}
    answer: dict[str, Any] = await tab.evaluate(_READ, asked)
    if search.echo is not None and answer["query"] != query:
        raise EntryError("the search answered another question", hint="it is tried again")
    return answer


def _withheld() -> EntryError:
    return EntryError("the search has more results and does not show them", hint="it is tried again")


def _canonical(entry: Entry | None, text: str, pack: Pack) -> str:
    return canonical(entry, text, pack.forms) if entry else text
