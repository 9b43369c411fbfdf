"""The stream over the stand-in's real wire, with faults in it: all that was committed comes, in order, none twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

import aiohttp
import pytest
from aiocometd_ng.constants import MetaChannel
from aiohttp import web
from aiohttp.test_utils import TestServer
from org_rig import patient, settings_for, stand_in

from listener.bayeux import SessionTimes, StrictTransport
from listener.change import replay_id_of
from listener.endings import SessionOver, Why
from listener.errors import Outage, SetupError
from listener.login import Login
from listener.session import Session
from listener.standin import StandInOrg
from listener.standin.faults import Fault
from listener.stream import Backoff, Batch, PositionLost, StreamHealth, _Pauses, events

FAST = SessionTimes(call=1.0, margin=0.4, close=1.0)
SOON = Backoff(first=0.02, longest=0.2, limit=0.5)
SHORT = {"poll_seconds": 0.3, "session_seconds": 0.6}
"""Sessions that the server soon forgets by itself, for a client that cannot say good-bye."""
COMETD, TOKEN, JSON = "/cometd/", "/services/oauth2/token", "application/json"


@dataclass(slots=True, kw_only=True)
class Reader:
    """Commits as the listener does: messages and position together, before it asks for more."""

    org: StandInOrg
    login: Login
    position: str = "-2"
    messages: list[Any] = field(default_factory=list)
    lost: list[PositionLost] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    health: StreamHealth = field(default_factory=StreamHealth)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def committed(self) -> str:
        return self.position

    async def read(self, until: Callable[[], bool] = lambda: False, **more: Any) -> None:
        """Until the condition holds after a batch; then the stream is closed as by a reader that has had enough."""
        given: dict[str, Any] = {"times": FAST, "backoff": SOON, "position": self.committed} | more
        stream = events(
            self.login,
            settings_for(self.org),
            health=self.health,
            stopping=self.stopping,
            random=Random(1),
            **given,
        )
        async with aclosing(stream):
            async for item in stream:
                self.commit(item)
                if until():
                    return

    async def read_all(self, number: int, **more: Any) -> None:
        async with asyncio.timeout(15):
            await self.read(lambda: len(self.messages) >= number, **more)

    def commit(self, item: Batch | PositionLost) -> None:
        if isinstance(item, PositionLost):
            self.lost.append(item)
            return
        self.batches.append(len(item.messages))
        for message in item.messages:
            self.messages.append(message)
            self.position = (replay_id_of(message) if isinstance(message, dict) else None) or self.position

    @property
    def records(self) -> list[str]:
        return [one["data"]["payload"]["ChangeEventHeader"]["recordIds"][0] for one in self.messages]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return self.org.ledger.of(kind)

    async def have(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.messages) < number:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def reading(**more: Any) -> AsyncIterator[Reader]:
    async with stand_in(**more) as org:
        login = Login(settings_for(org), timeout=1.0)
        try:
            yield Reader(org=org, login=login)
        finally:
            await login.close()
        # One that still polls would never expire; one that could not say good-bye does, where the sessions are short.
        for _ in range(60):
            if org.control.stats()["connected"] == 0:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("a session was left behind")


def connect(**what: Any) -> Fault:
    """A fault of /meta/connect alone; `skip=1` lets the first one of a session pass, which is answered at once."""
    return Fault(path=COMETD, contains="/meta/connect", **what)


async def test_what_is_kept_and_what_comes_later_arrive_in_order_over_one_session() -> None:
    async with reading() as reader:
        early = [reader.org.control.create(patient()) for _ in range(3)]
        task = asyncio.create_task(reader.read_all(5))
        await reader.have(3)
        late = [reader.org.control.create(patient()) for _ in range(2)]
        await task
        assert reader.records == early + late
        assert (reader.health.sessions, reader.login.calls) == (1, 1)
        assert reader.health.last_heard_at
        assert reader.health.last_event_at
        assert reader.of("handshake")[0]["version"] == 66.0


async def test_one_request_is_in_flight_at_a_time() -> None:
    """With a poll beside the subscription, events on both answers could arrive in the wrong order."""
    async with reading() as reader:
        for _ in range(3):
            reader.org.control.create(patient())
        await reader.read_all(3)
        stream = [one for one in reader.org.ledger.entries if one["kind"] in ("subscribe", "delivery")]
        assert [one["kind"] for one in stream] == ["subscribe", "delivery", "delivery", "delivery"]
        reader.org.control.faults.add(Fault(path=COMETD, contains="/meta/subscribe", delay=0.3))
        fault = Fault(path=COMETD, contains="/meta/connect", skip=1, times=100)
        reader.org.control.faults.add(fault)
        task = asyncio.create_task(reader.read())
        await asyncio.sleep(0.25)
        assert (fault.skip, fault.times) == (0, 100), "one poll, and no other while the subscription is not answered"
        reader.stopping.set()
        await task


async def test_a_poll_loop_that_died_unnoticed_is_noticed() -> None:
    async with reading() as reader:
        session = Session(
            await reader.login.token(),
            api_version="66.0",
            channel=reader.org.channel,
            replay_id="-2",
            times=SessionTimes(call=1.0, margin=0.1, close=1.0),
            heard=reader.health.note_poll,
        )
        await session.open()
        transport = session._client.strict
        assert transport is not None
        await transport._stop_connect_task()
        transport._reconnect_advice = {"timeout": 200}
        with pytest.raises(SessionOver, match="no poll was answered for too long"):
            await asyncio.wait_for(session.receive(at_most=5), 5)
        await session.close()


@pytest.mark.parametrize("steps", range(5))
async def test_a_stop_that_comes_with_the_news_is_not_lost(steps: int) -> None:
    """In a loop's step in which a poll is answered, too: else a listener would not stop until something happens."""
    async with reading(poll_seconds=30) as reader:
        session = Session(
            await reader.login.token(),
            api_version="66.0",
            channel=reader.org.channel,
            replay_id="-2",
            times=FAST,
            heard=reader.health.note_poll,
        )
        await session.open()
        transport = session._client.strict
        assert transport is not None
        receiving = asyncio.create_task(session.receive(at_most=5))
        await asyncio.sleep(0.05)
        transport.news.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        receiving.cancel()
        done, _ = await asyncio.wait({receiving}, timeout=1)
        assert done == {receiving}
        assert receiving.cancelled()
        await session.close()


async def test_a_first_poll_that_is_told_to_stay_away_is_the_end_of_that_session_alone() -> None:
    async with reading(**SHORT) as reader:
        ids = [reader.org.control.create(patient())]
        told = '[{"channel":"/meta/connect","successful":true,"advice":{"reconnect":"none"}}]'
        reader.org.control.faults.add(connect(times=2, status=200, body=told, content_type=JSON))
        await reader.read_all(1)
        assert reader.records == ids
        assert len(reader.of("handshake")) == 3


async def test_a_large_answer_may_take_its_time_and_one_that_drips_may_not() -> None:
    """Bounded by the bytes that it brings: a backlog on a slow line would else be asked for again for ever."""
    chunks, served = [b" " * 20_000] * 8, []

    async def slowly(request: web.Request) -> web.StreamResponse:
        served.append(request.path)
        answer = web.StreamResponse(headers={"Content-Type": JSON})
        await answer.prepare(request)
        for chunk in chunks if request.path == "/flows" else [b" "] * 40:
            await answer.write(chunk)
            await asyncio.sleep(0.1)
        await answer.write(b'[{"channel":"/meta/connect","successful":true}]')
        return answer

    app = web.Application()
    app.router.add_post("/{any}", slowly)
    async with TestServer(app, skip_url_asserts=True) as server, aiohttp.ClientSession() as http:
        for path, good in (("/flows", True), ("/drips", False)):
            transport = StrictTransport(
                url=str(server.make_url(path)),
                incoming_queue=asyncio.Queue(),
                http_session=http,
                times=SessionTimes(call=0.3, margin=0.2),
                heard=lambda: None,
            )
            transport._reconnect_advice = {"timeout": 100}
            asked = {"channel": MetaChannel.CONNECT, "id": "1"}
            if good:
                answer = await transport._send_final_payload([asked], headers={})
                assert answer["successful"]
            else:
                with pytest.raises(SessionOver, match="TimeoutError on /meta/connect"):
                    await transport._send_final_payload([asked], headers={})
    assert served == ["/flows", "/drips"]


@pytest.mark.parametrize("proven", [False, True])
def test_pauses_double_from_a_second_to_a_minute_and_begin_anew_after_a_session_that_heard_something(
    proven: bool,
) -> None:
    class Ended:
        def __init__(self, proven: bool) -> None:
            self.proven = proven

    pauses = _Pauses(backoff=Backoff(), random=Random(3))
    for doubled in (1, 2, 4, 8, 16, 32, 60, 60):
        found = pauses.after(Why.LOST, cast(Session, Ended(False)))
        assert doubled / 2 <= found <= doubled
    assert 240 <= pauses.after(Why.LIMIT, None) <= 360
    after = pauses.after(Why.LOST, cast(Session, Ended(proven)))
    assert (after <= 1) is proven


async def test_a_quiet_channel_is_polled_again_and_again_in_one_session() -> None:
    async with reading(poll_seconds=0.1) as reader:
        task = asyncio.create_task(reader.read_all(1))
        while reader.health.last_heard_at is None:
            await asyncio.sleep(0.01)
        before = reader.health.last_heard_at
        await asyncio.sleep(0.4)
        assert reader.health.last_heard_at > before
        assert reader.health.state == "listening"
        reader.org.control.create(patient())
        await task
        assert reader.health.sessions == 1


async def test_a_reader_that_is_closed_midway_goes_on_behind_what_it_committed() -> None:
    async with reading() as reader:
        ids = [reader.org.control.create(patient()) for _ in range(25)]
        for number in (7, 14, 25):
            await reader.read_all(number, at_most=7)
        assert reader.records == ids
        assert reader.batches[:2] == [7, 7]


async def test_a_reader_that_dies_before_the_commit_hears_it_again() -> None:
    async with reading() as reader:
        ids = [reader.org.control.create(patient()) for _ in range(3)]
        stream = events(
            reader.login,
            settings_for(reader.org),
            position=reader.committed,
            health=reader.health,
            stopping=reader.stopping,
            times=FAST,
        )
        async with aclosing(stream):
            assert isinstance(await anext(stream), Batch)
        await reader.read_all(3)
        assert reader.records == ids


REFUSED = json.dumps({"error": "invalid_grant", "error_description": "user hasn't approved this consumer"})
FAULTS: dict[str, list[Fault]] = {
    "cut body": [connect(skip=1, cut_after=40), connect(skip=1, cut_after=700)],
    "bad JSON": [connect(skip=1, status=200, body='[{"channel": "/meta/conn', after=True)],
    "JSON of another kind": [connect(skip=1, status=200, body="7", after=True)],
    "no answer among the messages": [connect(skip=1, status=200, body="[]", content_type=JSON, after=True)],
    "HTML 503 three times": [Fault(path=COMETD, skip=1, times=3, status=503, body="<html>maintenance</html>")],
    "advised to go away": [
        connect(
            skip=1,
            status=200,
            content_type=JSON,
            after=True,
            body='[{"channel":"/meta/connect","id":"2","successful":true,"advice":{"reconnect":"none"}}]',
        )
    ],
    "poll never answered": [connect(skip=1, hang=True)],
    "handshake never answered": [Fault(path=COMETD, contains="/meta/handshake", hang=True)],
    "handshake cut": [Fault(path=COMETD, contains="/meta/handshake", cut_after=10)],
    "subscription never answered": [Fault(path=COMETD, contains="/meta/subscribe", hang=True)],
    "token endpoint 503": [Fault(path=TOKEN, status=503, times=2)],
    "token endpoint hangs": [Fault(path=TOKEN, hang=True)],
    "401 in HTTP": [connect(skip=1, status=401)],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
async def test_a_fault_ends_the_session_and_loses_nothing(faults: list[Fault]) -> None:
    async with reading(**SHORT) as reader:
        early = [reader.org.control.create(patient()) for _ in range(4)]
        for fault in faults:
            reader.org.control.faults.add(replace(fault))
        reader.login._monotonic = FastForward()
        task = asyncio.create_task(reader.read_all(6))
        await reader.have(4)
        late = [reader.org.control.create(patient()) for _ in range(2)]
        await task
        assert reader.records == early + late
        assert reader.lost == []


class FastForward:
    """A monotonic clock of the login's, on which every look is a minute later: its pauses are no test's business."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 60
        return self.now


async def test_a_dropped_session_is_opened_again_without_another_token() -> None:
    async with reading() as reader:
        early = [reader.org.control.create(patient()) for _ in range(2)]
        task = asyncio.create_task(reader.read_all(4))
        await reader.have(2)
        reader.org.control.drop_sessions()
        late = [reader.org.control.create(patient()) for _ in range(2)]
        await task
        assert reader.records == early + late
        assert (reader.health.sessions, reader.login.calls) == (2, 1)


async def test_an_expired_token_costs_one_call() -> None:
    async with reading(**SHORT) as reader:
        early = [reader.org.control.create(patient()) for _ in range(2)]
        task = asyncio.create_task(reader.read_all(4))
        await reader.have(2)
        reader.org.control.expire_tokens()
        late = [reader.org.control.create(patient()) for _ in range(2)]
        await task
        assert reader.records == early + late
        assert reader.login.calls == 2


@pytest.mark.parametrize("status", [400, 503])
async def test_a_token_endpoint_that_fails_when_the_token_expires_is_waited_for(status: int) -> None:
    async with reading(**SHORT) as reader:
        reader.login._monotonic = FastForward()
        early = [reader.org.control.create(patient()) for _ in range(2)]
        task = asyncio.create_task(reader.read_all(4))
        await reader.have(2)
        reader.org.control.faults.add(Fault(path=TOKEN, times=3, status=status, body=REFUSED, content_type=JSON))
        reader.org.control.expire_tokens()
        late = [reader.org.control.create(patient()) for _ in range(2)]
        await task
        assert reader.records == early + late
        assert reader.login.calls == 5


async def test_a_log_in_that_never_worked_stops_the_stream() -> None:
    async with reading() as reader:
        reader.org.control.faults.add(Fault(path=TOKEN, status=400, body=REFUSED, content_type=JSON))
        with pytest.raises(SetupError, match="refused the log-in"):
            await reader.read_all(1)
        assert reader.health.state == "stopped"


async def test_a_forgotten_position_is_told_once_and_all_that_is_kept_follows() -> None:
    async with reading() as reader:
        for _ in range(3):
            reader.org.control.create(patient())
        await reader.read_all(3)
        position = reader.position
        reader.org.control.forget_events()
        kept = [reader.org.control.create(patient()) for _ in range(2)]
        # The first session after it breaks before anything could be committed: no second gap must come of that.
        reader.org.control.faults.add(Fault(path=COMETD, contains="/meta/subscribe", skip=1, cut_after=5))
        reader.messages.clear()
        await reader.read_all(2)
        assert reader.records == kept
        assert [(one.channel, one.replay_id) for one in reader.lost] == [(reader.org.channel, position)]
        assert [one["replay"] for one in reader.of("subscribe")[1:]] == [int(position), -2, -2]


async def test_a_position_that_was_never_a_number_stays_what_it_was() -> None:
    async with reading() as reader:
        reader.position = "AAAB-opaque"
        task = asyncio.create_task(reader.read_all(1))
        while not reader.of("subscribe"):
            await asyncio.sleep(0.01)
        reader.org.control.create(patient())
        await task
        assert reader.of("subscribe")[0]["replay"] == "AAAB-opaque"


async def test_a_channel_that_is_not_there_stops_the_process_and_is_named() -> None:
    async with reading() as reader:
        refused = '[{"channel":"/meta/subscribe","successful":false,"error":"400::The channel does not exist"}]'
        reader.org.control.faults.add(
            Fault(path=COMETD, contains="/meta/subscribe", status=200, body=refused, content_type=JSON)
        )
        with pytest.raises(SetupError, match="/data/FusionSync__chn") as caught:
            await reader.read_all(1)
        assert "SALESFORCE_CHANNEL" in caught.value.hint


async def test_a_failing_server_is_not_hammered() -> None:
    async with reading() as reader:
        fault = Fault(path=COMETD, status=503, times=1_000_000)
        reader.org.control.faults.add(fault)
        task = asyncio.create_task(reader.read(backoff=Backoff(first=0.1, longest=0.4)))
        await asyncio.sleep(1.2)
        reader.stopping.set()
        await asyncio.wait_for(task, 5)
        assert 2 <= 1_000_000 - (fault.times or 0) <= 10
        assert reader.login.calls == 1
        assert "HTTP 503" in str(reader.health.last_error)


async def test_polls_that_always_fail_after_a_good_handshake_are_not_hot_either() -> None:
    """The storm of the library: the handshake works, each poll is refused with an interval of 0."""
    async with reading() as reader:
        refused = (
            '[{"channel":"/meta/connect","id":"1","successful":false,"error":"403::Unknown client",'
            '"advice":{"reconnect":"handshake","interval":0}}]'
        )
        reader.org.control.faults.add(connect(status=200, body=refused, content_type=JSON, times=None))
        task = asyncio.create_task(reader.read(backoff=Backoff(first=0.1, longest=0.4)))
        await asyncio.sleep(1.2)
        reader.stopping.set()
        await asyncio.wait_for(task, 5)
        assert 2 <= len(reader.of("handshake")) <= 10
        assert reader.login.calls == 1


async def test_a_used_up_allowance_is_left_alone_for_long() -> None:
    async with reading() as reader:
        reader.org.control.allowance.events_max = 0
        ids = [reader.org.control.create(patient())]
        task = asyncio.create_task(reader.read_all(1, backoff=Backoff(first=0.01, limit=1.5)))
        while reader.health.last_error is None:
            await asyncio.sleep(0.01)
        assert reader.health.last_error.startswith("limit:")
        await asyncio.sleep(0.5)
        assert len(reader.of("handshake")) == 1
        reader.org.control.allowance.events_max = 100
        await task
        assert reader.records == ids


async def test_an_advised_interval_is_in_milliseconds() -> None:
    async with reading() as reader:
        ids = [reader.org.control.create(patient())]
        answer = '[{"channel":"/meta/connect","id":"1","successful":true,"advice":{"interval":300,"timeout":900}}]'
        reader.org.control.faults.add(connect(status=200, body=answer, content_type=JSON, after=True))
        await reader.read_all(1)
        assert reader.records == ids
        assert reader.health.sessions == 1


async def test_messages_of_one_merged_event_are_never_torn_apart() -> None:
    async with reading() as reader:
        ids = [reader.org.control.create(patient()) for _ in range(6)]
        await reader.read_all(6)
        reader.messages.clear()
        reader.batches.clear()
        changes = [{"op": "update", "id": one, "values": {"Preferred_Name__c": "B"}} for one in ids]
        reader.org.control.save(*changes)
        reader.org.control.update(ids[0], {"Preferred_Name__c": "C"})
        await reader.read_all(7, at_most=2)
        assert len({replay_id_of(one) for one in reader.messages[:6]}) == 1
        assert reader.batches == [6, 1]
        assert reader.records == [*ids, ids[0]]


async def test_a_big_backlog_comes_in_bounded_batches() -> None:
    async with reading() as reader:
        ids = [reader.org.control.create(patient()) for _ in range(1200)]
        await reader.read_all(1200)
        assert reader.records == ids
        assert max(reader.batches) <= 500


async def test_junk_on_the_channel_is_passed_on_and_the_next_good_event_too() -> None:
    async with reading() as reader:
        for payload in (None, 7, {"ChangeEventHeader": []}, {"nested": {"deep": [[]]}}):
            reader.org.control.publish(payload)
        ids = [reader.org.control.create(patient())]
        await reader.read_all(5)
        assert reader.messages[4]["data"]["payload"]["ChangeEventHeader"]["recordIds"] == ids


async def test_messages_of_a_foreign_channel_and_junk_without_one_are_told_apart() -> None:
    async with reading() as reader:
        body = json.dumps(
            [
                {"channel": "/data/Other", "data": {"event": {"replayId": 9}}},
                "no object",
                {"data": "no channel"},
                {"channel": "/meta/connect", "id": "2", "successful": True},
            ]
        )
        reader.org.control.faults.add(connect(skip=1, status=200, body=body, content_type=JSON))
        await reader.read_all(2)
        assert reader.messages == ["no object", {"data": "no channel"}]


async def test_stopping_says_good_bye_and_is_quick() -> None:
    async with reading(poll_seconds=30) as reader:
        reader.org.control.create(patient())
        task = asyncio.create_task(reader.read())
        await reader.have(1)
        reader.stopping.set()
        await asyncio.wait_for(task, 5)
        assert reader.org.control.stats()["connected"] == 0
        assert reader.health.state == "stopped"


@pytest.mark.parametrize(
    "fault",
    [Fault(path=TOKEN, hang=True), Fault(path=COMETD, hang=True), Fault(path=COMETD, status=503, times=None)],
    ids=["token hangs", "handshake hangs", "between two sessions"],
)
async def test_stopping_is_quick_wherever_the_stream_is(fault: Fault) -> None:
    async with reading() as reader:
        reader.org.control.faults.add(fault)
        slow = SessionTimes(call=30.0, margin=30.0, close=0.3)
        task = asyncio.create_task(reader.read(times=slow, backoff=Backoff(first=30.0)))
        await asyncio.sleep(0.2)
        reader.stopping.set()
        await asyncio.wait_for(task, 5)


async def test_a_server_that_hangs_at_the_good_bye_is_left_after_the_time_for_it() -> None:
    async with reading(session_seconds=0.2) as reader:
        reader.org.control.create(patient())
        task = asyncio.create_task(reader.read())
        await reader.have(1)
        reader.org.control.faults.add(Fault(path=COMETD, contains="/meta/disconnect", hang=True))
        reader.stopping.set()
        await asyncio.wait_for(task, 5)
        await asyncio.sleep(0.3)


async def test_a_cancelled_reader_leaves_no_session_behind() -> None:
    async with reading(poll_seconds=30) as reader:
        reader.org.control.create(patient())
        task = asyncio.create_task(reader.read())
        await reader.have(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_database_that_is_away_is_waited_for() -> None:
    async with reading() as reader:
        ids = [reader.org.control.create(patient())]
        answers: list[Exception | str] = [Outage("the database is away"), Outage("still"), "-2"]

        async def position() -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        await reader.read_all(1, position=position)
        assert reader.records == ids
