"""The portal through a browser: one Chromium, one user, one page kept warm, and every failure put into three words.

A visit that ends in any exception leaves its page behind: the next one begins on a fresh page of the same session. No
text of Playwright's errors gets out, since they quote what was typed; nor is it chained to what does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import structlog
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout
from pydantic import SecretStr

from fusion.codes import Code
from fusion.drift import Place, Walk
from fusion.pages import chart, outline, search
from fusion.pages.cover import LoggedOut
from fusion.pages.door import Credentials, Door
from fusion.pages.drift import walk
from fusion.pages.edits import create, update
from fusion.pages.locate import visible
from fusion.pages.memory import Forgetful, Memory, Shut
from fusion.pages.new_password import Answer, change
from fusion.pages.pack import Pack
from fusion.pages.pack_file import load_pack
from fusion.pages.patience import Patience
from fusion.pages.tab import LOOK_AGAIN, NO_EVIDENCE, Tab
from fusion.patient import Edit, Hit, Identity, Patient, Section, Shown
from fusion.portal import AboutToSave, Refused
from fusion.warm import WarmBrowser, Wear
from listener.errors import EntryError, Outage, SetupError

if TYPE_CHECKING:
    from fusion.settings import PortalSettings, SyncSettings

T = TypeVar("T")
log = structlog.get_logger(__name__)

_MAY_BE_COVERED = frozenset({Code.PORTAL_CHANGED, Code.NOT_SAVED, Code.UNKNOWN_OPTION})
"""What a page seems to be guilty of while a dialog takes its keys."""


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
        memory: Memory | None = None,
        totp: SecretStr | None = None,
        wear: Wear | None = None,
        most_logins: int = 6,
    ) -> None:
        """*executable*: path of a Chromium, None for Playwright's own. *evidence*: folder for outlines of pages.

        *memory*: without one, this object alone knows what happened at the door. *most_logins*: see `Door`.
        """
        self._pack = pack
        self._evidence = evidence
        patience, memory = patience or Patience(), memory or Forgetful()
        self._door = Door(
            pack,
            Credentials(username=username, password=password, totp=totp),
            memory=memory,
            patience=patience.action * 1000,
            most_logins=most_logins,
            entered=self._entered,
        )
        self._warm = WarmBrowser(
            url=url.rstrip("/"),
            pack=pack,
            door=self._door,
            memory=memory,
            patience=patience,
            wear=wear or Wear(),
            executable=executable,
            headed=headed,
        )
        self._turn = asyncio.Lock()

    @classmethod
    def from_settings(
        cls, portal: PortalSettings, sync: SyncSettings, *, memory: Memory, executable: str | None = None
    ) -> Self:
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
            memory=memory,
            totp=portal.totp_secret,
            wear=Wear(visits=portal.recycle_visits, megabytes=portal.recycle_mb),
        )

    async def __aenter__(self) -> Self:
        await self._warm.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._warm.stop()

    @property
    def warm(self) -> WarmBrowser:
        """The browser, for tests and metrics."""
        return self._warm

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

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        """See `fusion.portal.Portal.read`."""
        page = await self._visit(lambda tab: chart.open_chart(tab, portal_id, wary=wary))
        return page.shown if page else None

    async def walk(
        self, chart: str | None, places: Collection[Place] = frozenset(Place), seen: Walk | None = None
    ) -> Walk:
        """Where the portal is no longer as its pack says; *chart*: one whose sections are looked at, too.

        *seen* is filled, and given back: what it holds is known even if the walk is cut off. Types and saves nothing.
        Raises as `find` does.
        """
        found = Walk() if seen is None else seen

        async def walked(tab: Tab) -> None:
            await walk(tab, chart, lambda: self._outline(tab, Code.PORTAL_CHANGED, ()), places, found)

        await self._visit(walked)
        return found

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        """See `fusion.portal.Portal.create`."""
        return await self._visit(lambda tab: create(tab, patient, about_to_save), patient.values.values())

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        """See `fusion.portal.Portal.update`."""
        values = [value for edit in edits for value in edit.values.values()]
        return await self._visit(
            lambda tab: update(tab, portal_id, edits, expect=expect, about_to_save=about_to_save, wary=wary),
            [*values, expect.first_name, expect.last_name],
        )

    async def change_password(
        self, old: SecretStr, new: SecretStr, *, about_to_change: Callable[[], Awaitable[None]]
    ) -> Answer:
        """See `fusion.pages.new_password.change`. `SetupError` if the pack does not say where that is done."""
        page = self._pack.password
        if page is None:
            raise SetupError("the pack has no [password]", hint="describe the page there, or change it by hand")
        return await self._visit(lambda tab: change(tab, page, old=old, new=new, about_to_change=about_to_change))

    async def enter(self) -> None:
        """Be logged in, by the password or by the session that is kept."""

        async def come_in(tab: Tab) -> None:
            # In the page, also where the portal works in a frame of it.
            inside = {"inside": visible(tab.page, self._pack.page.inside)}
            await tab.open(self._pack.routes.home, inside, expected="the first page")

        await self._visit(come_in)

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
        await self._door.ready()
        tab = None
        try:
            tab = await self._warm.tab()
            if self._door.waits_on(tab.page):
                await self._door.go_on(tab)
            await tab.begin()
            done = await work(tab)
        except Shut as shut:
            if tab is None or not self._door.waits_on(tab.page):
                await self._keep_what_shut(shut, tab)
                self._warm.leave()
            raise
        except LoggedOut:
            self._warm.leave()
            if tab is not None and (tab.pending or tab.saves):
                raise EntryError("the session ended in the middle of a visit", hint=LOOK_AGAIN) from None
            raise
        except Refused as refused:
            self._warm.leave()
            raise await self._behind(refused, tab, values) from None
        except PlaywrightError as broken:
            self._warm.leave(trouble=True)
            raise await self._translated(broken, tab, values) from None
        except BaseException:
            # About a cancelled visit nothing is known, and `about_to_save` may raise anything: it goes out unchanged.
            self._warm.leave()
            raise
        await self._warm.visited()
        return done

    async def _entered(self) -> None:
        await self._warm.keep()

    async def _behind(self, refused: Refused, tab: Tab | None, values: Iterable[str]) -> Exception:
        """What to raise for it: what lies over the page, where that may be the reason; else that itself."""
        if refused.code in _MAY_BE_COVERED and tab is not None and not tab.pending and not tab.page.is_closed():
            reason = await self._reason_on(tab, values)
            if reason is not None:
                return reason
        return await self._with_evidence(refused, tab, values)

    async def _with_evidence(self, refused: Refused, tab: Tab | None, values: Iterable[str]) -> Refused:
        if tab is None or tab.page.is_closed():
            return refused
        # What happened is worth more than a picture of it.
        with contextlib.suppress(PlaywrightError, OSError):
            refused.evidence = await self._outline(tab, refused.code, values)
        return refused

    async def _keep_what_shut(self, shut: Shut, tab: Tab | None) -> None:
        path = None
        if tab is not None and not tab.page.is_closed() and shut.standing.is_a_surprise:
            with contextlib.suppress(PlaywrightError, OSError):
                path = await self._outline(tab, Code.UNEXPECTED_PAGE, ())
        log.warning("the portal's door is shut", state=shut.standing, why=str(shut), hint=shut.hint, evidence=path)

    async def _outline(self, tab: Tab, code: Code, values: Iterable[str]) -> str:
        return await outline.keep(tab, folder=self._evidence, code=code, now=datetime.now(UTC), values=values)

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
        if tab.page.is_closed() or not self._warm.is_running:
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
