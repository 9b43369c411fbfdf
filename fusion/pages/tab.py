"""One page of the portal, and everything that may come over it while something else is waited for.

All waiting goes through `first_of`: it knows the lock, the log-in page, unknown dialogs and the portal's own words for
trouble, so that no page object has to. The states it was asked for come first, so whoever is about to believe what is
on the page calls `clear` before.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Mapping
from functools import reduce
from itertools import cycle
from typing import Any

from playwright.async_api import Dialog, Locator, Page
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout

from fusion.codes import Code
from fusion.pages.at_hand import AtHand
from fusion.pages.cover import Cover, LoggedOut, answer_to, class_of, cover_of
from fusion.pages.door import Door
from fusion.pages.loading import load
from fusion.pages.locate import Place, locate, visible
from fusion.pages.pack import Pack
from fusion.pages.patience import Patience
from fusion.pages.spot import Spot
from fusion.pages.wire import Wire, seconds
from fusion.portal import Refused
from listener.errors import EntryError, Outage

UNLOCKED = "(unlocked)"
"""State of `first_of_soon` when a lock came in between, and was opened."""

NO_EVIDENCE = "the portal gave no evidence of the save"
LOOK_AGAIN = "the chart is looked at again before anything is written"
_LOADED_FOR = 600.0
"""Seconds after which a page is loaded anew: a portal changes, and a page that is open does not hear of it."""
_LOOK = 0.45
"""Seconds for one call that waits, within which Playwright looks every 50 ms."""
ANSWER = 0.25
"""Seconds to wait for a request's answer and not look at the page. A page may keep a request open for ever."""
_AT_ONCE = "async (roots, given) => roots.length ? [await ({function})(given)] : []"


class Tab:
    """One page, kept warm between visits. `place` is where the portal works: the page, or the frame of it.

    `pending` is True from the click on Save until its evidence: whatever comes out then leaves the save in doubt.
    `saves` counts those with evidence in this visit. `chart`: what was read on this page load, until anything is
    clicked, typed or loaded. `left_over`: what the last visit left over the page is yet to be seen.
    """

    def __init__(self, page: Page, *, base: str, pack: Pack, door: Door, patience: Patience) -> None:
        self.page = page
        self.pack = pack
        self.door = door
        self.patience = patience
        self.wire = Wire(page, base)
        self.pending = False
        self.saves = 0
        self.native_dialog = False
        self._inside_until = 0.0
        self._base = base
        self.chart: AtHand | None = None
        self.left_over = False
        self._watching = False
        self._login = visible(page, pack.login.sign)
        self._stops = visible(page, tuple(spot for stop in pack.stops for spot in stop.sign) or pack.login.sign)
        self._frame = page.locator(pack.page.frame).first if pack.page.frame else None
        self.place: Place = self._frame.content_frame if self._frame else page
        self._covers = [cover_of(page, pack, (self._login, self._stops))]
        if self._frame:
            self._covers.append(cover_of(self.place, pack))

    async def prepare(self) -> None:
        """Watch for the lock between actions, and for the browser's own dialogs, answered only as the pack says."""
        for cover in self._covers:
            await self._watch_for_lock(cover)
        if self.pack.page.unneeded:
            # Within the browser: a route of Playwright's would ask us about each request of the page.
            devtools = await self.page.context.new_cdp_session(self.page)
            await devtools.send("Network.enable")
            await devtools.send("Network.setBlockedURLs", {"urls": list(self.pack.page.unneeded)})
        self.page.on("dialog", self._native)

    async def _watch_for_lock(self, cover: Cover) -> None:
        async def locked(_: Locator) -> None:
            # While something is waited for, `first_of` sees the lock itself and must know that it was there.
            if not self._watching:
                await self.door.unlock_between_actions(self.page, cover.place)

        # Playwright would wait for the lock to go even if it was refused; `unlock` waits for that by itself.
        await self.page.add_locator_handler(cover.lock, locked, no_wait_after=True)

    @property
    def only_cover(self) -> Cover | None:
        """What may lie over the page; None where it may lie over the page or over a frame of it."""
        return self._covers[0] if self._frame is None else None

    @property
    def inside(self) -> bool:
        """Whether a page of the portal's is open that is not its log-in, and was loaded not too long ago."""
        return time.monotonic() < self._inside_until

    def forget_chart(self) -> None:
        """Something was done on the page: what it shows is what it was told, not what the portal has."""
        self.chart, self.left_over = None, False

    async def begin(self) -> None:
        """A new visit: nothing is in doubt yet."""
        self.pending, self.saves = False, 0
        self.wire.reset()
        self.left_over = self.chart is None or not self.chart.is_just_now

    async def look_over(self) -> None:
        """See what the last visit left over the page, once, before the page is left."""
        if self.left_over:
            self.left_over = False
            try:
                await self.clear()
            except LoggedOut:
                self._inside_until = 0.0

    async def open(self, route: str, states: Mapping[str, Locator], *, expected: str, fresh: bool = True) -> str:
        """Go to a page and say which of the states it is in, logging in on the way if asked to.

        *fresh*: with a page load, even if only the part after # differs. Raises Outage if there is no such page.
        """
        for tried in (False, True):
            await self._go(self._base + route, fresh=fresh)
            try:
                state = await self.first_of(states, expected=expected, within=self.patience.page)
            except LoggedOut:
                if tried:
                    raise
                await self.door.log_in(self)
            else:
                if fresh or not self.inside:
                    self._inside_until = time.monotonic() + _LOADED_FOR
                return state
        raise AssertionError  # the second round returns or raises

    async def first_of(
        self, states: Mapping[str, Locator], *, expected: str, within: float | None = None, at_login: bool = False
    ) -> str:
        """The name of the first of *states* that is there, as soon as one is. A lock in between is opened.

        *expected* is what a message calls them, *within* so many seconds, else `patience.action`. Raises LoggedOut;
        Refused for an unknown dialog (`UNEXPECTED_PAGE`) or if nothing comes (`PORTAL_CHANGED`); Outage if nobody
        answers; EntryError for trouble of the portal's own, and for anything after Save.
        """
        limit = self.patience.action if within is None else within
        while True:
            state = await self.first_of_soon(states, within=limit, at_login=at_login)
            if state is None:
                raise self.nothing_came(expected, limit)
            if state != UNLOCKED:
                return state
            # The time at the lock does not count: what was asked for is sent again only now.

    async def first_of_soon(
        self, states: Mapping[str, Locator], *, within: float, at_login: bool = False
    ) -> str | None:
        """The same; but None if nothing comes, and `UNLOCKED` if a lock was opened before anything came."""
        began = time.monotonic()
        # What is drawn after an answer need not be looked for before it.
        await self.wire.answer(min(within, ANSWER))
        # Mostly it is there already, and counting costs a fraction of waiting.
        locks, sought = [cover.lock for cover in self._covers], states.values()
        locked, there = await asyncio.gather(
            *(asyncio.gather(*(one.count() for one in all_)) for all_ in (locks, sought))
        )
        if not any(locked) and any(there):
            # In the order in which they were asked for, since the page may have drawn itself between two looks.
            first = next(at for at, number in enumerate(there) if number)
            before = list(states.items())[:first]
            for name, one in before:
                if await one.count():
                    return name
            return list(states)[first]
        # One for each document: Playwright waits for no two at once.
        covers = self._covers if at_login else self._covers[::-1]
        unions = [cover.all(at_login=at_login) for cover in covers]
        unions[0] += states.values()
        looks = cycle([reduce(lambda one, other: one.or_(other), union).first for union in unions])
        while (left := within - (time.monotonic() - began)) > 0:
            await self.wire.answer(min(left, ANSWER))
            self._watching = True
            try:
                # Playwright looks ever more rarely, down to twice a second; over a short time it keeps looking often.
                await next(looks).wait_for(state="attached", timeout=min(left, _LOOK / len(unions)) * 1000)
            except PlaywrightTimeout:
                continue
            finally:
                self._watching = False
            for cover in self._covers:
                if await cover.lock.count():
                    await self.door.unlock(cover.place)
                    return UNLOCKED
            for name, locator in states.items():
                if await locator.count():
                    return name
            await self.clear(at_login=at_login)
        return None

    async def clear(self, *, at_login: bool = False) -> None:
        """Return if nothing lies over the page. A lock is opened; for the rest see `first_of`."""
        for cover in self._covers:
            if not await reduce(lambda one, other: one.or_(other), cover.all(at_login=at_login)).count():
                continue
            if await cover.lock.count():
                await self.door.unlock(cover.place)
            if cover.entrance and not at_login:
                await self._met()
                if await self._login.count():
                    raise LoggedOut
            if await cover.trouble.count():
                raise self.trouble()
            if await cover.dialog.count():
                raise Refused(Code.UNEXPECTED_PAGE, class_of(await cover.dialog.first.inner_text(), self.pack))

    async def click(self, spots: tuple[Spot, ...], scope: Locator | None = None) -> None:
        """Click a thing of the pack. Raises Refused (`PORTAL_CHANGED`) if it is not there."""
        target = visible(scope or self.place, spots)
        await self._done_to(target, target.click(timeout=self.patience.action * 1000), spots)

    async def click_open(
        self, spots: tuple[Spot, ...], scope: Locator, states: Mapping[str, Locator], expected: str
    ) -> None:
        """Click a thing of the pack, after which one of *states* is there; for what changes nothing in the portal.

        First without the pointer, which takes a fraction of the time and cannot hit what lies over the thing; not
        every page listens to that.
        """
        if self.pack.page.loads:
            await self.click(spots, scope)
            await self.first_of(states, expected=expected, within=self.patience.page)
            return
        target = visible(scope, spots)
        event = target.dispatch_event("click", timeout=self.patience.action * 1000)
        await self._done_to(target, event, spots)
        await self.opened(spots, scope, states, expected)

    async def opened(
        self, spots: tuple[Spot, ...], scope: Locator, states: Mapping[str, Locator], expected: str
    ) -> None:
        """Wait for one of *states* after a click without the pointer; with a real one if none comes."""
        if any([await one.count() for one in states.values()]):
            return
        while (state := await self.first_of_soon(states, within=self.patience.menu)) == UNLOCKED:
            pass
        if state is None:
            await self.click(spots, scope)
            await self.first_of(states, expected=expected)

    async def _done_to(self, target: Locator, deed: Awaitable[None], spots: tuple[Spot, ...]) -> None:
        self.forget_chart()
        try:
            await deed
        except PlaywrightTimeout:
            # It says so if it is not there at all, or if something lies over it.
            await self.first_of({"it": target}, expected=spots[0].says, within=_LOOK)
            await self.clear()
            raise

    def trouble(self) -> EntryError | Outage:
        """What to raise when the portal says that something went wrong on its side."""
        if self.pending:
            return EntryError(NO_EVIDENCE, hint=LOOK_AGAIN)
        if self.wire.unavailable:
            return Outage("the portal does not serve requests", hint="wait", retry_after=self.wire.retry_after)
        return EntryError("the portal said that something went wrong", hint="it is tried again")

    def nothing_came(self, expected: str, limit: float) -> EntryError | Outage | Refused:
        """What to raise when *expected* did not come within so many seconds."""
        if self.pending:
            return EntryError(NO_EVIDENCE, hint=LOOK_AGAIN)
        if self.wire.waiting or self.wire.unavailable:
            return Outage(f"the portal did not answer within {limit:g} s", hint="is it slow, or down?")
        return Refused(Code.PORTAL_CHANGED, f"expected {expected}")

    async def evaluate(self, function: str, given: object) -> Any:
        """What the function of JavaScript says where the portal works; in the page while it has no such frame."""
        if self._frame is None:
            return await self.page.evaluate(function, given)
        # At once where its document is there, as it mostly is, and the lock does not stand in its place.
        with contextlib.suppress(PlaywrightError):
            told, locked = await asyncio.gather(
                self.place.locator(":root").evaluate_all(_AT_ONCE.format(function=function), given),
                self._covers[-1].lock.count(),
            )
            if told and not locked:
                return told[0]
        if not await self._frame.count():
            return await self.page.evaluate(function, given)
        return await self.place.locator(":root").evaluate(f"(_, given) => ({function})(given)", given)

    def visible(self, spots: tuple[Spot, ...], scope: Place | Locator | None = None) -> Locator:
        """The first visible thing of these spots, where the portal works or within *scope*."""
        return visible(scope or self.place, spots)

    def all_of(self, spots: tuple[Spot, ...], scope: Place | Locator | None = None) -> Locator:
        """Everything these spots find."""
        return locate(scope or self.place, spots)

    async def _go(self, url: str, *, fresh: bool) -> None:
        await self.look_over()
        self.forget_chart()
        self.wire.reset()
        response = await load(self.page, url, fresh=fresh, within=self.patience.page)
        if response is not None and response.status >= 500:
            # Its text may say more than its number, and comes later on a slow line or a busy machine.
            with contextlib.suppress(PlaywrightTimeout):
                await self.page.wait_for_load_state("domcontentloaded", timeout=self.patience.action * 1000)
                await self._stops.wait_for(state="attached", timeout=_LOOK * 1000)
            await self._met()
            raise Outage(
                f"the portal answers with status {response.status}",
                hint="wait, or see whether the portal is down for everybody",
                retry_after=seconds(response.headers.get("retry-after")),
            )

    async def _met(self) -> None:
        """Raise what keeps us out, if the pack knows it. After Save that says nothing about what was saved."""
        if not await self._stops.count():
            return
        try:
            await self.door.meet(self)
        except Outage:
            if self.pending:
                raise EntryError(NO_EVIDENCE, hint=LOOK_AGAIN) from None
            raise

    async def _native(self, dialog: Dialog) -> None:
        match answer_to(dialog.message, self.pack) if self.pending else None:
            case "ok":
                await dialog.accept()
            case "cancel":
                await dialog.dismiss()
            case _:
                self.native_dialog = True
                await self.page.close()
