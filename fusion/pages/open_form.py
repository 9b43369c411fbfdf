"""A form is opened and read in one call, on a chart that is seen to be as it was read, with nothing over it."""

from __future__ import annotations

import json

from playwright.async_api import Locator

from fusion.pages.at_once import document, uncovered
from fusion.pages.chart import READ, spec_of
from fusion.pages.pack import Form as FormSpec
from fusion.pages.script import script
from fusion.pages.spot import Spot
from fusion.pages.tab import Tab
from fusion.pages.widgets import BOXES, asked_of

_OPEN = f"(things, ask) => ({script('open_form.js')})(things, ask, {READ}, {BOXES})"


async def open_and_read(
    tab: Tab, spec: FormSpec, opens: tuple[Spot, ...], path: list[str], *, scope: Locator, chart: str | None
) -> list[list[str]] | None:
    """What each field of the form shows once it is open; [] if it was clicked, and the form has yet to come.

    *opens*: what is clicked, within *scope*, which is also found by *path*, CSS within CSS. *chart*: the text that the
    chart must still show. None where nothing was clicked: something is not as it was, or it takes more than one call.
    """
    asked, page = asked_of(list(spec.fields.values())), uncovered(tab) if tab.left_over else document(tab)
    css = [spot.css for spot in spec.form if spot.css is not None and spot.text is None]
    if asked is None or page is None or len(css) < len(spec.form) or spec.elsewhere or tab.pack.page.loads:
        return None
    ask = {"chart": chart, "spec": spec_of(tab.pack), "path": path, "form": ", ".join(css), "asked": asked}
    told = await page.locator(tab.visible(opens, scope)).evaluate_all(_OPEN, ask)
    if told is None:
        return None
    tab.forget_chart()
    found: list[list[str]] = json.loads(told)
    return found
