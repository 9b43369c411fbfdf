"""Bringing the next token of a person's log-in: asked for by one process, used by all of them.

Salesforce refuses two renewals with one refresh token at a time, and a rotated one that comes again ends the whole
log-in; so whoever is not first waits for what the first one keeps.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from listener.errors import Outage, SetupError
from listener.settings import SalesforceSettings
from listener.token_endpoint import Token, TokenEndpoint, client_in, refusal, token_in
from listener.tokens import Grant, Held, KeptLogin

_TURN = timedelta(seconds=60)
"""How long a process that renews keeps the others from it: longer than its call and its commit may take."""
_LOOKS, _LOOK = 150, 0.2
"""How many times, and how often in seconds, we look whether the other process has renewed."""
_INSIST = 5
"""How many times in a row a new grant is tried to be kept, in 2 seconds."""


class Renewal:
    """The tokens of one kept log-in, for one process."""

    def __init__(self, kept: KeptLogin, endpoint: TokenEndpoint, settings: SalesforceSettings) -> None:
        """`endpoint` is that of `settings`."""
        self._kept = kept
        self._endpoint = endpoint
        self._settings = settings
        self._owed: tuple[Held, Grant] | None = None
        self._asking: asyncio.Task[bool] | None = None

    async def token(self, *, refused: Token | None) -> Token:
        """The kept token, or where that is the refused one, the next. One caller at a time.

        Raises `LoginEnded` where only a person can go on, `Outage`, and `SetupError`.
        """
        for _ in range(_LOOKS):
            if self._asking is None:
                held = await self._kept.held()
                if held.grant.token != refused and self._owed is None:
                    return held.grant.token
                self._asking = asyncio.create_task(self._in_turn(held), name="renew token")
            # Not cut off with its caller: the answer may hold the only refresh token that is still good.
            asking = self._asking
            try:
                ours = await asyncio.shield(asking)
            finally:
                if asking.done():
                    self._asking = None
            if not ours:
                await asyncio.sleep(_LOOK)
        raise Outage("another process asks Salesforce for a new token and has not come to an end yet")

    async def close(self) -> None:
        """Lets what was asked of Salesforce come to its end."""
        if self._asking is not None:
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _in_turn(self, held: Held) -> bool:
        """Whether it was on us to renew, and is done."""
        if self._owed is not None:
            await self._pay()
            return True
        if not await self._kept.turn(held, lease=_TURN):
            return False
        await self._renew(held)
        return True

    async def _renew(self, held: Held) -> None:
        """Ask once. What comes is kept, what is over is put down; of anything else the others may try again."""
        refresh_token = held.grant.refresh_token
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token} | client_in(self._settings)
        try:
            status, answer = await self._endpoint.ask(form)
            if status == 200:
                rotated = str(answer.get("refresh_token") or refresh_token)
                self._owed = held, Grant(token=token_in(answer), refresh_token=rotated)
        except (Outage, SetupError):
            await self._kept.not_renewed(held, answered=False)
            raise
        if status == 200:
            # Nobody gets it before it is kept: to use it and then to lose it would end the log-in.
            await self._pay()
            return
        error, description = str(answer.get("error")), str(answer.get("error_description", ""))
        if error == "invalid_grant" and "token" in description.lower():
            await self._kept.end(held, _why_it_ended(held))
            return
        await self._kept.not_renewed(held, answered=True)
        raise refusal(error, description)

    async def _pay(self) -> None:
        """Keep the grant that is not kept yet. It stays with us while the database does not answer."""
        assert self._owed is not None  # noqa: S101 - who calls has seen it
        for attempt in range(_INSIST):
            try:
                # Not so if a person has logged in meanwhile: then theirs is the one that counts.
                await self._kept.renewed(*self._owed)
            except Outage:
                if attempt + 1 == _INSIST:
                    raise
                await asyncio.sleep(0.13 * 2**attempt)
            else:
                self._owed = None
                return


def _why_it_ended(held: Held) -> str:
    if held.unsure_since is None:
        return "Salesforce has ended the log-in that is kept: it was revoked, or not used for too long"
    return (
        "Salesforce has ended the log-in that is kept: a renewal of "
        f"{held.unsure_since:%Y-%m-%d %H:%M} UTC was cut off before its answer was kept, "
        "and that answer held the only refresh token that was still good"
    )
