"""Log-in, code and the locked screen: the only places where the password is typed, each time put down before.

A password that was refused once is never typed again by this door: a few wrong ones lock the account, and only a person
can mend either. What must be known after a restart is the business of `Memory`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import structlog
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout
from pydantic import SecretStr

from fusion.pages.entrance import CodePage, Stop
from fusion.pages.locate import Place, locate, visible
from fusion.pages.memory import Memory, Shut
from fusion.pages.pack import Pack
from fusion.pages.spot import Spot
from fusion.pages.standing import RESEND, Standing
from fusion.portal import Refused
from fusion.totp import code_at
from listener.errors import Outage

if TYPE_CHECKING:
    from fusion.pages.tab import Tab

log = structlog.get_logger(__name__)

_TROUBLE = "the portal has trouble of its own with the log-in"
_SHARED_FOR = 600.0


@dataclass(slots=True, kw_only=True)
class Credentials:
    """One portal user. `totp`: the secret of an authenticator app, where the portal has one."""

    username: str
    password: SecretStr
    totp: SecretStr | None = None


@dataclass(slots=True)
class _Wait:
    """A page that asks for a code."""

    page: Page
    since: float = field(default_factory=time.monotonic)


class Door:
    """One portal user's way in. `unlocks` and `logins` count what was done, for tests and metrics."""

    def __init__(
        self,
        pack: Pack,
        credentials: Credentials,
        *,
        memory: Memory,
        patience: float,
        entered: Callable[[], Awaitable[None]],
        most_logins: int = 6,
    ) -> None:
        """*entered*: done right after each log-in. *patience*: milliseconds for an answer to the password.

        *most_logins*: in ten minutes; more, and somebody else must be this user, whom each log-in of ours throws out.
        """
        self._pack = pack
        self._credentials = credentials
        self._memory = memory
        self._patience = patience
        self._after_entry = entered
        self._most_logins = most_logins
        self._entries = deque[float](maxlen=most_logins)
        self._unlocking = asyncio.Lock()
        self._shut: Shut | None = None
        self._wait: _Wait | None = None
        self.unlocks = 0
        self.logins = 0

    def check(self) -> None:
        """Raise the Outage that says why nothing is tried, if there is a reason."""
        if self._shut is not None:
            raise Shut(self._shut.standing, says=str(self._shut), hint=self._shut.hint)

    async def ready(self) -> None:
        """The same at the beginning of a visit: a person may have opened again what was shut."""
        if self._shut is not None:
            self._shut = await self._memory.recall()
        self.check()

    def waits_on(self, page: Page) -> bool:
        """Whether that page must be left as it is, since it asks for a code that somebody has been sent."""
        return self._wait is not None and self._wait.page is page and not page.is_closed()

    async def log_in(self, tab: Tab) -> None:
        """Take the steps of the log-in page, once. Raises Outage if that does not lead inside."""
        self._shut = await self._memory.recall()
        self.check()
        self._check_that_we_are_alone()
        await self._memory.trying()
        try:
            for step in self._pack.login.steps:
                if step.click is not None:
                    await visible(tab.page, step.click).click(timeout=self._patience)
                else:
                    await visible(tab.page, step.fill or ()).fill(self._value(step.with_), timeout=self._patience)
        except PlaywrightTimeout:
            await self._memory.not_judged()
            raise Outage(
                "the log-in page is not as the portal pack describes it", hint="mend [login] of the pack and restart"
            ) from None
        await self._further(tab, self._pack.login.alert)

    async def go_on(self, tab: Tab) -> None:
        """Give the page that waits for a code what a person gave us. Raises Outage if that does not lead inside."""
        wait, page = self._wait, self._pack.login.code
        if wait is None or page is None:
            return
        if time.monotonic() - wait.since >= page.minutes * 60:
            self._wait = None
            raise Shut(Standing.CODE, says="the time for the log-in code is over", hint=RESEND)
        if not await visible(tab.page, page.sign).count():
            await self._further(tab, page.alert, at_code=True)  # it was right, and the answer came late
            return
        given = await self._memory.given()
        if given is None:
            raise Shut(Standing.CODE)
        if given.code is not None:
            await self._enter(tab, page, given.code.get_secret_value())
            return
        if page.resend is None:
            self._wait = None
            raise Shut(Standing.CODE, says="the page sends no second code", hint=RESEND)
        await visible(tab.page, page.resend).click(timeout=self._patience)
        await self._code_asked(tab)

    async def meet(self, tab: Tab) -> None:
        """Raise the Outage of what stands in place of the page, if the pack knows it."""
        for stop in self._pack.stops:
            if await visible(tab.page, stop.sign).count():
                await self._stop(stop)

    async def unlock(self, page: Place) -> None:
        """Give the password to the locked screen if it is (still) there. Raises Outage if that does not open it."""
        lock = self._pack.lock
        dialog = visible(page, lock.sign)
        async with self._unlocking:
            if not await dialog.is_visible():
                return
            self.check()
            words = locate(dialog, lock.alert).filter(has_text=re.compile(r"\S"))
            gone = page.locator("body").filter(has_not=locate(page, lock.sign).filter(visible=True))
            await self._memory.trying()
            try:
                # These very elements: where the page is loaded anew, an empty box would be sent as a wrong password.
                box = await locate(dialog, lock.password).element_handle(timeout=self._patience)
                button = await locate(dialog, lock.submit).element_handle(timeout=self._patience)
                # `fill` puts the text into this box wherever the focus is, in place of keys that went astray into it.
                await box.fill(self._value("password"), timeout=self._patience)
                await button.click(timeout=self._patience)
                await words.or_(gone).first.wait_for(state="attached", timeout=self._patience)
            except PlaywrightTimeout:
                raise Outage("the locked screen does not open", hint="is the portal slow, or the pack wrong?") from None
            except PlaywrightError:
                # Another document is there, and maybe a lock over it: whoever waits looks again.
                await self._memory.not_judged()
                return
            if await words.count():
                await self._explain(page, dialog)
            await self._memory.accepted()
            self.unlocks += 1
            log.info("portal screen unlocked")

    async def unlock_between_actions(self, page: Page, place: Place) -> None:
        """The same, for Playwright's locator handler: nothing comes out. A refusal closes the page, which ends the
        action that waits for the lock to go."""
        if self._unlocking.locked():
            return
        try:
            await self.unlock(place)
        except Outage:
            await page.close()
        except PlaywrightError:
            return

    async def _further(self, tab: Tab, alert: tuple[Spot, ...], *, at_code: bool = False) -> None:
        """See where the last step has led: inside, to the code page, or to what keeps us out."""
        login, pack = self._pack.login, self._pack
        states = {"inside": visible(tab.page, pack.page.inside), "trouble": visible(tab.page, pack.page.trouble)}
        stops = {f"{stop.state} {number}": stop for number, stop in enumerate((*login.stops, *pack.stops))}
        states |= {key: visible(tab.page, stop.sign) for key, stop in stops.items()}
        if login.code is not None and not at_code:
            states["code"] = visible(tab.page, login.code.sign)
        states["words"] = visible(tab.page, alert)
        try:
            answer = await tab.first_of(
                states, expected="an answer to the log-in", within=tab.patience.page, at_login=True
            )
        except Refused:
            # Neither inside nor refused, as with a page that asks for more than we know of.
            answer = "something else"
        if answer == "inside":
            await self._entered()
        elif answer == "trouble":
            await self._memory.not_judged()
            raise Outage(_TROUBLE, hint="wait", retry_after=tab.wire.retry_after)
        elif answer == "code":
            await self._memory.accepted()
            await self._code_asked(tab)
        elif answer == "words" and at_code:
            if self._wait is None:
                await self._stop(Stop(state=Standing.CODE_REFUSED, sign=alert))
            raise Shut(Standing.CODE, says="the portal does not accept that log-in code")
        else:
            stop = stops.get(answer) or Stop(state=Standing.UNKNOWN, sign=alert)
            if stop.state.ends_by_itself:
                await self._memory.not_judged()
            await self._stop(stop)

    async def _entered(self) -> None:
        await self._memory.accepted()
        if self._wait is not None:
            self._wait = None
            await self._memory.answered()
        self._entries.append(time.monotonic())
        self.logins += 1
        log.info("portal log-in accepted")
        await self._after_entry()

    async def _code_asked(self, tab: Tab) -> None:
        """Answer with the secret's code, or leave the page to wait for a person's, which is an Outage."""
        totp, page = self._credentials.totp, self._pack.login.code
        if totp is not None and page is not None:
            await self._enter(tab, page, code_at(totp.get_secret_value(), datetime.now(UTC)))
            return
        self._wait = _Wait(tab.page)
        await self._memory.asked()
        log.warning("portal log-in waits for a code", hint=Standing.CODE.hint)
        raise Shut(Standing.CODE)

    async def _enter(self, tab: Tab, page: CodePage, code: str) -> None:
        await visible(tab.page, page.box).fill(code, timeout=self._patience)
        await visible(tab.page, page.submit).click(timeout=self._patience)
        await self._further(tab, page.alert, at_code=True)

    async def _explain(self, page: Place, dialog: Locator) -> None:
        """Raise the Outage that says what the locked screen answered."""
        if await visible(page, self._pack.page.trouble).count():
            await self._memory.not_judged()
            raise Outage(_TROUBLE, hint="wait")
        for stop in self._pack.lock.stops:
            if await locate(dialog, stop.sign).count():
                await self._stop(stop)
        says = "the locked screen answers with a message that we do not know"
        await self._stop(Stop(state=Standing.UNKNOWN, sign=self._pack.lock.alert, says=says))

    async def _stop(self, stop: Stop) -> NoReturn:
        why = Shut(stop.state, says=stop.says, hint=stop.hint)
        if not stop.state.ends_by_itself:
            # Better to stop for nothing than to try until the account is locked.
            self._shut = why
            await self._memory.shut(why)
        raise why

    def _check_that_we_are_alone(self) -> None:
        if len(self._entries) == self._most_logins and time.monotonic() - self._entries[0] < _SHARED_FOR:
            raise Outage(
                f"the portal ended {self._most_logins} sessions of ours within ten minutes",
                hint="is somebody else this portal user? each log-in throws the other out",
            )

    def _value(self, which: str | None) -> str:
        return self._credentials.username if which == "username" else self._credentials.password.get_secret_value()
