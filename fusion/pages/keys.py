"""Keys pressed on a field, as a person does."""

from __future__ import annotations

import asyncio

from playwright.async_api import Locator

from fusion.pages.tab import Tab

_PAUSE = 70
"""Milliseconds after each key: slower than any mask needs that was seen, about as fast as people type."""


async def press_keys(tab: Tab, box: Locator, text: str, *, empty: bool = False, slowly: bool = False) -> None:
    """Empty the field unless it is *empty*, then press key by key; *slowly*, with a pause after each.

    On the element, not on the keyboard: the lock may take the focus between two keys.
    """
    wait = tab.patience.action * 1000
    if not empty:
        await box.press("ControlOrMeta+a", timeout=wait)
        await box.press("Delete", timeout=wait)
        if slowly:
            await asyncio.sleep(_PAUSE / 1000)
    if text:
        await box.press_sequentially(text, delay=_PAUSE if slowly else 0, timeout=wait + (100 + _PAUSE) * len(text))
