"""What became of a page's requests: enough to tell a portal that is not there from a page that has changed.

No address, header or body is kept: they can hold a patient's values.
"""

from __future__ import annotations

import asyncio
import contextlib

from playwright.async_api import Page, Request, Response

_UNAVAILABLE = (429, 502, 503, 504)
_THAT_MATTER = ("document", "fetch", "script", "xhr")
"""Kinds of requests that a page cannot do without; a stream of events, for one, never ends."""


class Wire:
    """The traffic of one page with the portal itself since the last `reset`."""

    def __init__(self, page: Page, base: str) -> None:
        """*base*: the portal's address; what a page asks of others does not count."""
        self._base = base
        self._open: set[Request] = set()
        self._news = asyncio.Event()
        self.status: int | None = None
        self.retry_after: float | None = None
        self.broken = False
        page.on("request", self._sent)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def reset(self) -> None:
        """Forget what was; requests that are still open are no longer waited for."""
        self._open.clear()
        self.status, self.retry_after, self.broken = None, None, False

    @property
    def waiting(self) -> bool:
        """Whether a request has had no reply yet."""
        return bool(self._open)

    async def answer(self, within: float) -> None:
        """Wait for the next reply or failure, no longer than so many seconds; not at all if nothing is waited for."""
        self._news.clear()
        if self._open:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._news.wait()

    @property
    def unavailable(self) -> bool:
        """Whether the last failure says that nobody would have been served: no connection, or a gateway's status.

        A plain 500 may be about this one chart, and is no reason to stop for all.
        """
        return self.broken or self.status in _UNAVAILABLE

    def _sent(self, request: Request) -> None:
        if self._matters(request):
            self._open.add(request)

    def _failed(self, request: Request) -> None:
        self._open.discard(request)
        self._news.set()
        # What a navigation cuts off is not the portal's failure.
        if self._matters(request) and "ERR_ABORTED" not in (request.failure or ""):
            self.broken = True

    def _answered(self, response: Response) -> None:
        self._open.discard(response.request)
        self._news.set()
        if self._matters(response.request) and (response.status >= 500 or response.status == 429):
            self.status = response.status
            self.retry_after = seconds(response.headers.get("retry-after"))

    def _matters(self, request: Request) -> bool:
        return request.resource_type in _THAT_MATTER and request.url.startswith(self._base)


def seconds(retry_after: str | None) -> float | None:
    """A Retry-After header's seconds; None if it has none or is a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
