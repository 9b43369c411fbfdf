"""CometD message by message: sessions, replay, and the error words clients have to understand."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from org_caller import Caller, made_up

from listener.standin import StandInOrg
from listener.standin.metadata.archive import pack

CHANNEL = "/data/FusionSync__chn"
CONTACTS = Path(__file__).parents[3] / "sfdx" / "contact-app"


class Stream:
    """A hand-made Bayeux client: one message out, the answers in."""

    def __init__(self, caller: Caller, version: str = "/66.0") -> None:
        self.caller = caller
        self.url = f"{caller.org.url}/cometd{version}"
        self.client_id: str | None = None
        self.events: list[dict[str, Any]] = []

    async def send(self, channel: str, **more: object) -> dict[str, Any]:
        """The reply to one message; events that rode along are kept."""
        message = {"id": "1", "channel": channel, "clientId": self.client_id, **more}
        headers = {"Authorization": f"Bearer {self.caller.token}"} if self.caller.token else {}
        async with self.caller.http.post(self.url, json=[message], headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            replies = await answer.json()
        self.events += [r for r in replies if "data" in r]
        (reply,) = [r for r in replies if "data" not in r]
        return dict(reply)

    async def shake(self) -> dict[str, Any]:
        reply = await self.send("/meta/handshake", version="1.0", supportedConnectionTypes=["long-polling"])
        self.client_id = reply.get("clientId")
        return reply

    async def subscribe(self, replay: object = None, channel: str = CHANNEL) -> dict[str, Any]:
        ext = {} if replay is None else {"ext": {"replay": {channel: replay}}}
        return await self.send("/meta/subscribe", subscription=channel, **ext)

    async def poll(self) -> dict[str, Any]:
        return await self.send("/meta/connect", connectionType="long-polling")

    async def open(self, replay: object = None, channel: str = CHANNEL) -> "Stream":
        await self.shake()
        await self.poll()
        reply = await self.subscribe(replay, channel)
        assert reply["successful"], reply
        return self

    def taken(self) -> list[dict[str, Any]]:
        """The payloads so far, and forgets them."""
        events, self.events = self.events, []
        return [event["data"] for event in events]


@pytest.fixture
async def stream(worker: Caller) -> Stream:
    return Stream(worker)


def ready(**values: object) -> dict[str, object]:
    return made_up(Ready_for_Fusion__c=True, **values)


async def test_a_handshake_offers_replay_and_long_polling_only(stream: Stream) -> None:
    reply = await stream.shake()
    assert (reply["successful"], reply["supportedConnectionTypes"]) == (True, ["long-polling"])
    assert reply["ext"]["replay"] is True


async def test_the_first_poll_is_answered_at_once_with_advice_and_the_next_is_held(stream: Stream) -> None:
    await stream.shake()
    reply = await stream.poll()
    assert reply["advice"] == {"interval": 0, "timeout": 400, "reconnect": "retry"}
    started = asyncio.get_running_loop().time()
    reply = await stream.poll()
    assert reply["successful"]
    assert asyncio.get_running_loop().time() - started > 0.35


async def test_an_event_ends_the_poll(stream: Stream) -> None:
    await stream.open()
    poll = asyncio.create_task(stream.poll())
    await asyncio.sleep(0.05)
    record_id = stream.caller.org.control.create(ready())
    await asyncio.wait_for(poll, 0.5)
    assert stream.taken()[0]["payload"]["ChangeEventHeader"]["recordIds"] == [record_id]


async def test_replay_starts_behind_the_id_it_is_given(stream: Stream) -> None:
    control = stream.caller.org.control
    for name in "ABC":
        control.create(ready(First_Name__c=name))
    await stream.open(replay=-2)
    await stream.poll()
    first, second, third = [data["event"]["replayId"] for data in stream.taken()]
    assert first < second < third
    assert second - first > 1
    await stream.open(replay=first)
    await stream.poll()
    assert [data["event"]["replayId"] for data in stream.taken()] == [second, third]
    await stream.open(replay=-1)
    await stream.poll()
    assert stream.taken() == []


async def test_an_unknown_or_forgotten_replay_id_is_refused_in_the_known_words(stream: Stream) -> None:
    control = stream.caller.org.control
    control.create(ready())
    await stream.open(replay=-2)
    await stream.poll()
    marker = stream.taken()[0]["event"]["replayId"]
    control.forget_events()
    for asked in (marker, marker + 1, 7):
        reply = await stream.subscribe(replay=asked)
        assert (reply["successful"], reply["error"]) == (
            False,
            f"400::The replayId {{{asked}}} you provided was invalid.  Please provide a valid ID, -2 to replay all "
            "events, or -1 to replay only new events.",
        )


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("/data/Nope__chn", "400::The channel you requested to subscribe to does not exist {/data/Nope__chn}"),
        ("", "400::Channel name not specified"),
        ("data/X", "400::Channel subscriptions must start with a leading '/'"),
    ],
)
async def test_a_wrong_channel_is_refused(stream: Stream, channel: str, error: str) -> None:
    await stream.shake()
    assert (await stream.subscribe(channel=channel))["error"] == error


@pytest.mark.parametrize(
    ("version", "error"),
    [
        ("", "400::API version in the URI is mandatory. URI format: '/cometd/66.0'"),
        ("/36.0", "400::Unsupported API version. Only API versions '37.0' and later are supported."),
    ],
)
async def test_a_wrong_version_is_refused(worker: Caller, version: str, error: str) -> None:
    assert (await Stream(worker, version).shake())["error"].startswith(error)


async def test_other_transports_are_refused(stream: Stream) -> None:
    reply = await stream.send("/meta/handshake", supportedConnectionTypes=["websocket"])
    assert reply["error"] == "400::Invalid connection type websocket"
    await stream.shake()
    reply = await stream.send("/meta/connect", connectionType="callback-polling")
    assert reply["error"] == "400::Invalid connection type callback-polling"


async def test_without_its_cookie_a_client_is_not_served(stream: Stream) -> None:
    await stream.shake()
    stream.caller.http.cookie_jar.clear()
    assert "no BAYEUX_BROWSER cookie present" in (await stream.poll())["error"]


async def test_an_unknown_client_is_told_to_shake_hands(stream: Stream) -> None:
    await stream.open()
    stream.caller.org.control.drop_sessions()
    reply = await stream.poll()
    assert (reply["error"], reply["advice"]) == ("403::Unknown client", {"reconnect": "handshake", "interval": 0})


async def test_a_waiting_poll_hears_of_the_lost_session_at_once(stream: Stream) -> None:
    await stream.open()
    poll = asyncio.create_task(stream.poll())
    await asyncio.sleep(0.05)
    stream.caller.org.control.drop_sessions()
    assert (await asyncio.wait_for(poll, 0.5))["error"] == "403::Unknown client"


async def test_a_client_that_stays_away_is_forgotten_and_a_waiting_one_is_not(private_key: str) -> None:
    async with (
        StandInOrg(poll_seconds=0.6, session_seconds=0.2, private_key=private_key) as org,
        aiohttp.ClientSession() as http,
    ):
        stream = await Stream(await Caller(org, http, org.integration).log_in()).open()
        assert (await stream.poll())["successful"]  # held three times as long as a session may be silent
        await asyncio.sleep(0.3)
        assert (await stream.poll())["error"] == "403::Unknown client"


async def test_a_client_that_hangs_up_is_forgotten_and_its_events_wait(stream: Stream) -> None:
    await stream.open()
    poll = asyncio.create_task(stream.poll())
    await asyncio.sleep(0.05)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await asyncio.sleep(0.05)
    stream.caller.org.control.create(ready())
    assert stream.caller.org.ledger.of("delivery") == []
    await stream.poll()
    assert len(stream.taken()) == 1


async def test_a_second_poll_ends_the_first(stream: Stream) -> None:
    await stream.open()
    first = asyncio.create_task(stream.poll())
    await asyncio.sleep(0.05)
    second = asyncio.create_task(stream.poll())
    assert (await asyncio.wait_for(first, 0.5))["successful"]
    assert not second.done()
    await second


async def test_a_revoked_token_ends_the_stream_and_the_next_handshake(stream: Stream) -> None:
    await stream.open()
    poll = asyncio.create_task(stream.poll())
    await asyncio.sleep(0.05)
    stream.caller.org.control.expire_tokens()
    reply = await asyncio.wait_for(poll, 0.5)
    assert (reply["error"], reply["advice"]) == ("401::Authentication invalid", {"reconnect": "none", "interval": 0})
    reply = await stream.shake()
    assert (reply["error"], reply["advice"]["reconnect"]) == ("403::Handshake denied", "none")
    assert reply["ext"]["sfdc"]["failureReason"] == "401::Authentication invalid"
    stream.caller.token = ""
    assert (await stream.shake())["error"] == "401::Request requires authentication"


async def test_a_disconnected_client_is_gone(stream: Stream) -> None:
    await stream.open()
    assert (await stream.send("/meta/disconnect"))["successful"]
    assert (await stream.poll())["error"] == "403::Unknown client"


async def test_after_unsubscribe_nothing_arrives(stream: Stream) -> None:
    await stream.open()
    assert (await stream.send("/meta/unsubscribe", subscription=CHANNEL))["successful"]
    stream.caller.org.control.create(ready())
    await stream.poll()
    assert stream.taken() == []


async def test_allowances_are_enforced(stream: Stream) -> None:
    allowance = stream.caller.org.control.allowance
    allowance.clients_max = 0
    assert (await stream.shake())["error"] == "403::Organization concurrent user limit exceeded"
    allowance.clients_max = 1
    allowance.events_max = 0
    await stream.open()
    stream.caller.org.control.create(ready())
    assert (await stream.poll())["error"] == "403::Organization total events daily limit exceeded"
    allowance.events_max = 10
    await stream.poll()
    assert (len(stream.taken()), allowance.events_used) == (1, 1)


async def test_a_post_over_32_kb_is_too_large(worker: Caller) -> None:
    headers = {"Authorization": f"Bearer {worker.token}"}
    async with worker.http.post(f"{worker.org.url}/cometd/66.0", data="x" * 32_769, headers=headers) as answer:
        assert answer.status == 413


async def test_several_messages_of_one_batch_are_answered_in_order(stream: Stream) -> None:
    await stream.shake()
    messages = [
        {"id": "1", "channel": "/meta/subscribe", "clientId": stream.client_id, "subscription": CHANNEL},
        {"id": "2", "channel": "/meta/connect", "clientId": stream.client_id, "connectionType": "long-polling"},
    ]
    headers = {"Authorization": f"OAuth {stream.caller.token}"}
    async with stream.caller.http.post(stream.url + "/connect", json=messages, headers=headers) as answer:
        assert [(r["id"], r["successful"]) for r in await answer.json()] == [("1", True), ("2", True)]


async def test_a_user_without_view_all_hears_nothing(front_desk: Caller) -> None:
    stream = await Stream(front_desk).open()
    front_desk.org.control.create(ready())
    await stream.poll()
    assert stream.taken() == []


async def test_contacts_that_everybody_sees_are_not_heard_of_without_view_all(
    front_desk: Caller, admin: Caller
) -> None:
    org = front_desk.org
    assert org.control.deploy(pack(CONTACTS, "force-app"))["success"]
    org.control.assign("intake", "Fusion_Sync_Admin")  # of Contacts it gives the rights that most have, and no View All
    streams = [await Stream(who).open(channel="/data/ContactChangeEvent") for who in (front_desk, admin)]
    made = {"FirstName": "Ada", "LastName": "Sample", "Birthdate": "2019-05-01", "Ready_for_Fusion__c": True}
    record_id = org.control.create(made, object_name="Contact", by="admin")
    assert [one["Id"] for one in await front_desk.query("SELECT Id FROM Contact")] == [record_id]
    await asyncio.gather(*(stream.poll() for stream in streams))
    assert [len(stream.taken()) for stream in streams] == [0, 1]


async def test_a_stalled_stream_polls_and_hears_nothing_until_the_stall_ends(stream: Stream) -> None:
    control = stream.caller.org.control
    await stream.open()
    control.stall()
    control.create(ready())
    assert (await stream.poll())["successful"]
    assert stream.taken() == []
    control.stall(False)
    await stream.poll()
    assert len(stream.taken()) == 1


async def test_a_connected_stream_outlives_its_token_but_a_new_handshake_does_not(private_key: str) -> None:
    now = [datetime.now(UTC)]
    async with (
        StandInOrg(poll_seconds=0.1, private_key=private_key, clock=lambda: now[0]) as org,
        aiohttp.ClientSession() as http,
    ):
        stream = await Stream(await Caller(org, http, org.integration).log_in()).open()
        now[0] += timedelta(hours=3)
        assert (await stream.poll())["successful"]
        assert (await stream.caller.call("GET", "limits"))[0] == 401
        assert (await stream.shake())["error"] == "403::Handshake denied"
