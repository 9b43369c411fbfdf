"""Why a stream session is over, read from what the server said last: pure.

Sources: Streaming API guide, "Streaming API Error Codes" and "Handling Streaming API Errors".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

_HANDSHAKE, _SUBSCRIBE = "/meta/handshake", "/meta/subscribe"

# "Organization total events daily limit exceeded", "Maximum number of ... exceeded" ("Streaming API Error Codes")
_USED_UP = re.compile(r"\b(limit|maximum|allocation|allowance)\b.*\bexceeded\b", re.IGNORECASE | re.DOTALL)


class Why(StrEnum):
    """What the end of a session asks of who opens the next."""

    LOST = "lost"
    """The wire failed, or the server forgot us: open another."""
    UNAUTHORIZED = "unauthorized"
    """The token was refused: get another, then open."""
    LIMIT = "limit"
    """The org's allowance of events or clients is used up: stay away for minutes."""
    POSITION = "position"
    """The org no longer knows the replay id."""
    SETUP = "setup"
    """Channel, version or kind of connection is wrong: no other session will do better."""


class SessionOver(Exception):
    """The session ended. The text is for the log: it quotes no message of the channel, no token and no client id."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


def ending(answer: Mapping[str, Any]) -> SessionOver:
    """Why a session is over, after an answer that was not `successful`."""
    channel, error = str(answer.get("channel")), str(answer.get("error", ""))
    sfdc = answer.get("ext", {}).get("sfdc", {}) if isinstance(answer.get("ext"), Mapping) else {}
    reason = str(sfdc.get("failureReason", "")) if isinstance(sfdc, Mapping) else ""
    code = error[:3] if re.match(r"\d{3}\b", error) else "no code"
    text = f"{code} on {channel}"
    if _USED_UP.search(error) or _USED_UP.search(reason):
        return SessionOver(Why.LIMIT, f"{text}: an allowance of the org is used up")
    if code == "401" or reason.startswith("401") or (code == "403" and channel == _HANDSHAKE):
        return SessionOver(Why.UNAUTHORIZED, f"{text}: the token was refused")
    if code == "400" and channel == _SUBSCRIBE and "replayid" in error.lower():
        return SessionOver(Why.POSITION, f"{text}: the replay id is no longer known")
    if code == "400" and channel in (_SUBSCRIBE, _HANDSHAKE):
        words = re.sub(r"[^\w /.:{}',-]|(?<=Client )\w+", " ", error)[:160]
        return SessionOver(Why.SETUP, f"{text}: {words}")
    return SessionOver(Why.LOST, text + (": the session is no longer known" if "Unknown client" in error else ""))


def http_ending(status: int, messages: Iterable[Any]) -> SessionOver:
    """Refusals mostly come with status 200; with another one the body may still say why."""
    for message in messages:
        if isinstance(message, dict) and isinstance(message.get("error"), str):
            return ending(message)
    why = {401: Why.UNAUTHORIZED, 429: Why.LIMIT}.get(status, Why.LOST)
    return SessionOver(why, f"HTTP {status}")
