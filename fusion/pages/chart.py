"""A patient's chart: opened by id, read in one call, as canonical values.

`shown_from` is pure and says what is missing on the page; the rest is I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fusion.codes import Code
from fusion.pages.pack import Form, Pack
from fusion.pages.tab import Tab
from fusion.pages.values import canonical
from fusion.patient import Row, Section, Shown, Values
from fusion.portal import Refused

_READ = (Path(__file__).parent / "chart.js").read_text(encoding="utf-8").partition("\n")[2]

_AT_HAND = 5.0

Pairs = list[tuple[str, str]]
"""Labels and values in the order shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPage:
    """What one page load showed. `revisions`: by section, as the portal writes them, to know a newer one by."""

    shown: Shown
    revisions: Mapping[Section, str]


async def open_chart(tab: Tab, portal_id: str) -> ChartPage | None:
    """The chart with that id from a fresh page load; None if the portal says that there is none.

    Raises Refused with `IDENTITY_MISMATCH` if another chart comes up, as after a merge in the portal.
    """
    chart = tab.pack.chart
    states = {"ready": tab.visible(chart.ready), "missing": tab.visible(chart.missing)}
    route = tab.pack.routes.chart.format(id=quote(portal_id, safe=""))
    if await tab.open(route, states, expected="a chart") == "missing":
        return None
    await tab.clear()
    page = await read_chart(tab)
    if page.shown.portal_id != portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    tab.shows(portal_id)
    return page


async def chart_at_hand(tab: Tab, portal_id: str) -> ChartPage | None:
    """The chart as `open_chart` just showed it, read again from that very page load; None if it must be opened.

    Only while nothing was clicked, typed or loaded since, and only for some seconds: others edit charts, too.
    """
    if not tab.is_showing(portal_id, for_seconds=_AT_HAND) or not await tab.visible(tab.pack.chart.ready).count():
        return None
    page = await read_chart(tab)
    return page if page.shown.portal_id == portal_id else None


async def read_chart(tab: Tab) -> ChartPage:
    """The chart that is on the page now. Raises Refused with `PORTAL_CHANGED` if a section or a label is not there."""
    raw = await tab.page.evaluate(_READ, _spec(tab.pack))
    for section, form in tab.pack.sections.items():
        if not raw["sections"][section]:
            # A portal may draw its sections one after the other.
            await tab.first_of({"it": tab.page.locator(form.area).first}, expected=f'"{section}"')
            raw = await tab.page.evaluate(_READ, _spec(tab.pack))
    return page_from(raw, tab.pack)


def page_from(raw: Mapping[str, Any], pack: Pack) -> ChartPage:
    """What the page showed, in canonical values."""
    sections: Mapping[str, Mapping[str, Any]] = raw["sections"]
    values: Values = {}
    rows: dict[Section, tuple[Row, ...]] = {}
    for section, form in pack.sections.items():
        found = sections[section]
        if form.rows is None:
            values = _values(found["pairs"], form, pack)
        else:
            rows[section] = tuple(
                Row(key=row["key"], values=_values(row["pairs"], form, pack)) for row in found["rows"]
            )
    portal_id = _by_label(raw["header"]).get(pack.chart.id, "").strip()
    if not portal_id:
        raise Refused(Code.PORTAL_CHANGED, f'expected "{pack.chart.id}"')
    return ChartPage(
        shown=Shown(portal_id=portal_id, values=values, rows=rows),
        revisions={section: sections[section]["revision"] for section in pack.sections},
    )


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


def _spec(pack: Pack) -> dict[str, Any]:
    chart = pack.chart
    return {
        "header": chart.header,
        "pair": chart.pair,
        "label": chart.label,
        "value": chart.value,
        "row_key": chart.row_key,
        "revision": chart.revision,
        "sections": {section.value: {"area": form.area, "rows": form.rows} for section, form in pack.sections.items()},
    }
