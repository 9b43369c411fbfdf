"""Everything that the driver does to the browser, numbered; and what comes in between, right before one of them.

An action is a message of Playwright's to a document of the page: a click, a key, a look, a page load. While something
comes in between, no further message goes out, so that the page has it as the driver's next step meets it. Messages to
the browser as a whole (a new page, its cookies) are none: they see nothing of the portal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Frame, Page

from fusion.standin.server import StandInPortal

Deed = Callable[[], Awaitable[None]]
Message = dict[str, Any]

_ON_A_PAGE = ("frame@", "page@", "handle@", "element-handle@")
_NO_ACTIONS = (
    *("__waitInfo__", "__abort__", "updateSubscription", "close", "dispose", "addInitScript"),
    *("registerLocatorHandler", "resolveLocatorHandlerNoReply"),
)
_WITHIN = 4.0
"""Seconds for what comes in between to be on the page. A document that is just going away never shows it; then it is
as it is anyway: a server that has locked the screen says so when it is asked next."""


class Actions:
    """The actions since `begin`, in order, by their names. `happened`: whether it came to the deed.

    One for each browser: it takes the place of the callback by which Playwright sends, and passes all on.
    """

    def __init__(self, page: Page) -> None:
        # Playwright has no public place that sees all.
        self._connection = page._impl_obj._connection
        self._send: Callable[[Message], None] = self._connection.onmessage
        self._connection.onmessage = self._pass
        self._due: Callable[[], bool] | None = None
        self._deed: Deed | None = None
        self._doing: asyncio.Task[None] | None = None
        self._held: list[Message] | None = None
        self.names: list[str] = []
        self.happened = False

    def begin(self, *, due: Callable[[], bool] | None = None, deed: Deed | None = None) -> None:
        """Count from here; the deed is done right before the first action at which it is *due*, that one counted."""
        self._due, self._deed, self.happened = due, deed, False
        self.names = []

    async def end(self) -> list[str]:
        """All names, once what came in between is over. What is due from now on is not done."""
        self._due = None
        if self._doing is not None:
            await self._doing
        return self.names

    def _pass(self, message: Message) -> None:
        if self._held is not None and asyncio.current_task() is not self._doing:
            self._held.append(message)
            return
        if self._held is None and _is_action(message):
            self.names.append(message["method"])
            if self._due is not None and self._due():
                self._held, self._due = [message], None
                self._doing = asyncio.get_running_loop().create_task(self._in_between())
                return
        self._send(message)

    async def _in_between(self) -> None:
        self.happened = True
        try:
            with suppress(PlaywrightError, TimeoutError):
                async with asyncio.timeout(_WITHIN):
                    assert self._deed is not None
                    await self._deed()
        finally:
            held, self._held = self._held or [], None
            for message in held:
                self._send(message)


def _is_action(message: Message) -> bool:
    return message["guid"].startswith(_ON_A_PAGE) and message["method"] not in _NO_ACTIONS


# ---- what comes in between -----------------------------------------------------------------------------------------

_LOCK = """() => import('/web/api.js').then((api) => {
  api.request('GET', '/api/payers?search=').catch(() => {});
  return new Promise((shown) => {
    const look = () => (document.querySelector('[role=dialog]') ? shown() : setTimeout(look, 5));
    look();
  });
})"""
_NOTICE = """() => import('/web/dialogs.js').then((dialogs) => dialogs.showNotice(
  { title: 'Scheduled maintenance', text: 'The clinic of Ava Example is closed on Sunday.' }))"""
_NOTICE_IN_FRAME = """() => {
  const notice = document.createElement('dialog');
  notice.append('Scheduled maintenance: the clinic of Ava Example is closed on Sunday.');
  document.body.append(notice);
  notice.showModal();
}"""


async def lock(standin: StandInPortal, page: Page, *, framed: bool) -> None:
    """The idle lock, on the screen at once, as a page shows it that asks its server now and then."""
    standin.control.lock()
    if not framed:
        await page.evaluate(_LOCK)
        return
    await (await _frame(page)).evaluate("() => void location.reload()")
    # Not by waiting for it as an action: then the driver would open it meanwhile.
    while not await (await _frame(page)).evaluate("() => document.querySelector('form#locked') !== null"):
        await asyncio.sleep(0.01)


async def kick(standin: StandInPortal, page: Page, *, framed: bool) -> None:
    """All sessions end; the page hears of it with its next request."""
    del page, framed
    standin.control.end_sessions()


async def notice(standin: StandInPortal, page: Page, *, framed: bool) -> None:
    """A dialog that no pack knows, over the page at once."""
    del standin
    await ((await _frame(page)).evaluate(_NOTICE_IN_FRAME) if framed else page.evaluate(_NOTICE))


async def _frame(page: Page) -> Frame:
    """The frame where the work is done, once it has a page."""
    while (frame := page.frame(name="work")) is None or frame.url in ("", "about:blank"):
        await asyncio.sleep(0.01)
    return frame
