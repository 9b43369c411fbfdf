"""The Streaming API: Bayeux over long polling, with Salesforce's replay extension and its own error words.

Sources, Streaming API Developer Guide: "How the Client Connects", "Clients and Timeouts", "Clients and Cookies",
"Message Durability", "Streaming API Error Codes", "Handling Streaming API Errors". A session ends 40 s after its last
poll was answered. Events ride on /meta/connect answers only; an answer that is cut on the wire takes its events with
it, since the server speaks no acknowledgement extension.
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from listener.standin.allowance import Allowance
from listener.standin.channels import Channel
from listener.standin.events import Event, EventBus, UnknownReplayId
from listener.standin.ledger import Ledger
from listener.standin.tokens import Session, Tokens, bearer

COOKIE = "BAYEUX_BROWSER"
OLDEST_VERSION = 37.0
LARGEST_POST = 32_768
NEWER, ALL = -1, -2

Message = Mapping[str, object]
Reply = dict[str, object]


@dataclass(slots=True, kw_only=True, eq=False)
class _Stream:
    """One Bayeux session. `poll` is set while a connect waits; whoever sets its result ends the wait."""

    client_id: str
    cookie: str
    version: float
    session: Session
    last_seen: float
    channels: set[str] = field(default_factory=set)
    queue: list[Reply] = field(default_factory=list)
    poll: asyncio.Future[None] | None = None
    advised: bool = False
    dropped: bool = False

    def wake(self) -> None:
        if self.poll is not None and not self.poll.done():
            self.poll.set_result(None)


class CometD:
    """The endpoint /cometd/<version>. `poll_seconds` is how long an idle poll is held, `session_seconds` how long a
    client may stay away after an answer (Salesforce: 110 and 40)."""

    def __init__(
        self,
        *,
        tokens: Tokens,
        bus: EventBus,
        channels: Mapping[str, Channel],
        allowance: Allowance,
        ledger: Ledger,
        monotonic: Callable[[], float],
        poll_seconds: float,
        session_seconds: float,
    ) -> None:
        self.poll_seconds = poll_seconds
        self.session_seconds = session_seconds
        #: Subscribed, polling, and no event arrives: help article 005321562, "CometD Subscribers May Lose Events".
        self.stalled = False
        self._tokens = tokens
        self._bus = bus
        self._channels = channels
        self._allowance = allowance
        self._ledger = ledger
        self._monotonic = monotonic
        self._streams: dict[str, _Stream] = {}
        bus.on_event.append(self._deliver)
        tokens.on_revoked.append(self.wake_all)

    def routes(self) -> list[web.RouteDef]:
        # Some clients append the message type to the address: /cometd/66.0/handshake.
        return [web.post(r"/cometd{version:(?:/[\d.]*)?}{type:(?:/\w*)?}", self.post)]

    def wake_all(self) -> None:
        """Ends every waiting poll, so that it looks again at its token and its session."""
        for stream in self._streams.values():
            stream.wake()

    def drop_sessions(self) -> int:
        """Forgets every client: their next (or waiting) poll hears `403::Unknown client`. How many there were."""
        dropped = list(self._streams.values())
        self._streams.clear()
        for stream in dropped:
            stream.dropped = True
            stream.wake()
        return len(dropped)

    @property
    def connected(self) -> int:
        self._expire()
        return len(self._streams)

    async def post(self, request: web.Request) -> web.Response:
        if (request.content_length or 0) > LARGEST_POST:
            return web.Response(status=413, text="Maximum Request Size Exceeded")
        try:
            posted = json.loads(await request.text())
        except ValueError:
            return web.Response(status=400, text="400::Invalid JSON")
        messages = posted if isinstance(posted, list) else [posted]
        if not messages or not all(isinstance(m, dict) and isinstance(m.get("channel"), str) for m in messages):
            return web.Response(status=400, text="400::Invalid message")
        cookie = request.cookies.get(COOKIE) or secrets.token_hex(16)
        replies: list[Reply] = []
        for message in messages:
            replies += await self._answer(request, message, cookie)
        response = web.json_response(replies)
        if any(r["channel"] == "/meta/handshake" and r["successful"] for r in replies):
            response.set_cookie(COOKIE, cookie, httponly=True)
        return response

    async def _answer(self, request: web.Request, message: Message, cookie: str) -> list[Reply]:
        channel = str(message["channel"])
        refused = self._wrong_version(request.match_info["version"].strip("/"))
        if refused is not None:
            return [_failure(message, refused)]
        token = bearer(request)
        if token is None:
            return [_failure(message, "401::Request requires authentication", reconnect="none")]
        if channel == "/meta/handshake":
            return [self._handshake(request, message, token, cookie)]
        self._expire()
        stream = self._streams.get(str(message.get("clientId")))
        if stream is None:
            return [_failure(message, "403::Unknown client", reconnect="handshake")]
        if request.cookies.get(COOKIE) != stream.cookie:
            name = stream.client_id
            return [_failure(message, f"400::Client {name} has established a session, but no {COOKIE} cookie present")]
        current = self._tokens.known(token)
        if current is None:
            return [_failure(message, "401::Authentication invalid", reconnect="none", interval=0)]
        stream.session = current
        stream.last_seen = self._monotonic()
        match channel:
            case "/meta/connect":
                return await self._connect(stream, message)
            case "/meta/subscribe":
                return [self._subscribe(stream, message, name) for name in _names(message)]
            case "/meta/unsubscribe":
                stream.channels -= set(_names(message))
                return [_success(message, subscription=message.get("subscription"))]
            case "/meta/disconnect":
                del self._streams[stream.client_id]
                stream.wake()
                return [_success(message)]
            case _:
                return [_failure(message, "403::Publishing is not allowed")]

    @staticmethod
    def _wrong_version(text: str) -> str | None:
        if not text:
            return "400::API version in the URI is mandatory. URI format: '/cometd/66.0'"
        try:
            good = float(text) >= OLDEST_VERSION
        except ValueError:
            good = False
        if good:
            return None
        return (
            "400::Unsupported API version. Only API versions '37.0' and later are supported. URI format: '/cometd/66.0'"
        )

    def _handshake(self, request: web.Request, message: Message, token: str, cookie: str) -> Reply:
        session = self._tokens.check(token)
        if session is None:
            reason = {"ext": {"sfdc": {"failureReason": "401::Authentication invalid"}, "replay": True}}
            return {**_failure(message, "403::Handshake denied", reconnect="none"), **reason}
        kinds = message.get("supportedConnectionTypes")
        if isinstance(kinds, list) and "long-polling" not in kinds:
            return _failure(message, f"400::Invalid connection type {', '.join(map(str, kinds))}", reconnect="none")
        if self.connected >= self._allowance.clients_max:
            return _failure(message, "403::Organization concurrent user limit exceeded", reconnect="none")
        stream = _Stream(
            client_id=secrets.token_hex(13),
            cookie=cookie,
            version=float(request.match_info["version"].strip("/")),
            session=session,
            last_seen=self._monotonic(),
        )
        self._streams[stream.client_id] = stream
        self._note("handshake", stream)
        return {
            **_success(message),
            "ext": {"replay": True, "payload.format": True},
            "version": "1.0",
            "minimumVersion": "1.0",
            "clientId": stream.client_id,
            "supportedConnectionTypes": ["long-polling"],
        }

    def _subscribe(self, stream: _Stream, message: Message, name: str) -> Reply:
        refused, events = self._replay(message, name)
        self._note("subscribe", stream, channel=name, replay=_asked_replay(message, name), error=refused)
        if refused is not None:
            return {**_failure(message, refused), "subscription": name}
        stream.channels.add(name)
        for event in events:
            self._enqueue(stream, event, name)
        stream.wake()
        return _success(message, subscription=name)

    def _replay(self, message: Message, name: str) -> tuple[str | None, list[Event]]:
        """Why the subscription is refused, if it is; else the stored events to start with."""
        if not name:
            return "400::Channel name not specified", []
        if not name.startswith("/"):
            return "400::Channel subscriptions must start with a leading '/'", []
        if name not in self._channels:
            return f"400::The channel you requested to subscribe to does not exist {{{name}}}", []
        asked = _asked_replay(message, name)
        try:
            return None, self._bus.after(asked if isinstance(asked, int) else NEWER)
        except UnknownReplayId:
            return (
                f"400::The replayId {{{asked}}} you provided was invalid.  Please provide a valid ID, {ALL} to replay "
                f"all events, or {NEWER} to replay only new events.",
                [],
            )

    async def _connect(self, stream: _Stream, message: Message) -> list[Reply]:
        if message.get("connectionType") != "long-polling":
            return [_failure(message, f"400::Invalid connection type {message.get('connectionType')}")]
        first, stream.advised = not stream.advised, True
        if not first and (self.stalled or not stream.queue):
            stream.wake()  # a second poll of one client ends the first
            stream.poll = mine = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait({mine}, timeout=self.poll_seconds)
            finally:
                # Also on a client that hung up: its 40 seconds begin now.
                stream.last_seen = self._monotonic()
                if stream.poll is mine:
                    stream.poll = None
            if stream.poll is not None:
                return [_success(message)]
        if stream.dropped:
            return [_failure(message, "403::Unknown client", reconnect="handshake")]
        if self._tokens.known(stream.session.token) is None:
            return [_failure(message, "401::Authentication invalid", reconnect="none", interval=0)]
        if self.stalled:
            return [_success(message)]
        if stream.queue and self._allowance.events_used >= self._allowance.events_max:
            return [_failure(message, "403::Organization total events daily limit exceeded", reconnect="none")]
        taken, stream.queue = stream.queue, []
        self._allowance.events_used += len(taken)
        for sent in taken:
            self._note("delivery", stream, channel=sent["channel"], data=sent["data"])
        timeout = int(self.poll_seconds * 1000)
        advice = {"advice": {"interval": 0, "timeout": timeout, "reconnect": "retry"}} if first else {}
        return [*taken, {**_success(message), **advice}]

    def _deliver(self, event: Event) -> None:
        self._expire()
        for stream in self._streams.values():
            for name in stream.channels:
                self._enqueue(stream, event, name)
            if stream.queue and not self.stalled:
                stream.wake()

    def _enqueue(self, stream: _Stream, event: Event, name: str) -> None:
        for data in self._bus.messages(event, self._channels[name], stream.session.person, stream.version):
            stream.queue.append({"channel": name, "clientId": stream.client_id, "data": data})

    def _expire(self) -> None:
        """Forgets clients that stayed away too long. One whose poll is held is never away."""
        oldest = self._monotonic() - self.session_seconds
        self._streams = {k: s for k, s in self._streams.items() if s.poll is not None or s.last_seen >= oldest}

    def _note(self, kind: str, stream: _Stream, **what: object) -> None:
        person = stream.session.person
        self._ledger.record(kind, client=stream.client_id, user=person.username, version=stream.version, **what)


def _names(message: Message) -> list[str]:
    asked = message.get("subscription")
    return [str(name) for name in asked] if isinstance(asked, list) else [str(asked or "")]


def _asked_replay(message: Message, name: str) -> object:
    """The replay id of the `ext.replay` extension for one channel; None when it is not there."""
    ext = message.get("ext")
    replay = ext.get("replay") if isinstance(ext, Mapping) else None
    return replay.get(name) if isinstance(replay, Mapping) else None


def _success(message: Message, **more: object) -> Reply:
    common = {k: message[k] for k in ("id", "clientId") if k in message}
    return {"channel": message["channel"], **common, **more, "successful": True}


def _failure(message: Message, error: str, *, reconnect: str | None = None, interval: int | None = None) -> Reply:
    advice: dict[str, object] = {"reconnect": reconnect} if reconnect else {}
    if reconnect and (interval is not None or reconnect == "handshake"):
        advice["interval"] = interval or 0
    common = {k: message[k] for k in ("id", "subscription") if k in message}
    told = {"advice": advice} if advice else {}
    return {"channel": message["channel"], **common, **told, "error": error, "successful": False}
