"""The stand-in portal as one object: built from its knobs, served on loopback, stopped again.

A portal that was stopped can be started again on the same port, charts and sessions as they were: that is an outage.
"""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from aiohttp import web

from fusion.standin import staff
from fusion.standin.api import Api, Handler
from fusion.standin.charts import Charts
from fusion.standin.clinic import DEFAULT_PAYERS, DUPLICATE_BY, Clinic
from fusion.standin.control import Control
from fusion.standin.doorway import Doorway
from fusion.standin.faults import Faults
from fusion.standin.harbor import PAGES, Harbor
from fusion.standin.ledger import Caller, Ledger
from fusion.standin.search import Index
from fusion.standin.session import Sessions
from fusion.standin.wire import Wire

WEB = Path(__file__).parent / "web"
HOST = "127.0.0.1"
_MAINTENANCE = (
    b"<!doctype html><title>Fusion Web Clinic</title>",
    b"<h1>Scheduled Maintenance</h1><p>We will be back soon.</p>",
)
DEFAULT_USERS = {"robot@example.com": "Sync-the-charts-1"}

Skin = Literal["fusion_web", "harbor"]
"""Which pages are put before the clinic, by the name of the pack that describes them."""


class StandInPortal:
    """A portal of its own: `start`, `url`, `stop`, or `async with`. What it can be made to do is in `control`."""

    def __init__(
        self,
        *,
        users: Mapping[str, str] = DEFAULT_USERS,
        idle_lock: timedelta = timedelta(minutes=20),
        payers: Sequence[str] = DEFAULT_PAYERS,
        seed_charts: Sequence[Mapping[str, object]] = (),
        ledger_path: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
        duplicate_by: Sequence[str] = DUPLICATE_BY,
        skin: Skin = "fusion_web",
    ) -> None:
        """*users*: passwords by e-mail. *seed_charts* read like `Chart.as_json`. *rng* spaces the ids.

        *duplicate_by*: the labels under which a new patient must equal an old one for the duplicate warning.
        """
        self.ledger = Ledger(path=ledger_path, clock=clock)
        # Not a secret: ids must be the same in every run.
        self.charts = Charts(rng=rng or random.Random(1))  # noqa: S311
        self.clinic = Clinic(
            charts=self.charts,
            index=Index(clock=clock),
            ledger=self.ledger,
            payers=payers,
            clock=clock,
            duplicate_by=duplicate_by,
        )
        self.doorway = Doorway(clock)
        self.sessions = Sessions(users=users, idle=idle_lock, doorway=self.doorway, clock=clock)
        self.faults = Faults()
        self.wire = Wire()
        self.control = Control(
            clinic=self.clinic,
            sessions=self.sessions,
            doorway=self.doorway,
            faults=self.faults,
            wire=self.wire,
            clock=clock,
        )
        self.skin: Skin = skin
        self._harbor = Harbor(clinic=self.clinic, sessions=self.sessions, faults=self.faults, wire=self.wire)
        self._api = Api(
            clinic=self.clinic, sessions=self.sessions, doorway=self.doorway, faults=self.faults, wire=self.wire
        )
        self._runner: web.AppRunner | None = None
        self._port = 0
        for chart in seed_charts:
            staff.put(self.clinic, chart, caller=Caller(user="seed"), seed=True)

    @property
    def url(self) -> str:
        """The portal's address without a trailing slash; its port is known once it was started."""
        return f"http://{HOST}:{self._port}"

    async def start(self, port: int = 0) -> Self:
        """Listen on loopback; with port 0 on the port it had before, else on a free one. OSError when it is taken."""
        listening = socket.create_server((HOST, port or self._port))
        self._port = listening.getsockname()[1]
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        return self

    async def stop(self) -> None:
        """Stop listening and cut what is open; the ledger's file stays complete and is closed by `close`."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def close(self) -> None:
        """Stop for good."""
        await self.stop()
        self.ledger.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._gate], client_max_size=2**20)
        application.add_routes(self.control.routes())
        if self.skin == "harbor":
            application.add_routes(self._harbor.routes())
            application.router.add_static("/web2", PAGES)
        else:
            application.add_routes(self._api.routes())
            application.router.add_get("/", _index)
            application.router.add_static("/web", WEB)
        return application

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/__control/"):
            return await handler(request)
        if request.path.startswith("/api/"):
            return await self._api.gate(request, handler)
        if not request.path.startswith("/w/"):
            self.wire.requests["page"] += 1
        self.wire.assets[request.path] += 1
        await asyncio.sleep(self.wire.latency.total_seconds())
        if self.doorway.maintenance:
            return await self._maintenance(request)
        response = await handler(request)
        # Asked for again each time, answered 304: what was edited on disk is seen at the next reload.
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    async def _maintenance(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=self.doorway.maintenance, headers={"Content-Type": "text/html"})
        await response.prepare(request)
        head, text = _MAINTENANCE
        await response.write(head)
        await asyncio.sleep(self.doorway.maintenance_text)
        await response.write(text)
        await response.write_eof()
        return response


async def _index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(WEB / "index.html")
