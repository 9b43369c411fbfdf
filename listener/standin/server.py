"""The whole org on one loopback socket: put together here, started and stopped here.

    async with StandInOrg(ledger=Path("org.jsonl")) as org:
        org.url, org.integration.client_id, org.control.create({...})

Clients get the host name `localhost`, since aiohttp's cookie jar drops the cookies of hosts that are bare addresses;
the socket itself is bound to 127.0.0.1 and to nothing else.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import web

from listener.standin import founding
from listener.standin.access import Access
from listener.standin.allowance import Allowance
from listener.standin.api import Api
from listener.standin.channels import Channel, channels_of
from listener.standin.cometd import CometD
from listener.standin.composite import Composite
from listener.standin.control import Control
from listener.standin.deploys import DeployRoutes, Deploys
from listener.standin.events import EventBus
from listener.standin.faults import Faults
from listener.standin.ledger import Ledger
from listener.standin.metadata.setup import Setup
from listener.standin.oauth import OAuth
from listener.standin.package import shipped
from listener.standin.people import Client, Flow, new_private_key, public_key_of
from listener.standin.rest import Rest
from listener.standin.rest_query import Queries
from listener.standin.standard import standard_schema
from listener.standin.store import Store
from listener.standin.tokens import Credentials, Tokens
from listener.standin.tooling import Tooling

LARGEST_BODY = 50 * 1024 * 1024  # "request body ... up to 50 MB"; a deploy of a package fits too
CALLBACKS = frozenset({"http://localhost:1717/OauthRedirect", "http://127.0.0.1:1717/OauthRedirect"})


def utc_now() -> datetime:
    return datetime.now(UTC)


class StandInOrg:
    """One org. `integration` logs in as the worker and listener, `intake` as the front desk that edits records, `admin`
    as the system administrator.

    `package` makes the zip of metadata that was deployed before anybody came, and whose permission sets they have; None
    leaves the org as it was sold.
    Ledger lines go to the file `ledger` (None: memory only). Polls are held `poll_seconds`; a stream client is
    forgotten after `session_seconds` of silence; an unused token ends after `token_life`. The public half of
    `private_key` (a PEM; None makes one) is what both apps have on file. Replay ids follow from `seed`; `clock` gives
    aware UTC.
    """

    def __init__(
        self,
        *,
        ledger: Path | None = None,
        port: int = 0,
        package: Callable[[], bytes] | None = shipped,
        poll_seconds: float = 110.0,
        session_seconds: float = 40.0,
        token_life: timedelta = timedelta(hours=2),
        collections_carry_client: bool = False,
        refresh_rotates: bool = False,
        redirect_uris: frozenset[str] = CALLBACKS,
        private_key: str | None = None,
        seed: int = 1,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.ledger = Ledger(ledger, clock)
        self.channel = "/data/FusionSync__chn"
        self._port = port
        self._runner: web.AppRunner | None = None
        schema = standard_schema()
        store, setup = Store(schema, clock), Setup(schema, clock)
        access = Access(setup, store)
        channels: dict[str, Channel] = {}
        self.org_id, people = founding.found(store)
        self.people = people

        def come_into_force() -> None:
            store.take_shape()
            founding.show_setup(setup, store)
            channels.update(channels_of(schema, setup.channels))

        setup.on_deployed.append(come_into_force)
        key = private_key or new_private_key()
        clients = [
            Client(
                id=f"3MVG9.standin.{name}",
                secret=f"standin-{name}-secret",
                flows=frozenset(Flow),
                usernames=frozenset({person.username}),
                run_as=person.username,
                public_key=public_key_of(key),
                redirect_uris=redirect_uris,
                rotates=refresh_rotates,
            )
            for name, person in people.items()
        ]
        self.integration, self.intake, self.admin = (
            Credentials(client_id=c.id, client_secret=c.secret, username=people[name].username, private_key=key)
            for name, c in zip(people, clients, strict=True)
        )
        allowance, self.faults = Allowance(), Faults(self.ledger)
        tokens = Tokens(self.org_id, clock, token_life)
        bus = EventBus(store, access, self.ledger, clock, Random(seed))  # noqa: S311  opaque, not secret
        oauth = OAuth(
            tokens=tokens,
            people=people.values(),
            clients=clients,
            org_id=self.org_id,
            base_url=lambda: self.url,
            ledger=self.ledger,
            clock=clock,
        )
        cometd = CometD(
            tokens=tokens,
            bus=bus,
            channels=channels,
            allowance=allowance,
            ledger=self.ledger,
            monotonic=time.monotonic,
            poll_seconds=poll_seconds,
            session_seconds=session_seconds,
        )
        api = Api(store=store, access=access, tokens=tokens, allowance=allowance, ledger=self.ledger)
        queries = Queries(api)
        deploys = Deploys(setup, self.ledger, clock)
        self.control = Control(
            store=store,
            access=access,
            deploys=deploys,
            bus=bus,
            cometd=cometd,
            tokens=tokens,
            oauth=oauth,
            queries=queries,
            allowance=allowance,
            faults=self.faults,
            ledger=self.ledger,
            people=people,
            channels=channels,
        )
        self._cometd = cometd
        if package is not None:
            founding.deploy(setup, package())
            founding.give_roles(store, people)
        self._routes = [
            *oauth.routes(),
            *queries.routes(),
            *Composite(api, collections_carry_client=collections_carry_client).routes(),
            *Rest(api, allowance).routes(),
            *DeployRoutes(deploys, api, tokens).routes(),
            *Tooling(setup, access, api).routes(),
            api.missing(),
            *cometd.routes(),
            *self.control.routes(),
        ]

    @property
    def url(self) -> str:
        """Where clients find the org; also its My Domain and login URL."""
        return f"http://localhost:{self._port}"

    @property
    def control_url(self) -> str:
        return f"{self.url}/__control"

    async def start(self) -> Self:
        """Binds to 127.0.0.1, on a free port when none was asked for."""
        self.ledger.open()
        app = web.Application(middlewares=[self.faults.middleware], client_max_size=LARGEST_BODY)
        app.add_routes(self._routes)
        # Cancellation lets a held poll notice that its client hung up.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """Ends every held poll and closes the socket and the ledger's file."""
        if self._runner is not None:
            self._cometd.drop_sessions()
            await self._runner.cleanup()
            self._runner = None
        self.ledger.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
