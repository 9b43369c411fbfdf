"""The JSON of an answer, split into messages that are read one at a time. Pure.

A large backlog comes as one answer. Read whole it would take five times its size, and hold up everything else; split,
it is the text itself and a note of where each message begins.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

Piece = msgspec.Raw
"""A message that has not been read."""

_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Head(msgspec.Struct):
    channel: Any = None


_SPLIT = msgspec.json.Decoder(list[msgspec.Raw])
_HEAD = msgspec.json.Decoder(_Head)
_WHOLE = msgspec.json.Decoder()


def pieces(body: bytes | bytearray) -> list[Piece] | None:
    """The messages of an answer in their order; None if it is neither JSON objects in a list nor one of them."""
    try:
        body.isascii() or body.decode()
        return _SPLIT.decode(body)
    except _REFUSED:
        found = _read_loosely(body)
    messages = [found] if isinstance(found, dict) else found
    return [Piece(json.dumps(one).encode()) for one in messages] if isinstance(messages, list) else None


def channel_of(piece: Piece) -> Any:
    """The channel that a message names, whatever that is; None without one. The rest stays unread."""
    try:
        return _HEAD.decode(piece).channel
    except _REFUSED:
        message = read(piece)
    return message.get("channel") if isinstance(message, dict) else None


def read(piece: Piece) -> Any:
    """The message; None if nobody can read it."""
    try:
        return _WHOLE.decode(piece)
    except _REFUSED:
        return _read_loosely(bytes(piece))


def _read_loosely(text: bytes | bytearray) -> Any:
    """What a stricter reader refuses and Python's takes: NaN, a number beyond any, half of a surrogate pair."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
