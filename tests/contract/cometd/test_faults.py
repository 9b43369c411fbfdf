"""A real CometD server, and trouble between it and us: whatever it is, the events sent are the rows kept.

In order and none twice, with a bounded number of requests. What the database holds is asked, not the listener.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from listener.standin.faults import Fault
from listener.stream import Backoff
from tests.contract.cometd.rig import Listener, Rig, rig, running, settings_of

COMETD, TOKEN, JSON = "/cometd/", "/services/oauth2/token", "application/json"
REFUSED = json.dumps({"error": "invalid_grant", "error_description": "ip restricted"})
HTML = "<html><body>Service unavailable</body></html>"

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def real(tools: Path, tmp_path: Path, migrated_url: str) -> AsyncIterator[Rig]:
    """A rig whose listener does not run yet, once for each kind of database."""
    async with rig(tools, tmp_path, migrated_url) as whole:
        yield whole


@pytest.fixture
async def plain(tools: Path, tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Rig]:
    """The same on SQLite alone, where the database makes no difference."""
    path = tmp_path / "outbox.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    async with rig(tools, tmp_path, f"sqlite:///{path}") as whole:
        yield whole


def poll(**what: Any) -> Fault:
    """A fault of a held poll: the first poll of a session is answered at once, and let pass."""
    return Fault(path=COMETD, contains="/meta/connect", skip=1, **what)


def handshake(**what: Any) -> Fault:
    return Fault(path=COMETD, contains="/meta/handshake", **what)


def subscribe(**what: Any) -> Fault:
    return Fault(path=COMETD, contains="/meta/subscribe", **what)


def canned(**reply: Any) -> dict[str, Any]:
    """An answer instead of the server's own."""
    return {"status": 200, "content_type": JSON, "body": json.dumps([reply])}


SPOILED: dict[str, list[Fault]] = {
    "body cut in the events": [poll(cut_after=300), poll(cut_after=40), poll(cut_after=900)],
    "body cut before its first byte": [poll(cut_after=0)],
    "bad JSON": [poll(status=200, body='[{"channel":"/meta/connect","succ', content_type=JSON, after=True)],
    "HTML with status 200": [poll(status=200, body=HTML, after=True)],
    "503 twenty times": [Fault(path=COMETD, skip=2, times=20, status=503, body=HTML)],
    "401 in HTTP": [poll(status=401)],
    "advice to hammer": [
        poll(
            times=5,
            **canned(
                channel="/meta/connect",
                successful=False,
                error="403::Unknown client",
                advice={"reconnect": "retry", "interval": 0},
            ),
        )
    ],
    "handshake never answered": [poll(status=503), handshake(hang=True)],
    "handshake cut": [poll(status=503), handshake(cut_after=20)],
    "subscription never answered": [poll(status=503), subscribe(hang=True)],
    "subscription cut with all that rides on it": [poll(status=503), subscribe(cut_after=80), subscribe(cut_after=20)],
    "poll never answered": [poll(hang=True)],
    "poll never answered after it was served": [poll(hang=True, after=True)],
}


@pytest.mark.parametrize("faults", SPOILED.values(), ids=SPOILED)
async def test_what_is_spoiled_on_the_way_is_heard_again(plain: Rig, faults: list[Fault]) -> None:
    await plain.publish(5)
    async with running(plain.listener):
        await plain.all_kept()
        for fault in faults:
            plain.proxy.faults.add(replace(fault))
        for _ in range(3):
            await plain.publish(2)
            await asyncio.sleep(0.05)
        await until(lambda: not any(rule.times for rule in plain.proxy.faults.rules))
        await plain.publish(2)
        await plain.all_kept()
    assert plain.proxy.busiest() <= 40
    assert plain.proxy.said("token") <= 2
    assert plain.proxy.said("handshake") >= 1


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not true():
            await asyncio.sleep(0.02)


ADVICE: dict[str, dict[str, Any]] = {
    "an interval": {"interval": 200, "timeout": 300, "reconnect": "retry"},
    "an interval of minutes": {"interval": 10_000_000, "timeout": 300},
    "nothing": {},
    "nonsense": {"interval": "soon", "timeout": None, "reconnect": "retry"},
    "to stay away": {"reconnect": "none", "interval": 0},
    "another handshake": {"reconnect": "handshake", "interval": 0},
}


@pytest.mark.parametrize("advice", ADVICE.values(), ids=ADVICE)
async def test_advice_is_followed_where_it_makes_sense_and_loses_nothing(plain: Rig, advice: dict[str, Any]) -> None:
    """An interval is in milliseconds; it is not waited for so long that the server forgets us."""
    await plain.publish(3)
    async with running(plain.listener):
        await plain.all_kept()
        await plain.server.tell("advise", advice=advice, times=3)
        for _ in range(3):
            await plain.publish(2)
            await asyncio.sleep(0.3)
        if advice.get("interval", 0) == 10_000_000:
            assert plain.proxy.said("connect") <= 4
            return
        await plain.all_kept()
    assert plain.proxy.busiest() <= 40
    assert plain.proxy.said("token") == 1


async def used_up(rig: Rig) -> None:
    """Return when every fault has done what it was for."""
    async with asyncio.timeout(15):
        while any(rule.times for rule in rig.proxy.faults.rules):
            await asyncio.sleep(0.02)


async def test_a_server_that_is_started_again_gives_what_was_committed_while_it_was_away(real: Rig) -> None:
    await real.publish(4)
    async with running(real.listener):
        await real.all_kept()
        await real.publish(1)
        await real.server.stop()
        await asyncio.sleep(0.5)
        await real.server.start()
        await real.publish(3)
        await real.all_kept()
    assert real.proxy.busiest() <= 40
    assert real.proxy.said("token") == 2, "its old tokens are not known to it any more"


async def test_a_client_that_the_server_forgot_opens_a_session_without_a_new_token(real: Rig) -> None:
    async with running(real.listener):
        for _ in range(3):
            await real.publish(2)
            await real.all_kept()
            await real.server.tell("drop_sessions")
        await real.publish(1)
        await real.all_kept()
    assert real.proxy.said("token") == 1
    assert real.listener.health.sessions == 4


async def test_an_expired_token_costs_one_call_however_often_it_expires(plain: Rig) -> None:
    async with running(plain.listener):
        for calls in (1, 2, 3):
            await plain.publish(2)
            await plain.all_kept()
            assert plain.proxy.said("token") == calls
            await plain.server.tell("expire_tokens")
            await until(lambda calls=calls: plain.proxy.said("token") > calls)
        await plain.publish(1)
        await plain.all_kept()
    assert plain.proxy.said("token") == 4


TOKEN_TROUBLE: dict[str, Fault] = {
    "400 three times": Fault(path=TOKEN, times=3, status=400, body=REFUSED, content_type=JSON),
    "HTML 503 three times": Fault(path=TOKEN, times=3, status=503, body=HTML),
    "a black hole": Fault(path=TOKEN, times=1, hang=True),
    "an answer that is cut": Fault(path=TOKEN, times=1, cut_after=20),
}


@pytest.mark.parametrize("trouble", TOKEN_TROUBLE.values(), ids=TOKEN_TROUBLE)
async def test_a_token_endpoint_that_fails_is_waited_for_and_not_stormed(plain: Rig, trouble: Fault) -> None:
    async with running(plain.listener):
        await plain.publish(3)
        await plain.all_kept()
        failures = trouble.times or 0
        plain.proxy.faults.add(replace(trouble))
        await plain.server.tell("expire_tokens")
        await until(lambda: plain.proxy.said("token") > failures)
        await plain.publish(3)
        await plain.all_kept()
    assert plain.proxy.said("token") == 2 + failures
    assert plain.proxy.busiest() <= 40


async def test_a_refused_subscription_is_tried_again_by_a_new_session(plain: Rig) -> None:
    async with running(plain.listener):
        await plain.publish(2)
        await plain.all_kept()
        await plain.server.tell(
            "refuse", channel="/meta/subscribe", times=3, reply={"error": "403::User not allowed, for the moment"}
        )
        await plain.server.tell("drop_sessions")
        await plain.publish(2)
        await plain.all_kept()
    assert plain.proxy.said("subscribe") == 5
    assert plain.proxy.said("token") == 1


async def test_a_used_up_allowance_is_left_alone_and_then_all_is_there(plain: Rig) -> None:
    told = {"error": "403::Maximum number of concurrent clients for the organization exceeded"}
    await plain.server.tell("refuse", channel="/meta/handshake", times=2, reply=told)
    await plain.publish(2)
    async with running(plain.listener, backoff=Backoff(first=0.01, longest=0.01, limit=0.6)):
        await asyncio.sleep(0.4)
        assert plain.proxy.said("handshake") == 1
        await plain.all_kept()
    assert plain.proxy.said("handshake") == 3
    assert plain.proxy.said("token") == 1


async def test_a_forgotten_position_is_a_gap_and_what_is_still_stored_follows(real: Rig) -> None:
    await real.publish(3)
    async with running(real.listener):
        await real.all_kept()
        await real.server.tell("forget")
        await real.server.tell("drop_sessions")
        await real.publish(2)
        await real.all_kept()
    assert real.proxy.said("handshake") == 3
    assert await gaps_of(real) == ["400 on /meta/subscribe: the replay id is no longer known"]


async def gaps_of(rig: Rig) -> list[str]:
    from listener.gaps import list_gaps

    async with rig.listener.db.reading() as tx:
        return [one.reason for one in await list_gaps(tx, only_open=True)]


async def test_an_answer_that_drips_is_given_up_and_asked_for_again(plain: Rig) -> None:
    await plain.publish(2)
    async with running(plain.listener):
        await plain.all_kept()
        plain.proxy.drips = 1
        await plain.publish(3)
        await plain.all_kept()
    assert plain.listener.health.sessions == 2
    assert plain.proxy.busiest() <= 40


async def test_two_channels_with_a_backlog_each_get_their_own(real: Rig) -> None:
    first, other = real.listener, "/data/PatientChangeEvent"
    second = Listener(login=first.login, settings=settings_of(real.proxy.url, other), db=first.db)
    await real.publish(400)
    others = await real.server.publish(500, other)
    async with running(first, second):
        await real.publish(20)
        others += await real.server.publish(20, other)
        await real.all_kept()
        async with asyncio.timeout(10):
            while len(await second.kept()) < len(others):
                await asyncio.sleep(0.05)
    assert await second.kept() == others
    assert real.proxy.said("token") == 1


async def test_a_database_that_is_slow_holds_nothing_up_for_ever(plain: Rig) -> None:
    """While a batch waits for its commit nothing is cancelled, and the server may forget us meanwhile."""
    await plain.publish(3)
    async with running(plain.listener):
        await plain.all_kept()
        async with plain.listener.db.writing():
            await plain.publish(4)
            await asyncio.sleep(1.0)
            await plain.server.tell("drop_sessions")
            await plain.publish(4)
        await plain.all_kept()
