"""The stream against the stand-in org's real CometD wire: what was committed is all there, in order, none twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from org_rig import patient, settings_for, stand_in

from listener.bayeux import SessionTimes
from listener.change import replay_id_of
from listener.errors import SetupError
from listener.login import Login
from listener.standin import StandInOrg
from listener.standin.faults import Fault
from listener.stream import Backoff, Batch, PositionLost, StreamHealth, events

FAST = SessionTimes(call=1.0, margin=0.5, close=1.0)
SOON = Backoff(first=0.02, longest=0.2, limit=0.4)
COMETD = "/cometd/"


@dataclass(slots=True, kw_only=True)
class Reader:
    """Commits as the listener does: the messages and the position together, before it asks for more."""

    org: StandInOrg
    login: Login
    start: str = "-2"
    position: str | None = None
    messages: list[Any] = field(default_factory=list)
    lost: list[PositionLost] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    health: StreamHealth = field(default_factory=StreamHealth)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def committed(self) -> str:
        return self.position or self.start

    async def read(self, *, until: Callable[[], bool], **more: Any) -> None:
        stream = events(
            self.login,
            settings_for(self.org),
            position=self.committed,
            health=self.health,
            stopping=self.stopping,
            random=Random(1),
            **{"times": FAST, "backoff": SOON} | more,
        )
        async with aclosing(stream):
            async for item in stream:
                if isinstance(item, PositionLost):
                    self.lost.append(item)
                else:
                    self.commit(item)
                if until():
                    return

    def commit(self, batch: Batch) -> None:
        self.batches.append(len(batch.messages))
        for message in batch.messages:
            self.messages.append(message)
            self.position = replay_id_of(message) or self.position

    @property
    def records(self) -> list[str]:
        return [one["data"]["payload"]["ChangeEventHeader"]["recordIds"][0] for one in self.messages]


@asynccontextmanager
async def reading(**more: Any) -> AsyncIterator[Reader]:
    async with stand_in(**more) as org:
        login = Login(settings_for(org))
        try:
            yield Reader(org=org, login=login)
        finally:
            await login.close()


async def test_what_is_kept_and_what_comes_later_arrive_in_order() -> None:
    async with reading() as reader, asyncio.timeout(10):
        early = [reader.org.control.create(patient()) for _ in range(3)]
        task = asyncio.create_task(reader.read(until=lambda: len(reader.messages) == 5))
        while len(reader.messages) < 3:
            await asyncio.sleep(0.01)
        late = [reader.org.control.create(patient()) for _ in range(2)]
        await task
        assert reader.records == early + late
        assert reader.health.sessions == 1
        assert reader.login.calls == 1
