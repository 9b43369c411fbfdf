"""What may lie over a document of the portal's while something else is wanted of it, and what it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from playwright.async_api import Locator

from fusion.pages.locate import Place, visible
from fusion.pages.pack import Pack


class LoggedOut(Exception):
    """The log-in page came up in the middle of something; it says nothing about what was clicked before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Over one document. `entrance`: what may stand in place of the page; a frame has none."""

    place: Place
    lock: Locator
    trouble: Locator
    dialog: Locator
    entrance: tuple[Locator, ...] = ()

    def all(self, *, at_login: bool) -> list[Locator]:
        """All of it; *at_login* without what is expected there."""
        return [self.lock, self.trouble, self.dialog, *(() if at_login else self.entrance)]


def cover_of(place: Place, pack: Pack, entrance: tuple[Locator, ...] = ()) -> Cover:
    """What the pack knows of that may lie there."""
    return Cover(
        place=place,
        lock=visible(place, pack.lock.sign),
        trouble=visible(place, pack.page.trouble),
        dialog=place.locator(pack.page.dialog).filter(visible=True),
        entrance=entrance,
    )


def class_of(text: str, pack: Pack) -> str:
    """What an unknown dialog with those words is about. The words themselves may be a patient's and are not kept."""
    known = (dialog.is_ for dialog in pack.page.dialogs if re.search(dialog.words, text, re.IGNORECASE))
    return next(known, "an unknown dialog")


def answer_to(text: str, pack: Pack) -> Literal["ok", "cancel"] | None:
    """Which button of a question of the browser's own goes on with a save; None: it is not one that the pack knows."""
    known = (one.answer for one in pack.page.questions if re.search(one.words, text, re.IGNORECASE))
    return next(known, None)
