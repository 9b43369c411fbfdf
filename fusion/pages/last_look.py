"""The last look at a form before Save, and the click: each in one turn of a page's script, with nothing over the page.

It is for what is as it should be, and tells nothing of what is not: that is found out step by step (`form`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Locator

from fusion.pages.at_once import uncovered
from fusion.pages.entry import Entry
from fusion.pages.pack import Form as FormSpec
from fusion.pages.press import PRESS, in_time
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.pages.widgets import BOXES, asked_of

_LOOK = f"(things, ask) => ({script('last_look.js')})(things, ask, {BOXES}, {PRESS})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """At a form with its button: both are one locator."""

    tab: Tab
    things: Locator
    asked: list[dict[str, Any]]

    async def sees(self) -> str | None:
        """What each field shows, as JSON, if Save could be clicked now; else None."""
        page = uncovered(self.tab)
        if page is None:
            return None
        told: str | None = await page.locator(self.things).evaluate_all(_LOOK, self._ask(None))
        return told

    async def press(self, seen: str) -> bool:
        """Click Save if it could still be clicked and all fields show what was *seen*; whether it was clicked."""
        return await in_time(self.tab, self.things.evaluate_all(_LOOK, self._ask(seen))) is not None

    def _ask(self, texts: str | None) -> dict[str, Any]:
        return {"asked": self.asked, "texts": texts, "dialog": self.tab.pack.page.dialog}


def last_look(tab: Tab, form: Locator, spec: FormSpec, entries: Sequence[Entry]) -> LastLook | None:
    """None where it takes more: a frame, a mouse, a question after Save, or fields that only Playwright finds."""
    page, asked = tab.pack.page, asked_of(entries)
    if asked is None or page.frame or page.loads or page.mouse or spec.sure is not None:
        return None
    return LastLook(tab=tab, things=form.or_(tab.visible(spec.save, form)), asked=asked)


def alone(seen: str) -> list[str] | None:
    """The texts, if each field has just one box."""
    texts: list[list[str]] = json.loads(seen)
    return [text for [text] in texts] if all(len(one) == 1 for one in texts) else None
