"""What all handlers under /api/ share: what lies between browser and clinic, who calls, and how bodies are read."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from fusion.standin.ledger import Caller
from fusion.standin.look import Look
from fusion.standin.session import Session


class BadRequest(Exception):
    """The request is not of the form the page sends; the message says what was expected."""


@dataclass(slots=True, kw_only=True)
class Wire:
    """What the control endpoint changes about the way; and what passed over it. `assets`: files by their path."""

    latency: timedelta = timedelta(0)
    look: Look = field(default_factory=Look)
    refuse_stale: bool = False
    saved_filter: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    assets: Counter[str] = field(default_factory=Counter)


CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)


def problem(status: int, code: str, **more: object) -> web.Response:
    """An answer other than success: a code the page turns into its words."""
    return web.json_response({"code": code, **more}, status=status)


def by(session: Session, caller: Caller) -> Caller:
    """The same request, with its user."""
    return Caller(user=session.account.email, session=session.number, began=caller.began)


async def body_of(request: web.Request) -> dict[str, object]:
    """The body as an object; BadRequest if it is none."""
    try:
        body = await request.json()
    except ValueError:
        raise BadRequest("JSON was expected") from None
    if not isinstance(body, dict):
        raise BadRequest("an object was expected")
    return body


def text_of(body: dict[str, object], key: str) -> str:
    """A text of the body; BadRequest if it is none."""
    value = body.get(key)
    if not isinstance(value, str):
        raise BadRequest(f"{key} must be a text")
    return value
