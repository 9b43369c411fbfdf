"""The portal through a browser: one Chromium, one user, one page kept warm, and every failure put into three words.

A visit that ends in any exception leaves its page behind: the next one begins on a fresh page of the same session. No
text of Playwright's errors gets out, since they quote what was typed; nor is it chained to what does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import structlog
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout
from pydantic import SecretStr

from fusion import leftovers
from fusion.codes import Code
from fusion.pages import chart, outline, search
from fusion.pages.door import Credentials, Door
from fusion.pages.edits import create, update
from fusion.pages.pack import Pack, load_pack
from fusion.pages.tab import LOOK_AGAIN, NO_EVIDENCE, LoggedOut, Patience, Tab
from fusion.patient import Edit, Hit, Identity, Patient, Shown
from fusion.portal import AboutToSave, Refused
from listener.errors import EntryError, Outage, SetupError

if TYPE_CHECKING:
    from fusion.settings import PortalSettings, SyncSettings

T = TypeVar("T")
log = structlog.get_logger(__name__)

_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


class WebPortal:
    """`fusion.portal.Portal` over the pages that a pack describes; an async context manager.

    A password that was refused is not typed again by this object: every later call raises the same Outage.
    """

    def __init__(
        self,
        *,
        url: str,
        username: str,
        password: SecretStr,
        pack: Pack,
        evidence: Path,
        executable: str | None = None,
        headed: bool = False,
        patience: Patience | None = None,
    ) -> None:
        """*executable*: path of a Chromium, None for Playwright's own. *evidence*: folder for outlines of pages."""
        self._url = url.rstrip("/")
        self._pack = pack
        self._evidence = evidence
        self._executable = executable
        self._headed = headed
        self._patience = patience or Patience()
        credentials = Credentials(username=username, password=password)
        self._door = Door(pack, credentials, patience=self._patience.action * 1000)
        self._turn = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._context: BrowserContext | None = None
        self._tab: Tab | None = None
        self._left_behind: list[Page] = []

    @classmethod
    def from_settings(cls, portal: PortalSettings, sync: SyncSettings, *, executable: str | None = None) -> Self:
        """As the settings say; *executable* is the browser that was found, by name or without."""
        return cls(
            url=str(portal.url),
            username=portal.username,
            password=portal.password,
            pack=load_pack(sync.pack),
            evidence=portal.evidence_dir,
            executable=executable or sync.browser,
            headed=sync.headed,
            patience=Patience(page=portal.page_seconds, action=portal.action_seconds, save=portal.save_seconds),
        )

    async def __aenter__(self) -> Self:
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
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._quit()
        if self._playwright is not None:
            await self._playwright.stop()

    @property
    def unlocks(self) -> int:
        """Locked screens opened so far."""
        return self._door.unlocks

    @property
    def logins(self) -> int:
        """Log-ins accepted so far."""
        return self._door.logins

    async def find(self, patient: Patient) -> Sequence[Hit]:
        """See `fusion.portal.Portal.find`."""
        return await self._visit(lambda tab: search.find(tab, patient), patient.values.values())

    async def read(self, portal_id: str) -> Shown | None:
        """See `fusion.portal.Portal.read`."""
        page = await self._visit(lambda tab: chart.open_chart(tab, portal_id))
        return page.shown if page else None

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        """See `fusion.portal.Portal.create`."""
        return await self._visit(lambda tab: create(tab, patient, about_to_save), patient.values.values())

    async def update(
        self, portal_id: str, edits: Sequence[Edit], *, expect: Identity, about_to_save: AboutToSave
    ) -> Shown:
        """See `fusion.portal.Portal.update`."""
        values = [value for edit in edits for value in edit.values.values()]
        return await self._visit(
            lambda tab: update(tab, portal_id, edits, expect=expect, about_to_save=about_to_save),
            [*values, expect.first_name, expect.last_name],
        )

    async def _visit(self, work: Callable[[Tab], Awaitable[T]], values: Iterable[str] = ()) -> T:
        """What the work gives, on a page of ours. *values* must not be in what is kept of the page if it fails."""
        async with self._turn:
            try:
                try:
                    return await self._attempt(work, values)
                except LoggedOut:
                    # Nothing was saved yet, so the whole visit can be made again; its first page leads to the log-in.
                    return await self._attempt(work, values)
            except LoggedOut:
                raise EntryError("the portal logs us out again and again", hint="is somebody else this user?") from None

    async def _attempt(self, work: Callable[[Tab], Awaitable[T]], values: Iterable[str]) -> T:
        self._door.check()
        tab = None
        try:
            tab = await self._page()
            await tab.begin()
            return await work(tab)
        except LoggedOut:
            self._leave()
            if tab is not None and (tab.pending or tab.saves):
                raise EntryError("the session ended in the middle of a visit", hint=LOOK_AGAIN) from None
            raise
        except Refused as refused:
            self._leave()
            raise await self._with_evidence(refused, tab, values) from None
        except PlaywrightError as broken:
            self._leave()
            raise await self._translated(broken, tab, values) from None
        except BaseException:
            # About a cancelled visit nothing is known, and `about_to_save` may raise anything: it goes out unchanged.
            self._leave()
            raise

    async def _page(self) -> Tab:
        """The warm page, or a fresh one of the same session; a browser that ended is started again."""
        await self._close_left_behind()
        if self._tab is not None and not self._tab.page.is_closed():
            return self._tab
        if self._playwright is None:
            raise RuntimeError("the portal is used outside of its context")
        if self._browser is None or not self._browser.is_connected() or self._context is None:
            try:
                await self._launch(self._playwright)
            except PlaywrightError:
                raise Outage("the browser does not start", hint="is there memory and disk left on this host?") from None
        if self._context is None:
            raise RuntimeError("a browser was launched without a context")
        page = await self._context.new_page()
        tab = Tab(page, base=self._url, pack=self._pack, door=self._door, patience=self._patience)
        await tab.prepare()
        self._tab = tab
        return tab

    async def _close_left_behind(self) -> None:
        while self._left_behind:
            page = self._left_behind.pop()
            try:
                async with asyncio.timeout(self._patience.action):
                    await page.close()
            except TimeoutError:
                # A page whose script never ends does not even close: the browser goes with it.
                await self._quit()
            except PlaywrightError:
                continue

    async def _quit(self) -> None:
        browser, self._browser, self._context = self._browser, None, None
        if browser is not None:
            with contextlib.suppress(PlaywrightError, TimeoutError):
                async with asyncio.timeout(self._patience.action):
                    await browser.close()

    async def _launch(self, playwright: Playwright) -> None:
        # Chromium has no sandbox for root, and refuses to start without being told so.
        flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(_FLAGS)
        self._browser = await playwright.chromium.launch(
            executable_path=self._executable, headless=not self._headed, args=flags
        )
        self._context = await self._browser.new_context(locale="en-US", viewport={"width": 1366, "height": 1000})
        self._context.set_default_timeout(self._patience.action * 1000)
        self._tab = None
        self._left_behind.clear()

    def _leave(self) -> None:
        if self._tab is not None:
            self._left_behind.append(self._tab.page)
            self._tab = None

    async def _with_evidence(self, refused: Refused, tab: Tab | None, values: Iterable[str]) -> Refused:
        if tab is None or tab.page.is_closed():
            return refused
        # What happened is worth more than a picture of it.
        with contextlib.suppress(PlaywrightError, OSError):
            refused.evidence = await outline.keep(
                tab.page, self._pack, folder=self._evidence, code=refused.code, now=datetime.now(UTC), values=values
            )
        return refused

    async def _translated(self, broken: PlaywrightError, tab: Tab | None, values: Iterable[str]) -> Exception:
        """What a Playwright error means for the row."""
        if tab is None:
            return EntryError("the browser could not open a page", hint="it is tried again in a new one")
        try:
            self._door.check()
        except Outage as refused_password:
            return refused_password
        if tab.native_dialog:
            return Refused(Code.UNEXPECTED_PAGE, "a dialog of the browser itself")
        if tab.pending:
            return EntryError(NO_EVIDENCE, hint=LOOK_AGAIN)
        if tab.page.is_closed() or self._browser is None or not self._browser.is_connected():
            return EntryError("the browser ended in the middle of a visit", hint="it is started again")
        return await self._reason_on(tab, values) or EntryError(
            "the page did not do as it was told" + (" in time" if isinstance(broken, PlaywrightTimeout) else ""),
            hint="it is tried again on a fresh page",
        )

    async def _reason_on(self, tab: Tab, values: Iterable[str]) -> Exception | None:
        """What lies over the page and kept an action from being done, if anything; LoggedOut if it was the log-in."""
        try:
            await tab.clear()
        except Refused as refused:
            return await self._with_evidence(refused, tab, values)
        except (Outage, EntryError) as reason:
            return reason
        except LoggedOut:
            return (
                EntryError("the session ended in the middle of a visit", hint=LOOK_AGAIN) if tab.saves else LoggedOut()
            )
        except PlaywrightError:
            return None
        return None
