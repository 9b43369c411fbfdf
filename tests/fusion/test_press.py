"""The one click that saves, on pages of the test's own in a real browser, which note what came to them."""

from __future__ import annotations

import pytest
from playwright.async_api import TimeoutError as PlaywrightTimeout
from portal_place import Place, opened, place

from fusion.pages.press import press
from fusion.pages.tab import Tab

pytestmark = pytest.mark.asyncio(loop_scope="module")
__all__ = ["opened", "place"]

_NOTED = """<script>
  window.noted = [];
  const note = (event) => noted.push(`${event.type} ${event.target.id}`);
  for (const kind of ["mousedown", "click"]) addEventListener(kind, note);
</script>"""


async def _clicked(place: Place, body: str, *, mouse: bool = False) -> list[str]:
    warm = await place.portal.warm.tab()
    page = warm.page
    await page.set_content(body + _NOTED)
    pack = warm.pack.model_copy(update={"page": warm.pack.page.model_copy(update={"mouse": mouse})})
    tab = Tab(page, base="", pack=pack, door=warm.door, patience=warm.patience)
    try:
        await press(tab, page.locator("#save"))
    except PlaywrightTimeout:
        await page.evaluate("noted.push('gave up')")
    noted: list[str] = await page.evaluate("noted")
    place.portal.warm.leave()
    return noted


async def test_a_button_that_lies_open_is_clicked_once_and_no_mouse_is_moved(place: Place) -> None:
    assert await _clicked(place, "<button id=save>Save</button>") == ["click save"]


async def test_a_button_far_down_the_page_is_clicked_too(place: Place) -> None:
    assert await _clicked(place, "<p style='height: 4000px'></p><button id=save>Save</button>") == ["click save"]


async def test_a_button_under_something_is_not_clicked(place: Place) -> None:
    curtain = "<div id=curtain style='position: fixed; inset: 0; background: white'></div>"
    assert await _clicked(place, f"<button id=save>Save</button>{curtain}") == ["gave up"]


async def test_a_thing_that_only_plays_a_button_is_clicked_by_the_mouse(place: Place) -> None:
    noted = await _clicked(place, "<div id=save role=button tabindex=0>Save</div>")
    assert noted == ["mousedown save", "click save"]


async def test_a_pack_can_ask_for_the_mouse(place: Place) -> None:
    assert await _clicked(place, "<button id=save>Save</button>", mouse=True) == ["mousedown save", "click save"]
