"""One subscription to one channel: opened once, read until it is over, closed always."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from listener import wire
from listener.bayeux import SessionTimes, StrictClient, StrictTransport
from listener.change import replay_id_of
from listener.endings import SessionOver, Why
from listener.token_endpoint import Token

Message = Mapping[str, Any]
_NOTHING = object()


class Session:
    """From a replay id on. `proven`: whether anything came after the subscription, be it an answer without news."""

    def __init__(
        self,
        token: Token,
        *,
        api_version: str,
        channel: str,
        replay_id: str,
        times: SessionTimes,
        heard: Callable[[], None],
    ) -> None:
        """`heard` is called after each poll that the server answered."""
        self.token = token
        self.proven = False
        self._channel = channel
        self._tell = heard
        self._heard_at = time.monotonic()
        self._subscribed = False
        self._next: Any = _NOTHING
        self._client = StrictClient(
            token, api_version=api_version, replay_id=replay_id, times=times, heard=self._note_poll
        )

    async def open(self) -> None:
        """Handshake, first poll, subscription. Raises `SessionOver`; the session must be closed then, too."""
        await self._client.begin(self._channel)
        self._subscribed = True

    async def receive(self, *, at_most: int) -> tuple[Message, ...]:
        """The next messages, one or more, in the order of arrival; `SessionOver` when all that came was taken.

        On an enriched channel a merged event comes as several messages with one replay id ("Event Enrichment
        Considerations"). They are never torn apart, since a crash between two batches would lose the later part.
        """
        transport = self._client.strict
        assert transport is not None  # noqa: S101 - `open` has made it
        while True:
            transport.news.clear()
            batch: list[Any] = []
            while self._look(transport) and (len(batch) < at_most or _same_event(batch[-1], self._next)):
                batch.append(self._next)
                self._next = _NOTHING
            if batch:
                return tuple(batch)
            if transport.over is not None:
                raise transport.over
            await self._wait(transport)

    async def close(self) -> None:
        """Says good-bye to the server and closes the connection, within `times.close` seconds."""
        await self._client.shut()

    def _look(self, transport: StrictTransport) -> bool:
        """Whether there is a message to take; it is in `_next` then. Those of foreign channels are not ours to keep."""
        while self._next is _NOTHING and transport.waiting:
            message = wire.read(transport.waiting.popleft())
            channel = message.get("channel") if isinstance(message, dict) else None
            if channel is None or channel == self._channel:
                self._next, self.proven = message, True
        return self._next is not _NOTHING

    async def _wait(self, transport: StrictTransport) -> None:
        """Until there is news; `SessionOver` when the server has been silent beyond every time limit of a poll."""
        left = self._heard_at + transport.patience_seconds - time.monotonic()
        if left <= 0:
            raise SessionOver(Why.LOST, "no poll was answered for too long")
        # Not `wait_for`: before Python 3.12 a cancellation that comes with the news is lost in it.
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await transport.news.wait()

    def _note_poll(self) -> None:
        self._heard_at = time.monotonic()
        self.proven = self.proven or self._subscribed
        self._tell()


def _same_event(one: Any, other: Any) -> bool:
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    replay_id = replay_id_of(one)
    return replay_id is not None and replay_id == replay_id_of(other)
