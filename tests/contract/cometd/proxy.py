"""What lies between a client and a CometD server and can fail there; it counts all that passes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from listener.standin.faults import Faults
from listener.standin.ledger import Ledger

HOST = "127.0.0.1"


class Proxy:
    """All that clients say goes through here, and is counted; `faults` spoil it. `drips`: answers to polls that come
    a byte at a time."""

    def __init__(self, port: Callable[[], int]) -> None:
        """`port`: that of the server, now."""
        self.faults = Faults(Ledger(None, lambda: datetime.now(UTC)))
        self.asked: list[tuple[float, str]] = []
        self.drips = 0
        self.port = 0
        self._behind = port

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """On a free port."""
        app = web.Application(middlewares=[self._counted, self.faults.middleware], client_max_size=1 << 30)
        app.router.add_route("*", "/{rest:.*}", self._pass_on)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=_FOR_EVER) as self._http:
            await site.start()
            self.port = runner.addresses[0][1]
            try:
                yield self
            finally:
                await runner.cleanup()

    @property
    def url(self) -> str:
        """Where clients find the server."""
        return f"http://localhost:{self.port}"

    def said(self, word: str) -> int:
        """How often a client said that: a meta channel's last part, or `token`."""
        return sum(one == word for _, one in self.asked)

    def busiest(self, window: float = 1.0) -> int:
        """The most requests that ever came within so many seconds."""
        most, recent = 0, deque[float]()
        for at, _ in self.asked:
            recent.append(at)
            while recent[0] < at - window:
                recent.popleft()
            most = max(most, len(recent))
        return most

    @property
    def _counted(self) -> Any:
        @web.middleware
        async def count(request: web.Request, handler: Any) -> web.StreamResponse:
            text = await request.text()
            words = ("handshake", "subscribe", "connect", "disconnect")
            word = next((one for one in words if f'"/meta/{one}"' in text), request.path.rpartition("/")[2])
            self.asked.append((time.monotonic(), word))
            answer: web.StreamResponse = await handler(request)
            if word == "connect" and self.drips > 0 and isinstance(answer, web.Response):
                self.drips -= 1
                return await _drip(request, answer)
            return answer

        return count

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
        url = f"http://{HOST}:{self._behind()}{request.path_qs}"
        try:
            async with self._http.request(
                request.method, url, data=await request.read(), headers=headers | {"Host": request.host}
            ) as answer:
                body = await answer.read()
                cookies = answer.headers.getall("Set-Cookie", [])
        except (aiohttp.ClientError, OSError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)
        passed = web.Response(status=answer.status, body=body, content_type=answer.content_type)
        for cookie in cookies:
            passed.headers.add("Set-Cookie", cookie)
        return passed


_FOR_EVER = aiohttp.ClientTimeout(total=None)
_PASSED = ("Authorization", "Content-Type", "Cookie", "Accept")


async def _drip(request: web.Request, answer: web.Response) -> web.StreamResponse:
    body = answer.body if isinstance(answer.body, bytes) else b""
    slow = web.StreamResponse(status=answer.status, headers=answer.headers)
    slow.content_length = len(body)
    await slow.prepare(request)
    for place in range(len(body)):
        await slow.write(body[place : place + 1])
        await asyncio.sleep(0.05)
    return slow
