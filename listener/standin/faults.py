"""Trouble on demand: rules that spoil the answers of the org, in front of every endpoint but the control's own.

A rule either answers *instead* of the org (nothing happens there) or spoils the answer *after* the org did the work,
which is the case that matters most: the write is done and the writer does not know.
"""

import asyncio
from dataclasses import asdict, dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from listener.standin.ledger import Ledger

CONTROL = "/__control/"


@dataclass(slots=True, kw_only=True)
class Fault:
    """One rule. It matches by method, path prefix and a text in the body; it lets `skip` matches pass, then acts
    `times` times (None: for ever).

    `delay` seconds pass first. Then `hang` never answers; `cut_after` sends that many bytes of the true answer and
    breaks the connection; `status` answers with `body`; with none of these the org answers as always. `after` lets the
    org do the work before a `hang` or a `status`.
    """

    path: str = "/"
    method: str | None = None
    contains: str | None = None
    times: int | None = 1
    skip: int = 0
    delay: float = 0.0
    hang: bool = False
    cut_after: int | None = None
    status: int | None = None
    body: str = ""
    content_type: str = "text/html"
    after: bool = False

    def matches(self, method: str, path: str, text: str) -> bool:
        return (
            path.startswith(self.path)
            and self.method in {None, method}
            and (self.contains is None or self.contains in text)
            and self.times != 0
        )


class Faults:
    """The active rules, first match first, each use noted in the ledger; `latency` seconds go before every request."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.latency = 0.0
        self.rules: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self.rules.append(fault)

    def clear(self) -> None:
        self.rules.clear()

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(CONTROL):
                return await handler(request)
            if self.latency:
                await asyncio.sleep(self.latency)
            fault = await self._use(request)
            if fault is None:
                return await handler(request)
            await asyncio.sleep(fault.delay)
            answer = None
            if fault.after or not (fault.hang or fault.status):
                answer = await handler(request)
            if fault.hang:
                await asyncio.Event().wait()  # until the client or the org goes away
            if fault.status is not None:
                return web.Response(status=fault.status, text=fault.body, content_type=fault.content_type)
            if fault.cut_after is not None and isinstance(answer, web.Response):
                return await _cut(request, answer, fault.cut_after)
            return answer or web.Response(status=500)

        return spoil

    async def _use(self, request: web.Request) -> Fault | None:
        text = await request.text() if any(rule.contains for rule in self.rules) else ""
        for rule in self.rules:
            if rule.matches(request.method, request.path, text):
                if rule.skip:
                    rule.skip -= 1
                    return None
                if rule.times is not None:
                    rule.times -= 1
                used = {k: v for k, v in asdict(rule).items() if k in {"status", "hang", "cut_after", "delay", "after"}}
                self._ledger.record("fault", method=request.method, address=request.path, **used)
                return rule
        return None


async def _cut(request: web.Request, answer: web.Response, size: int) -> web.StreamResponse:
    """Promises the whole body, sends its beginning, and hangs up; of an empty answer or of 0 bytes nothing is sent."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    if not body or not size:
        if request.transport is not None:
            request.transport.close()
        return answer
    partial = web.StreamResponse(status=answer.status, headers=answer.headers)
    partial.content_length = len(body)
    await partial.prepare(request)
    await partial.write(body[:size])
    if request.transport is not None:
        request.transport.close()
    return partial
