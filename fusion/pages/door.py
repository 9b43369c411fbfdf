"""Log-in and the locked screen: the only places where the password is typed, and the memory that it was refused.

A password that was refused once is never typed again by this door: a few wrong ones lock the account, and only a person
can mend either.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page
from pydantic import SecretStr

from fusion.pages.locate import locate, visible
from fusion.pages.pack import Pack, Stop
from listener.errors import Outage

if TYPE_CHECKING:
    from fusion.pages.tab import Tab

log = structlog.get_logger(__name__)

_UNKNOWN = Stop.model_validate(
    {
        "sign": {"role": "alert"},
        "says": "the portal answered the password with a message that we do not know",
        "hint": "log in once by hand as this user and see what it says; then restart",
        "spends": True,
    }
)


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

    @property
    def spent(self) -> bool:
        """Whether the password was refused, so that nothing works until a person has acted."""
        return self._spent is not None

    def check(self) -> None:
        """Raise the Outage that says why the password is not tried again, if it was refused."""
        if self._spent is not None:
            raise Outage(self._spent.says, hint=self._spent.hint)

    async def log_in(self, tab: Tab) -> None:
        """Take the steps of the log-in page, once. Raises Outage if that does not lead inside."""
        self.check()
        login = self._pack.login
        for step in login.steps:
            if step.click is not None:
                await visible(tab.page, step.click).click(timeout=self._patience)
            else:
                value = self._value(step.with_)
                await visible(tab.page, step.fill or ()).fill(value, timeout=self._patience)
        stops = {str(number): stop for number, stop in enumerate(login.stops)} | {"?": _UNKNOWN}
        answer = await tab.first_of(
            {"inside": visible(tab.page, self._pack.page.inside)}
            | {key: visible(tab.page, stop.sign) for key, stop in stops.items()},
            expected="an answer to the log-in",
            at_login=True,
        )
        if answer != "inside":
            self._stop(stops[answer])
        self.logins += 1
        log.info("portal log-in accepted")

    async def unlock(self, page: Page) -> None:
        """Give the password to the locked screen if it is (still) there. Raises Outage if it is refused."""
        lock = self._pack.lock
        dialog = visible(page, lock.sign)
        async with self._unlocking:
            if not await dialog.is_visible():
                return
            self.check()
            # `fill` puts the text into this box wherever the focus is, in place of keys that went astray into it.
            await locate(dialog, lock.password).fill(self._value("password"), timeout=self._patience)
            await locate(dialog, lock.submit).click(timeout=self._patience)
            problem = locate(dialog, _UNKNOWN.sign).filter(has_text=re.compile(r"\S"))
            gone = page.locator("body").filter(has_not=locate(page, lock.sign).filter(visible=True))
            await problem.or_(gone).first.wait_for(state="attached", timeout=self._patience)
            for stop in (*lock.stops, _UNKNOWN):
                if await locate(dialog, stop.sign).first.is_visible():
                    self._stop(stop)
            self.unlocks += 1
            log.info("portal screen unlocked")

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

    def _stop(self, stop: Stop) -> None:
        if stop.spends:
            self._spent = stop
        raise Outage(stop.says, hint=stop.hint)
