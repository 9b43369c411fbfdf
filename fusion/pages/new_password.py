"""The page on which a user changes the password, by choice or because the old one has expired."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from enum import StrEnum

from playwright.async_api import TimeoutError as PlaywrightTimeout
from pydantic import SecretStr

from fusion.pages.entrance import Password
from fusion.pages.memory import Shut
from fusion.pages.standing import Standing
from fusion.pages.tab import Tab
from listener.errors import EntryError, Outage


class Answer(StrEnum):
    """What the portal said to the change."""

    CHANGED = "changed"
    OLD_IS_WRONG = "old is wrong"
    NEW_IS_REFUSED = "new is refused"


def missing(password: SecretStr, page: Password) -> bool:
    """Whether the portal would refuse it for what it lacks."""
    return not all(re.search(rule, password.get_secret_value()) for rule in page.rules)


async def change(
    tab: Tab, page: Password, *, old: SecretStr, new: SecretStr, about_to_change: Callable[[], Awaitable[None]]
) -> Answer:
    """Change it, logging in with the old one on the way if asked to.

    Raises `EntryError` if nothing says whether it was changed; `Shut` if the way to the page is.
    """
    expired = False
    box = {"form": tab.visible(page.new)}
    try:
        await tab.open(page.route, box, expected="the page of the new password")
    except Shut as shut:
        if shut.standing is not Standing.EXPIRED:
            raise
        expired = True
        await tab.first_of(box, expected="the page of the new password", at_login=True)
    patience = tab.patience.action * 1000
    if await tab.visible(page.old).count():
        await tab.visible(page.old).fill(old.get_secret_value(), timeout=patience)
    for spots in (page.new, page.again):
        await tab.visible(spots).fill(new.get_secret_value(), timeout=patience)
    await about_to_change()
    await tab.visible(page.save).click(timeout=patience)
    states = {Answer.CHANGED.value: tab.visible(page.changed), Answer.OLD_IS_WRONG.value: tab.visible(page.wrong)}
    if expired:
        states["inside"] = tab.visible(tab.pack.page.inside)
    states["trouble"] = tab.visible(tab.pack.page.trouble)
    states[Answer.NEW_IS_REFUSED.value] = tab.visible(page.alert)
    try:
        said = await tab.first_of_soon(states, within=tab.patience.save, at_login=True)
    except (Outage, PlaywrightTimeout):
        said = None
    if said is None or said == "trouble":
        raise EntryError("nothing says whether the password was changed", hint="run the command again: it finds out")
    return Answer.CHANGED if said == "inside" else Answer(said)
