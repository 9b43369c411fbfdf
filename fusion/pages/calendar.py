"""A date that is chosen from a calendar: opened, turned to the month, and the day clicked."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from playwright.async_api import Locator

from fusion.codes import Code
from fusion.pages.entry import Calendar
from fusion.pages.locate import locate, visible
from fusion.pages.spot import Spots
from fusion.pages.tab import Tab
from fusion.portal import Refused

_MOST_TURNS = 1500
"""Months in 125 years: further back nobody was born."""
_LOOK = 0.02


async def pick(tab: Tab, box: Locator, calendar: Calendar, day: datetime) -> None:
    """Click that day in the calendar of *box*. Raises Refused (`PORTAL_CHANGED`) where the calendar does not turn."""
    wait = tab.patience.action * 1000
    await box.click(timeout=wait)
    panel = tab.visible(calendar.panel)
    await tab.first_of({"it": panel}, expected=calendar.panel[0].says, within=tab.patience.menu)
    month = visible(panel, calendar.month)
    words = await month.inner_text(timeout=wait)
    for _ in range(_MOST_TURNS):
        months = _months_until(day, words.strip(), calendar)
        if not months:
            break
        await visible(panel, _turn(calendar, months)).click(timeout=wait)
        words = await _turned(tab, month, words, calendar)
    days = locate(panel, calendar.day).filter(visible=True)
    numbers = [text.strip() for text in await days.all_inner_texts()]
    if numbers.count(str(day.day)) != 1:
        raise Refused(Code.PORTAL_CHANGED, f"expected each day once in {calendar.panel[0].says}")
    await days.nth(numbers.index(str(day.day))).click(timeout=wait)


async def _turned(tab: Tab, month: Locator, before: str, calendar: Calendar) -> str:
    until = time.monotonic() + tab.patience.menu
    while (now := await month.inner_text(timeout=tab.patience.action * 1000)) == before:
        if time.monotonic() > until:
            raise Refused(Code.PORTAL_CHANGED, f"expected {calendar.month[0].says} to turn")
        await asyncio.sleep(_LOOK)
    return now


def _months_until(day: datetime, words: str, calendar: Calendar) -> int:
    try:
        # A calendar's month has no zone.
        shown = datetime.strptime(words, calendar.written)  # noqa: DTZ007
    except ValueError:
        raise Refused(Code.PORTAL_CHANGED, f"expected a month in {calendar.month[0].says}") from None
    return (day.year - shown.year) * 12 + day.month - shown.month


def _turn(calendar: Calendar, months: int) -> Spots:
    year = calendar.year_earlier if months < 0 else calendar.year_later
    if abs(months) >= 12 and year is not None:
        return year
    return calendar.earlier if months < 0 else calendar.later
