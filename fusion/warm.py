"""One Chromium kept warm for one portal user: its page is used visit after visit, and replaced when it should be.

On trouble the next thing up goes: the page first, then the context with all its memory, then the browser. Cookies and
storage go along to each new one, since a portal asks a browser that it does not know for a code; and to the next
process, as far as `Memory` keeps them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any, cast

import psutil
import structlog
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from fusion import leftovers
from fusion.pages.door import Door
from fusion.pages.memory import Memory, Profile
from fusion.pages.pack import Pack
from fusion.pages.patience import Patience
from fusion.pages.tab import Tab
from listener.errors import Outage, SetupError

log = structlog.get_logger(__name__)

_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
_KEPT_AGAIN = 300.0
"""Seconds after which the profile is read again: a portal may renew its cookies at any time."""
_WEIGHED = 20
"""Visits after which memory is looked at: that takes as long as a short visit."""
# Once a window: what the portal clears itself must not come back with the next page load.
_RESTORE = """(([mark, items]) => {
  if (window.name === mark) return;
  window.name = mark;
  for (const [key, value] of Object.entries(items)) sessionStorage.setItem(key, value);
})"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wear:
    """How long things are used: a context for so many visits, a browser up to so many megabytes."""

    visits: int = 200
    megabytes: int = 1500


class WarmBrowser:
    """The page for the next visit. `launches` and `contexts` count what was begun, for tests and metrics."""

    def __init__(
        self,
        *,
        url: str,
        pack: Pack,
        door: Door,
        memory: Memory,
        patience: Patience,
        wear: Wear,
        executable: str | None,
        headed: bool,
    ) -> None:
        """*executable*: path of a Chromium, None for Playwright's own."""
        self._url = url
        self._pack = pack
        self._door = door
        self._memory = memory
        self._patience = patience
        self._wear = wear
        self._executable = executable
        self._headed = headed
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._context: BrowserContext | None = None
        self._tab: Tab | None = None
        self._left_behind: list[Page] = []
        self._profile: Profile | None = None
        self._kept_at = 0.0
        self._visits = 0
        self._troubles = 0
        self.launches = 0
        self.contexts = 0

    @property
    def is_running(self) -> bool:
        """Whether there is a browser that answers."""
        return self._browser is not None and self._browser.is_connected()

    async def start(self) -> None:
        """Launch it as it was left. Raises `SetupError` if it does not start."""
        self._profile = await self._memory.profile()
        with leftovers.marked():
            self._playwright = await async_playwright().start()
        try:
            await self._launch(self._playwright)
        except PlaywrightError:
            await self._playwright.stop()
            raise SetupError(
                f"the browser {self._executable or 'of Playwright'} does not start",
                hint="set FUSION_SYNC_BROWSER to a Chromium, or run `playwright install chromium`",
            ) from None

    async def stop(self) -> None:
        """Keep the profile, and end it."""
        await self.keep()
        await self._quit()
        if self._playwright is not None:
            await self._playwright.stop()

    async def tab(self) -> Tab:
        """The warm page, or a fresh one of the same session; what is worn or ended is replaced."""
        await self._close_left_behind()
        if self._tab is not None and self._door.waits_on(self._tab.page):
            return self._tab
        await self._replace_what_is_worn()
        if self._tab is not None and not self._tab.page.is_closed():
            return self._tab
        context = await self._ready()
        page = await context.new_page()
        if self._profile is not None and self._profile.session:
            mark = f"restored {time.monotonic_ns()}"
            await page.add_init_script(f"{_RESTORE}({json.dumps([mark, dict(self._profile.session)])})")
        tab = Tab(page, base=self._url, pack=self._pack, door=self._door, patience=self._patience)
        await tab.prepare()
        self._tab = tab
        return tab

    def leave(self, *, trouble: bool = False) -> None:
        """The next visit begins on a fresh page. *trouble*: it may not be the page alone that does not work."""
        if self._tab is not None:
            self._left_behind.append(self._tab.page)
            self._tab = None
        self._troubles = self._troubles + 1 if trouble else self._troubles

    async def visited(self) -> None:
        """A visit went well."""
        self._visits += 1
        self._troubles = 0
        if time.monotonic() - self._kept_at > _KEPT_AGAIN:
            await self.keep()

    async def keep(self) -> None:
        """Remember the browser as the portal knows it just now: for the next context, and the next process."""
        if self._context is None or self._tab is None or self._tab.page.is_closed():
            return
        try:
            async with asyncio.timeout(self._patience.action):
                storage = await self._context.storage_state()
                session = await self._tab.page.evaluate("() => ({ ...sessionStorage })")
        except (PlaywrightError, TimeoutError):
            return  # then it is as it was before
        self._profile = Profile(storage=cast(dict[str, Any], storage), session=session)
        self._kept_at = time.monotonic()
        await self._memory.keep(self._profile)

    async def _replace_what_is_worn(self) -> None:
        heavy = bool(self._visits) and self._visits % _WEIGHED == 0 and await self._is_heavy()
        if self._troubles < 2 and self._visits < self._wear.visits and not heavy:
            return
        whole = heavy or self._troubles > 2
        log.info("browser renewed", kind="browser" if whole else "context", used=self._visits)
        await self.keep()
        if whole:
            await self._quit()
        elif self._context is not None:
            context, self._context, self._tab = self._context, None, None
            await self._closed_in_time(context)
        self._visits = 0

    async def _is_heavy(self) -> bool:
        return await asyncio.to_thread(_megabytes) > self._wear.megabytes

    async def _ready(self) -> BrowserContext:
        if self._playwright is None:
            raise RuntimeError("the portal is used outside of its context")
        if not self.is_running or self._browser is None:
            try:
                await self._launch(self._playwright)
            except PlaywrightError:
                raise Outage("the browser does not start", hint="is there memory and disk left on this host?") from None
        elif self._context is None:
            await self._begin(self._browser)
        if self._context is None:
            raise RuntimeError("a browser was launched without a context")
        return self._context

    async def _launch(self, playwright: Playwright) -> None:
        # Chromium has no sandbox for root, and refuses to start without being told so.
        flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(_FLAGS)
        self._browser = await playwright.chromium.launch(
            executable_path=self._executable, headless=not self._headed, args=flags
        )
        self.launches += 1
        await self._begin(self._browser)

    async def _begin(self, browser: Browser) -> None:
        self._context = await browser.new_context(
            locale="en-US",
            viewport={"width": 1366, "height": 1000},
            storage_state=cast(Any, self._profile.storage) if self._profile else None,
        )
        self._context.set_default_timeout(self._patience.action * 1000)
        self.contexts += 1
        self._tab = None
        self._left_behind.clear()

    async def _close_left_behind(self) -> None:
        while self._left_behind:
            if not await self._closed_in_time(self._left_behind.pop()):
                # A page whose script never ends does not even close: the browser goes with it.
                await self._quit()

    async def _quit(self) -> None:
        browser, self._browser, self._context, self._tab = self._browser, None, None, None
        if browser is not None:
            await self._closed_in_time(browser)

    async def _closed_in_time(self, thing: Page | BrowserContext | Browser) -> bool:
        try:
            async with asyncio.timeout(self._patience.action):
                await thing.close()
        except TimeoutError:
            return False
        except PlaywrightError:
            pass  # it is gone already
        return True


def _megabytes() -> float:
    """What the browsers of this process take, each shared page counted once where the system tells."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in process.name().casefold():
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.uss)
    return total / 1_000_000
