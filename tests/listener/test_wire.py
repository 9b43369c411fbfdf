"""Answers of a server, split and read: as Python's own reader would, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener import wire

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(values, max_size=6), st.booleans())
def test_what_comes_out_is_what_went_in(messages: list[Any], plain: bool) -> None:
    body = json.dumps(messages, ensure_ascii=plain).encode("utf-8", "replace")
    found = wire.pieces(body)
    assert found is not None
    assert json.dumps([wire.read(one) for one in found]) == json.dumps(json.loads(body))
    for piece, message in zip(found, json.loads(body), strict=True):
        named = message.get("channel") if isinstance(message, dict) else None
        assert json.dumps(wire.channel_of(piece)) == json.dumps(named)


@given(st.binary(max_size=60))
def test_no_bytes_are_an_exception(body: bytes) -> None:
    for piece in wire.pieces(body) or ():
        wire.read(piece)
        wire.channel_of(piece)


@pytest.mark.parametrize(
    "body", [b"", b"7", b'"text"', b"null", b"[1", b'[{"a":"\xff"}]', b"[" * 5000, b"<html></html>", b"[1]x"]
)
def test_what_is_no_list_of_messages_is_told_apart(body: bytes) -> None:
    assert wire.pieces(body) is None


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b'{"channel": "/meta/connect"}', [{"channel": "/meta/connect"}]),
        (b"\xef\xbb\xbf[7]", [7]),
        (b'[{"name": "\\ud800"}, 8]', [{"name": "\ud800"}, 8]),
        (b'[{"channel": "/x", "n": 1e999}]', [{"channel": "/x", "n": float("inf")}]),
        (b"[[], {}]", [[], {}]),
    ],
)
def test_what_only_a_lenient_reader_takes_is_taken(body: bytes, messages: list[Any]) -> None:
    found = wire.pieces(body)
    assert found is not None
    assert [wire.read(one) for one in found] == messages
