"""A page load, told apart from a portal that is not there."""

from __future__ import annotations

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Response
from playwright.async_api import TimeoutError as PlaywrightTimeout

from listener.errors import Outage


async def load(page: Page, url: str, *, fresh: bool, within: float) -> Response | None:
    """Go there, and return as soon as the document begins to come. Raises Outage if none does in so many seconds.

    *fresh*: with a page load, even if only the part after # differs.
    """
    here = page.url.partition("#")[0] == url.partition("#")[0]
    try:
        if here and fresh:
            # Going to another place of the same document would not load it again.
            await page.evaluate("url => history.replaceState(null, '', url)", url)
            return await page.reload(wait_until="commit", timeout=within * 1000)
        return await page.goto(url, wait_until="commit", timeout=within * 1000)
    except PlaywrightTimeout:
        raise Outage(f"the portal did not answer within {within:g} s", hint="is it slow?") from None
    except PlaywrightError as broken:
        if "net::" not in broken.message:
            raise
        raise Outage("the portal cannot be reached", hint="is PORTAL_URL reachable from this host?") from None
