"""A patient's chart: opened by id, read in one call, as canonical values.

`page_from` is pure and says what is missing on the page; the rest is I/O. A chart is opened within the page where the
pack says by which request it comes, and that request is seen to be answered before the chart is drawn; else, and
whenever anything is not as expected, with a page load.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator

from fusion.codes import Code
from fusion.pages.at_hand import AtHand
from fusion.pages.at_once import document, uncovered
from fusion.pages.cover import LoggedOut
from fusion.pages.pack import Form, Pack
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.pages.values import canonical
from fusion.patient import Row, Section, Shown, Values
from fusion.portal import Refused

# As text: Playwright's own way with values takes as long as reading them.
READ = f"(spec) => JSON.stringify(({script('chart.js')})(spec))"
_REOPEN = f"async ([root], ask) => root && JSON.stringify(await ({script('reopen.js')})(ask, {READ}))"

_AT_HAND = 5.0

Pairs = list[tuple[str, str]]
"""Labels and values in the order shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPage:
    """What one page load showed, and as `text` what it was read from.

    `revisions`: by section, as the portal writes them, to know a newer one by.
    """

    shown: Shown
    revisions: Mapping[Section, str]
    text: str = field(repr=False, default="")


async def open_chart(tab: Tab, portal_id: str, *, wary: Collection[Section] = ()) -> ChartPage | None:
    """The chart with that id as the portal has it now; None if the portal says that there is none.

    *wary*: sections that may not be as the pack says; see `page_from`. Raises Refused with `IDENTITY_MISMATCH` if
    another chart comes up, as after a merge in the portal.
    """
    chart = tab.pack.chart
    states = {"ready": tab.visible(chart.ready), "missing": tab.visible(chart.missing)}
    page = await _reopened(tab, portal_id, states, wary)
    if page is None:
        if await tab.open(_route(tab.pack.routes.chart, portal_id), states, expected="a chart") == "missing":
            return None
        await tab.clear()
        page = await read_chart(tab, wary=wary)
    if page.shown.portal_id != portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    tab.chart = AtHand(chart=portal_id, text=page.text)
    return page


def _route(route: str, portal_id: str) -> str:
    return route.format(id=quote(portal_id, safe=""))


async def _reopened(
    tab: Tab, portal_id: str, states: Mapping[str, Locator], wary: Collection[Section]
) -> ChartPage | None:
    """The same without a page load, if it is proven to be what the portal answered just now; else None."""
    chart, routes = tab.pack.chart, tab.pack.routes
    # What lies over the page from before is seen in the same call; what comes now is told.
    root = uncovered(tab) if tab.left_over else document(tab)
    if chart.answer is None or root is None or not tab.inside:
        return None
    tab.wire.reset()
    began = time.monotonic()
    ask = {
        "away": routes.away or routes.home,
        "routes": [_route(one, portal_id) for one in (routes.chart, routes.chart_again) if one],
        "header": chart.header,
        "answer": chart.answer.replace("{id}", re.escape(quote(portal_id, safe=""))),
        "dialog": tab.pack.page.dialog,
        "within": tab.patience.page * 1000,
        "spec": spec_of(tab.pack),
    }
    try:
        answer = await root.evaluate_all(_REOPEN, ask)
    except PlaywrightError:
        if tab.page.is_closed():
            raise
        # The page loaded itself anew, for one.
        return None
    if answer is None:
        return None
    told = json.loads(answer)
    tab.forget_chart()
    if not told["fresh"]:
        # Whatever came in place of the chart has its say; a chart without the proof is opened with a page load.
        left = max(tab.patience.page - (time.monotonic() - began), 0.1)
        with contextlib.suppress(LoggedOut):
            if told["covered"]:
                await tab.clear()  # a page load would take a dialog away unread
            await tab.first_of(states, expected="a chart", within=left)
        return None
    if told["covered"]:
        await tab.clear()
    return page_from(await _whole(tab, told["chart"], wary), tab.pack, wary=wary)


def chart_at_hand(tab: Tab, portal_id: str, *, wary: Collection[Section] = ()) -> ChartPage | None:
    """The chart as `open_chart` just showed it; None if it must be opened.

    Only while nothing was clicked, typed or loaded since, and only for some seconds: others edit charts, too. Before
    anything is done on it, that very page must be seen to show it still (`is_still`).
    """
    seen = tab.chart
    if seen is None or seen.chart != portal_id or seen.age > _AT_HAND:
        return None
    return page_from(seen.text, tab.pack, wary=wary)


async def is_still(tab: Tab, page: ChartPage) -> bool:
    """Whether the page shows all of the chart as it did."""
    return await _read(tab) == page.text


async def read_chart(tab: Tab, *, wary: Collection[Section] = ()) -> ChartPage:
    """The chart that is on the page now. Raises Refused with `PORTAL_CHANGED` if a section or a label is not there."""
    return page_from(await _whole(tab, await _read(tab), wary), tab.pack, wary=wary)


async def _whole(tab: Tab, text: str, wary: Collection[Section]) -> str:
    """What was read, once all sections are there: a portal may draw them one after the other."""
    there = json.loads(text)["sections"]
    for section, form in tab.pack.sections.items():
        if not there[section] and section not in wary:
            await tab.first_of({"it": tab.place.locator(form.area).first}, expected=f'"{section}"')
            text = await _read(tab)
            there = json.loads(text)["sections"]
    return text


async def _read(tab: Tab) -> str:
    text: str = await tab.evaluate(READ, spec_of(tab.pack))
    return text


def page_from(text: str, pack: Pack, *, wary: Collection[Section] = ()) -> ChartPage:
    """What the page showed by *text*, as `chart.js` gives it, in canonical values.

    A section is read whole or, where it is one of *wary*, not at all: then it is `unread`, and nothing of it is
    guessed. Elsewhere a missing section or label raises Refused with `PORTAL_CHANGED`.
    """
    raw: Mapping[str, Any] = json.loads(text)
    values: Values = {}
    rows: dict[Section, tuple[Row, ...]] = {}
    unread: set[Section] = set()
    for section, form in pack.sections.items():
        try:
            read = _rows_of(section, raw, form, pack)
        except Refused:
            if section not in wary:
                raise
            unread.add(section)
            continue
        if form.rows is None:
            values = read[0].values
        else:
            rows[section] = read
    found: Mapping[str, Mapping[str, Any] | None] = raw["sections"]
    return ChartPage(
        shown=Shown(portal_id=_id_in(raw, pack), values=values, rows=rows, unread=frozenset(unread)),
        revisions={section: (found[section] or {}).get("revision", "") for section in pack.sections},
        text=text,
    )


def _rows_of(section: Section, raw: Mapping[str, Any], form: Form, pack: Pack) -> tuple[Row, ...]:
    """The section's rows; where it has none but is one form, that as a single one."""
    found: Mapping[str, Any] | None = raw["sections"][section]
    if found is None:
        raise Refused(Code.PORTAL_CHANGED, f'expected "{section}"')
    if form.rows is None:
        return (Row(key="", values=_values(found["pairs"], form, pack)),)
    return tuple(Row(key=row["key"], values=_values(row["pairs"], form, pack)) for row in found["rows"])


async def id_on(tab: Tab) -> str:
    """The id of the chart that the page is about, be it the chart itself or a form of it."""
    return _id_in(json.loads(await _read(tab)), tab.pack)


def _id_in(raw: Mapping[str, Any], pack: Pack) -> str:
    chart = pack.chart
    if chart.address is not None:
        found = re.search(chart.address, raw["address"])
        if found is None:
            raise Refused(Code.PORTAL_CHANGED, "expected a chart's address")
        return found["id"]
    portal_id = _by_label(raw["header"]).get(chart.id or "", "").strip()
    if not portal_id:
        raise Refused(Code.PORTAL_CHANGED, f'expected "{chart.id}"')
    return portal_id


def is_newer(revision: str, before: str) -> bool:
    """Whether a revision came after another one: as numbers where both are, else merely another."""
    if re.fullmatch(r"\d+", revision) and re.fullmatch(r"\d+", before):
        return int(revision) > int(before)
    return revision != before


def _values(pairs: Pairs, form: Form, pack: Pack) -> Values:
    by_label = _by_label(pairs)
    for entry in form.fields.values():
        if entry.label not in by_label:
            raise Refused(Code.PORTAL_CHANGED, f'expected "{entry.label}"')
    return {field: canonical(entry, by_label[entry.label], pack.forms) for field, entry in form.fields.items()}


def _by_label(pairs: Pairs) -> dict[str, str]:
    found: dict[str, str] = {}
    for label, value in pairs:
        if label in found:
            raise Refused(Code.PORTAL_CHANGED, f'expected one "{label}"')
        found[label] = value
    return found


def spec_of(pack: Pack) -> dict[str, Any]:
    chart = pack.chart
    return {
        "header": chart.header,
        "pair": chart.pair,
        "label": chart.label,
        "value": chart.value,
        "row_key": chart.row_key,
        "revision": chart.revision,
        "sections": {
            section.value: {"area": form.area, "rows": form.rows, "heads": form.heads}
            for section, form in pack.sections.items()
        },
    }
