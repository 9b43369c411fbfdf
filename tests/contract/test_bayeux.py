"""The private parts of the streaming libraries that are overridden: a new version that lacks one must say so here."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from aiocometd_ng import Client as BaseClient
from aiocometd_ng.constants import TransportState
from aiocometd_ng.transports.base import TransportBase
from aiocometd_ng.transports.long_polling import LongPollingTransport
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.client import Client
from aiosfstream_ng.replay import ReplayMarkerStorage
from hypothesis import given
from hypothesis import strategies as st

from listener import wire
from listener.bayeux import SessionTimes, StrictClient, StrictTransport
from listener.endings import Why, ending

OVERRIDDEN = [
    (LongPollingTransport, "_send_payload_with_auth", ["self", "payload"]),
    (LongPollingTransport, "_send_final_payload", ["self", "payload", "headers"]),
    (LongPollingTransport, "_connect_done", ["self", "future"]),
    (LongPollingTransport, "disconnect", ["self"]),
    (Client, "_get_http_session", ["self"]),
    (Client, "_negotiate_transport", ["self"]),
    (Client, "get_cometd_url", ["instance_url"]),
    (AuthenticatorBase, "_authenticate", ["self"]),
    (ReplayMarkerStorage, "insert_replay_id", ["self", "message"]),
    (ReplayMarkerStorage, "get_replay_marker", ["self", "subscription"]),
    (ReplayMarkerStorage, "set_replay_marker", ["self", "subscription", "replay_marker"]),
]
CALLED = [
    (TransportBase, "_send_payload", ["self", "payload"]),
    (TransportBase, "_send_message", ["self", "message", "kwargs"]),
    (TransportBase, "_connect", ["self"]),
    (TransportBase, "_start_connect_task", ["self", "coro"]),
    (TransportBase, "_stop_connect_task", ["self"]),
]


def test_the_versions_are_those_that_were_read_line_by_line() -> None:
    assert (version("aiosfstream-ng"), version("aiocometd-ng")) == ("0.7.5", "0.5.6"), (
        "another version: read its transports/base.py and client.py before the pins and this test are changed"
    )


@pytest.mark.parametrize(("where", "name", "takes"), OVERRIDDEN + CALLED)
def test_a_private_method_is_there_and_takes_what_it_did(where: type, name: str, takes: list[str]) -> None:
    method: Callable[..., Any] | None = getattr(where, name, None)
    assert method is not None, f"{where.__name__}.{name} is gone: listener/bayeux.py relies on it"
    assert list(inspect.signature(method).parameters) == takes, f"{where.__name__}.{name} takes something else now"


async def test_attributes_that_are_set_are_still_those_that_the_library_reads() -> None:
    transport = LongPollingTransport(url="", incoming_queue=asyncio.Queue(), http_session=None)
    for name in ("_http_session", "_url", "_reconnect_advice", "_state", "_client_id"):
        assert hasattr(transport, name), f"the transport has no {name} any more"
    source = inspect.getsource(BaseClient)
    for name in ("_incoming_queue", "_transport", "_closed", "_http_session", "_connection_types"):
        assert f"self.{name}" in source, f"the client has no {name} any more"
    for state in ("CONNECTED", "DISCONNECTED", "DISCONNECTING", "SERVER_DISCONNECTED"):
        assert hasattr(TransportState, state)


async def test_nothing_subscribes_on_its_own_since_no_subscription_is_noted() -> None:
    """The library's `_connect` adds subscriptions that it knows of, without their replay id."""
    transport = strict()
    asked = {"channel": ChannelName("/meta/subscribe"), "id": "1"}
    answer = {"channel": "/meta/subscribe", "id": "1", "successful": True, "subscription": "/data/X"}
    assert transport.take(came(answer), asked) == answer
    assert transport.subscriptions == set()
    assert "self.subscriptions" in inspect.getsource(TransportBase._connect)


def test_the_registry_of_the_process_is_left_as_it_was() -> None:
    from aiocometd_ng.transports.registry import TRANSPORT_CLASSES

    assert StrictTransport not in TRANSPORT_CLASSES.values()
    assert issubclass(StrictClient, Client)


class ChannelName(str):
    """Stands for the library's enum, which is text with a `value`."""

    @property
    def value(self) -> str:
        return str(self)


def came(*messages: Any) -> list[wire.Piece]:
    """The messages as an answer has them."""
    found = wire.pieces(json.dumps(messages).encode())
    assert found is not None
    return found


def strict() -> StrictTransport:
    return StrictTransport(
        url="http://localhost/cometd/66.0",
        incoming_queue=asyncio.Queue(),
        http_session=None,
        times=SessionTimes(),
        heard=lambda: None,
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
odd_messages = json_values | st.fixed_dictionaries(
    {"channel": st.sampled_from(["/meta/connect", "/meta/x", "/data/X", "", 7, None])},
    optional={"id": json_values, "successful": json_values, "advice": json_values, "error": json_values},
)


@given(st.lists(odd_messages, max_size=6))
async def test_whatever_a_server_sends_the_next_good_event_is_kept(junk: list[Any]) -> None:
    transport = strict()
    good = {"channel": "/data/X", "data": {"event": {"replayId": 1}}}
    asked = {"channel": ChannelName("/meta/connect"), "id": "5"}
    transport.take(came(*junk, good), asked)
    kept = [wire.read(one) for one in transport.waiting]
    assert kept[-1] == good
    assert 0 <= transport.interval_seconds <= 30
    assert 0 < transport.poll_seconds <= 300


@given(odd_messages.filter(lambda message: isinstance(message, dict)))
def test_whatever_a_refusal_looks_like_it_ends_the_session_in_words_of_ours(answer: dict[str, Any]) -> None:
    assert isinstance(ending(answer).why, Why)


HANDSHAKE, CONNECT, SUBSCRIBE = "/meta/handshake", "/meta/connect", "/meta/subscribe"
REPLAY = "400::The replayId {77} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1"


@pytest.mark.parametrize(
    ("channel", "error", "why"),
    [
        (CONNECT, "401::Authentication invalid", Why.UNAUTHORIZED),
        (CONNECT, "401::Request requires authentication", Why.UNAUTHORIZED),
        (HANDSHAKE, "403::Handshake denied", Why.UNAUTHORIZED),
        (CONNECT, "403::Unknown client", Why.LOST),
        (HANDSHAKE, "403::Organization concurrent user limit exceeded", Why.LIMIT),
        (CONNECT, "403::Organization total events daily limit exceeded", Why.LIMIT),
        (SUBSCRIBE, "403::Organization total events daily limit exceeded", Why.LIMIT),
        (HANDSHAKE, "403::Maximum number of clients for the organization exceeded", Why.LIMIT),
        (CONNECT, "503::Event delivery allocation of the organization was exceeded", Why.LIMIT),
        (CONNECT, "503::Server is too busy", Why.LOST),
        (SUBSCRIBE, REPLAY, Why.POSITION),
        (SUBSCRIBE, "400::The channel you requested to subscribe to does not exist {/data/X}", Why.SETUP),
        (HANDSHAKE, "400::Unsupported API version. Only API versions '37.0' and later", Why.SETUP),
        (SUBSCRIBE, "403::Access denied", Why.LOST),
        (CONNECT, "", Why.LOST),
    ],
)
def test_each_documented_error_asks_for_its_own_next_step(channel: str, error: str, why: Why) -> None:
    assert ending({"channel": channel, "error": error, "successful": False}).why is why


def test_a_handshake_that_was_denied_for_a_limit_is_no_matter_of_the_token() -> None:
    denied = {"channel": HANDSHAKE, "error": "403::Handshake denied", "ext": {"sfdc": {}}}
    denied["ext"] = {"sfdc": {"failureReason": "403::Organization concurrent user limit exceeded"}}
    assert ending(denied).why is Why.LIMIT


def test_the_client_id_of_a_session_is_not_quoted() -> None:
    error = "400::Client 1xyzCANARY has established a session, but no BAYEUX_BROWSER cookie present"
    assert "CANARY" not in str(ending({"channel": SUBSCRIBE, "error": error}))
