"""The portal's search: every result to the last page, or an error, never a part that looks like the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date

from fusion.codes import Code
from fusion.pages.entry import Entry
from fusion.pages.pack import Pack
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.pages.values import canonical, given_and_middle, shown
from fusion.patient import Field, Hit, Identity, Patient
from fusion.portal import Refused
from listener.errors import EntryError

_READ = script("search.js")

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
    search = tab.pack.search
    settled = tab.anew.locator(search.settled).first
    if search.inactive is not None:
        box = tab.all_of(search.inactive)
        await tab.first_of({"it": box.first}, expected=search.inactive[0].says)
        if not await box.is_checked():
            # It may lie in a panel that opens only with results, where a real click does not reach it yet.
            await box.dispatch_event("click")
    await tab.visible(search.box).fill(query, timeout=tab.patience.action * 1000)
    await tab.all_this_is_past()
    if search.submit is not None:
        await tab.click(search.submit)
    read: list[Result] = []
    for _ in range(search.pages):
        await tab.first_of({"settled": settled}, expected="search results", within=tab.patience.page)
        # A failure must not read as "nobody found".
        await tab.clear()
        answer = await tab.evaluate(
            _READ, {"row": search.row.model_dump(), "settled": search.settled, "echo": search.echo}
        )
        if search.echo is not None and answer["query"] != query:
            raise EntryError("the search answered another question", hint="it is tried again")
        # A page of results takes the place of the one before, or is put under it.
        further = answer["rows"][0 if tab.pack.page.loads else len(read) :]
        if read and not further:
            raise EntryError("the search has more results and does not show them", hint="it is tried again")
        read += further
        more = tab.visible(search.more) if search.more else None
        if more is None or not await more.count():
            return read
        await tab.all_this_is_past()
        await more.click(timeout=tab.patience.action * 1000)
    raise EntryError(
        f"the search has more than {search.pages} pages of results", hint="a person looks for the chart and links it"
    )


def _canonical(entry: Entry | None, text: str, pack: Pack) -> str:
    return canonical(entry, text, pack.forms) if entry else text
