"""aiosfstream-ng, made strict: whatever is odd ends the session, and says why.

Left to itself the library loses events in a cut answer, goes deaf after a refused re-subscription or a failed token
call, sleeps an advised interval of milliseconds in seconds, and polls a failing server thousands of times a second. So
nothing is mended inside a session: no retry, no log-in, no re-subscription. `stream` opens another one, from what is
committed by then.

This overrides private methods of aiosfstream-ng 0.7.5 and aiocometd-ng 0.5.6, hence the exact pins and the contract
test. What goes over the wire: Streaming API guide, "How the Client Connects", "Clients and Timeouts", "Handling
Streaming API Errors"; sources are in the README, "Where the facts come from".
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiocometd_ng.constants import DISCONNECT_MESSAGE, ConnectionType, MetaChannel, TransportState
from aiocometd_ng.transports.long_polling import LongPollingTransport
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.client import Client, ReplayMarkerStoragePolicy
from aiosfstream_ng.exceptions import AiosfstreamException
from aiosfstream_ng.replay import ReplayMarker, ReplayMarkerStorage

from listener import wire
from listener.endings import SessionOver, Why, ending, http_ending
from listener.token_endpoint import Token, is_loopback
from listener.wire import Piece

_IDLE_POLL = 110.0  # seconds after which Salesforce answers a poll without news ("Clients and Timeouts")
_LONGEST_ADVICE = 300.0
_LONGEST_INTERVAL = 30.0  # a client that stays away for 40 s is forgotten
_MOST_WAITING = 100_000  # messages, twice what an org may be sent in a day; then no more are asked for
_SLOWEST = 10_000.0  # bytes a second, below which an answer drips rather than flows


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimes:
    """Seconds. `call`: for handshake and subscription; `margin`: what a poll may take beyond what the server said."""

    call: float = 20.0
    margin: float = 20.0
    close: float = 5.0


class _Bearer(AuthenticatorBase):
    """The token that `login` gave, under the library's own name for it."""

    def __init__(self, token: Token) -> None:
        super().__init__()
        self._of_login = token

    def __repr__(self) -> str:
        return f"_Bearer({self._of_login!r})"

    async def _authenticate(self) -> tuple[int, dict[str, Any]]:
        token = self._of_login
        return 200, {
            "token_type": "Bearer",
            "access_token": token.access_token,
            "instance_url": token.instance_url,
        }


class _From(ReplayMarkerStorage):
    """Puts one replay id into the subscription, and keeps none: positions are committed with the rows."""

    def __init__(self, replay_id: str) -> None:
        super().__init__()
        # Opaque to us, but a number on the wire where it was one.
        number = re.fullmatch(r"-?(0|[1-9]\d{0,30})", replay_id)
        self._replay_id: int | str = int(replay_id) if number else replay_id

    async def insert_replay_id(self, message: dict[str, Any]) -> None:
        message.setdefault("ext", {})["replay"] = {message["subscription"]: self._replay_id}

    async def get_replay_marker(self, subscription: str) -> ReplayMarker | None:
        return None

    async def set_replay_marker(self, subscription: str, replay_marker: ReplayMarker) -> None:
        """Nothing: see the class."""


class StrictTransport(LongPollingTransport):
    """Long polling without any attempt to recover. `over` says why it ended; `news` is set at whatever there is.

    `waiting` has what came and was not taken, in the order of arrival.

    One request at a time: with a poll in flight beside the subscription, events could ride on both answers, and the
    later ones arrive first. So polls go on once `may_poll` is set.
    """

    over: SessionOver | None = None

    def __init__(self, *, times: SessionTimes, heard: Callable[[], None], **common: Any) -> None:
        super().__init__(**common)
        self.news = asyncio.Event()
        self.waiting = deque[Piece]()
        self.may_poll = asyncio.Event()
        self._brought = 0
        self._times = times
        self._heard = heard

    @property
    def poll_seconds(self) -> float:
        """How long the server may hold a poll: what it advised last, else what Salesforce documents."""
        return min(self._advised_seconds("timeout") or _IDLE_POLL, _LONGEST_ADVICE)

    @property
    def patience_seconds(self) -> float:
        """How long after an answered poll the next one may be awaited: beyond that something hangs, whatever it is."""
        return self.interval_seconds + self.poll_seconds + 2 * self._times.margin + self._brought / _SLOWEST

    @property
    def interval_seconds(self) -> float:
        """How long the server wants us to wait between two polls."""
        return min(self._advised_seconds("interval"), _LONGEST_INTERVAL)

    def _advised_seconds(self, name: str) -> float:
        """Advice is in milliseconds; 0 where there is none, or none that makes sense."""
        advised = self._reconnect_advice.get(name)
        return max(0.0, min(advised, 1e9) / 1000) if isinstance(advised, int | float) else 0.0

    async def _send_payload_with_auth(self, payload: list[dict[str, Any]]) -> dict[str, Any]:
        return await self._send_payload(payload)

    async def _send_final_payload(self, payload: list[dict[str, Any]], *, headers: dict[str, str]) -> dict[str, Any]:
        asked = payload[0]
        if asked["channel"] == MetaChannel.CONNECT:
            wait = self.poll_seconds + self._times.margin
            if self.state is TransportState.CONNECTING:
                asked["advice"] = {"timeout": 0}  # to be answered at once, with the server's own advice (Bayeux, 4.2.3)
        else:
            wait = self._times.call
        try:
            status, body = await self._ask(payload, headers, wait)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SessionOver(Why.LOST, f"{type(error).__name__} on {asked['channel'].value}") from None
        found = wire.pieces(body)
        if status != 200:
            raise http_ending(status, map(wire.read, found or ()))
        if found is None:
            raise SessionOver(Why.LOST, f"the answer to {asked['channel'].value} is not JSON messages")
        answer = self.take(found, asked)
        if answer is None:
            raise SessionOver(Why.LOST, f"no answer to {asked['channel'].value} in what came")
        if answer.get("successful") is not True:
            raise ending(answer)
        return answer

    async def _ask(self, payload: list[dict[str, Any]], headers: dict[str, str], wait: float) -> tuple[int, bytearray]:
        """Status and body, within `wait` seconds and what the body takes at the slowest: a backlog may be large."""
        began, body = asyncio.get_running_loop().time(), bytearray()
        try:
            async with (
                asyncio.timeout(wait) as limit,
                self._http_session.post(
                    self._url,
                    json=payload,
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as response,
            ):
                async for chunk in response.content.iter_any():
                    body += chunk
                    self._brought = len(body)
                    limit.reschedule(began + wait + self._brought / _SLOWEST)
                return response.status, body
        finally:
            self._brought = 0

    def take(self, pieces: Iterable[Piece], asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """Queues what is not of the protocol itself, unread, and junk too (it becomes a dead letter). The answer to
        what was asked; None if it is not there.

        Nothing here notes subscriptions, which is what would make the library subscribe again on its own.
        """
        found = None
        for piece in pieces:
            channel = wire.channel_of(piece)
            if not isinstance(channel, str) or not channel.startswith("/meta/"):
                self.waiting.append(piece)
                self.news.set()
                continue
            message = wire.read(piece)
            if isinstance(message.get("advice"), dict):
                self._reconnect_advice = message["advice"]
            if channel == asked["channel"].value and message.get("id") in (None, asked.get("id")):
                found = message
        return found

    def _connect_done(self, future: asyncio.Future[dict[str, Any]]) -> None:
        if future.cancelled() or self.state in (TransportState.DISCONNECTING, TransportState.DISCONNECTED):
            if not future.cancelled():
                future.exception()  # or it would be reported as never looked at
            return
        failure = future.exception()
        if failure is None and self._reconnect_advice.get("reconnect", "retry") != "retry":
            failure = SessionOver(Why.LOST, "the server advised not to poll again")
        if failure is None:
            self._state = TransportState.CONNECTED
            self._heard()
            self._start_connect_task(self._next_poll())
        else:
            self.over = failure if isinstance(failure, SessionOver) else SessionOver(Why.LOST, type(failure).__name__)
            self._state = TransportState.SERVER_DISCONNECTED
        self.news.set()

    async def _next_poll(self) -> dict[str, Any]:
        await self.may_poll.wait()
        await asyncio.sleep(self.interval_seconds)
        # At worst the server forgets us meanwhile, and we begin again from what is committed.
        while len(self.waiting) > _MOST_WAITING:  # noqa: ASYNC110 - what is taken tells nobody
            await asyncio.sleep(0.05)
        return await self._connect()

    async def disconnect(self) -> None:
        """Says good-bye whatever the state is: a session that is left to expire counts against the org's clients."""
        self._state = TransportState.DISCONNECTING
        await self._stop_connect_task()
        try:
            if self.client_id:
                await self._send_message(DISCONNECT_MESSAGE.copy())
        except SessionOver:
            pass  # it is over either way
        finally:
            self._state = TransportState.DISCONNECTED


class StrictClient(Client):
    """The library's client, for one session, with the transport above: handshake and first poll are its `open`."""

    def __init__(
        self, token: Token, *, api_version: str, replay_id: str, times: SessionTimes, heard: Callable[[], None]
    ) -> None:
        super().__init__(
            _Bearer(token),
            replay=_From(replay_id),
            replay_storage_policy=ReplayMarkerStoragePolicy.MANUAL,
            connection_timeout=0,
            max_pending_count=0,
        )
        self._connection_types = [ConnectionType.LONG_POLLING]
        self._api_version = api_version
        self._times = times
        self._heard = heard
        self.strict: StrictTransport | None = None

    def get_cometd_url(self, instance_url: str) -> str:  # type: ignore[override]
        return f"{instance_url}/cometd/{self._api_version}"

    async def _get_http_session(self) -> aiohttp.ClientSession:
        if self._http_session is None:
            # Cookies are mandatory ("Clients and Cookies"); the usual jar drops those of a host that is an address.
            jar = aiohttp.CookieJar(unsafe=True)
            self._http_session = aiohttp.ClientSession(cookie_jar=jar, trust_env=not is_loopback(self.url))
        return self._http_session

    async def _negotiate_transport(self) -> StrictTransport:
        """Not through the library's registry, which is the whole process's."""
        self._incoming_queue = asyncio.Queue()
        self._transport = self.strict = StrictTransport(
            url=self.url,
            incoming_queue=self._incoming_queue,
            http_session=await self._get_http_session(),
            ssl=True,
            extensions=self.extensions,
            auth=self.auth,
            times=self._times,
            heard=self._heard,
        )
        await self.strict.handshake(self._connection_types)
        return self.strict

    async def begin(self, channel: str) -> None:
        """Handshake, first poll, subscription; bounded in time. Raises `SessionOver`, and must be shut then, too."""
        try:
            async with asyncio.timeout(2 * self._times.call + self._times.margin):
                await self.open()
            if self.strict is not None and self.strict.over is not None:
                raise self.strict.over
            await self.subscribe(channel)  # as long as its answer takes: all that is stored may ride on it
            if self.strict is not None:
                self.strict.may_poll.set()
        except TimeoutError:
            raise SessionOver(Why.LOST, "the session could not be opened in time") from None
        except AiosfstreamException as error:
            known = self.strict.over if self.strict is not None else None
            raise known or SessionOver(Why.LOST, f"{type(error).__name__} of the library") from None

    async def shut(self) -> None:
        """Ends what was opened, also if `open` failed half-way, within `times.close` seconds."""
        try:
            if self.strict is not None and self._http_session is not None and not self._http_session.closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._times.close):
                        await self.strict.disconnect()
        finally:
            self._closed = True
            if self._http_session is not None:
                await self._http_session.close()
