"""A picture of a page that shows no patient: whatever may be a value is a block of one length, filled in or not.

The page itself is never photographed, since it may draw itself anew between masking and the picture. A copy is, which
holds blocks and the portal's known words alone, in a browser context that runs no script and reaches no network.
"""

from __future__ import annotations

from collections.abc import Collection

from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.patient import folded

_COPY = script("masked.js")
_WIDTH, _HEIGHT = 1366, 1000


async def masked(tab: Tab, words: Collection[str]) -> bytes:
    """The page as PNG. *words*: what may be read in it, where the portal speaks and not a patient's record.

    Two pages that differ in values alone give the very same bytes.
    """
    chart, row = tab.pack.chart, tab.pack.search.row
    asked = {
        "words": sorted({folded(word) for word in words}),
        "value": chart.value,
        "header": chart.header,
        "results": row.each,
    }
    html: str = await tab.evaluate(_COPY, asked)
    browser = tab.page.context.browser
    if browser is None:
        raise RuntimeError("a page of a browser that was not launched by us")
    context = await browser.new_context(
        java_script_enabled=False,
        offline=True,
        viewport={"width": _WIDTH, "height": _HEIGHT},
        device_scale_factor=1,
    )
    try:
        page = await context.new_page()
        await page.set_content(html, timeout=tab.patience.page * 1000)
        return await page.screenshot(full_page=True, animations="disabled", caret="hide")
    finally:
        await context.close()
