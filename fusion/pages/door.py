"""Log-in and the locked screen: the only places where the password is typed, and the memory that it was refused.

A password that was refused once is never typed again by this door: a few wrong ones lock the account, and only a person
can mend either.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import structlog
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout
from pydantic import SecretStr

from fusion.pages.locate import locate, visible
from fusion.pages.pack import Pack, Stop
from fusion.portal import Refused
from listener.errors import Outage

if TYPE_CHECKING:
    from fusion.pages.tab import Tab

log = structlog.get_logger(__name__)

_TROUBLE = "the portal has trouble of its own with the log-in"
_BY_HAND = "log in once by hand as this user and see what it says; then restart"


@dataclass(slots=True)
class Credentials:
    """One portal user."""

    username: str
    password: SecretStr


class Door:
    """One portal user's way in. `unlocks` and `logins` count what was done, for tests and metrics."""

    def __init__(self, pack: Pack, credentials: Credentials, *, patience: float) -> None:
        """*patience*: milliseconds for an answer to the password."""
        self._pack = pack
        self._credentials = credentials
        self._patience = patience
        self._unlocking = asyncio.Lock()
        self._spent: Stop | None = None
        self.unlocks = 0
        self.logins = 0

    def check(self) -> None:
        """Raise the Outage that says why the password is not tried again, if it was refused."""
        if self._spent is not None:
            raise Outage(self._spent.says, hint=self._spent.hint)

    async def log_in(self, tab: Tab) -> None:
        """Take the steps of the log-in page, once. Raises Outage if that does not lead inside."""
        self.check()
        login = self._pack.login
        try:
            for step in login.steps:
                if step.click is not None:
                    await visible(tab.page, step.click).click(timeout=self._patience)
                else:
                    await visible(tab.page, step.fill or ()).fill(self._value(step.with_), timeout=self._patience)
        except PlaywrightTimeout:
            raise Outage(
                "the log-in page is not as the portal pack describes it", hint="mend [login] of the pack and restart"
            ) from None
        trouble = visible(tab.page, self._pack.page.trouble)
        states = {"inside": visible(tab.page, self._pack.page.inside), "trouble": trouble}
        stops = {str(number): stop for number, stop in enumerate(login.stops)}
        states |= {key: visible(tab.page, stop.sign) for key, stop in stops.items()}
        states["words"] = visible(tab.page, login.alert)
        try:
            answer = await tab.first_of(
                states, expected="an answer to the log-in", within=tab.patience.page, at_login=True
            )
        except Refused:
            # Neither inside nor refused, as with a page that asks for more than a password.
            answer = "something else"
        if answer == "trouble":
            raise Outage(_TROUBLE, hint="wait", retry_after=tab.wire.retry_after)
        if answer != "inside":
            self._stop(stops.get(answer) or self._unknown("the log-in leads to a page that we do not know"))
        self.logins += 1
        log.info("portal log-in accepted")

    async def unlock(self, page: Page) -> None:
        """Give the password to the locked screen if it is (still) there. Raises Outage if that does not open it."""
        lock = self._pack.lock
        dialog = visible(page, lock.sign)
        async with self._unlocking:
            if not await dialog.is_visible():
                return
            self.check()
            words = locate(dialog, lock.alert).filter(has_text=re.compile(r"\S"))
            gone = page.locator("body").filter(has_not=locate(page, lock.sign).filter(visible=True))
            try:
                # `fill` puts the text into this box wherever the focus is, in place of keys that went astray into it.
                await locate(dialog, lock.password).fill(self._value("password"), timeout=self._patience)
                await locate(dialog, lock.submit).click(timeout=self._patience)
                await words.or_(gone).first.wait_for(state="attached", timeout=self._patience)
            except PlaywrightTimeout:
                raise Outage("the locked screen does not open", hint="is the portal slow, or the pack wrong?") from None
            if await words.count():
                await self._explain(page, dialog)
            self.unlocks += 1
            log.info("portal screen unlocked")

    async def _explain(self, page: Page, dialog: Locator) -> None:
        """Raise the Outage that says what the locked screen answered."""
        if await visible(page, self._pack.page.trouble).count():
            raise Outage(_TROUBLE, hint="wait")
        for stop in self._pack.lock.stops:
            if await locate(dialog, stop.sign).count():
                self._stop(stop)
        self._stop(self._unknown("the locked screen answers with a message that we do not know"))

    async def unlock_between_actions(self, page: Page) -> None:
        """The same, for Playwright's locator handler: nothing comes out. A refusal closes the page, which ends the
        action that waits for the lock to go."""
        if self._unlocking.locked():
            return
        try:
            await self.unlock(page)
        except Outage:
            await page.close()
        except PlaywrightError:
            return

    def _value(self, which: str | None) -> str:
        return self._credentials.username if which == "username" else self._credentials.password.get_secret_value()

    def _unknown(self, says: str) -> Stop:
        # Better to stop for nothing than to try until the account is locked.
        return Stop(sign=self._pack.login.alert, says=says, hint=_BY_HAND, spends=True)

    def _stop(self, stop: Stop) -> NoReturn:
        if stop.spends:
            self._spent = stop
        raise Outage(stop.says, hint=stop.hint)
