"""The portal's hours, as the state of its gate: what all workers and all listings look at anyway."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import structlog

from fusion.pace import Closed, Hours
from listener import gates
from listener.database import Database
from listener.gates import Lane

log = structlog.get_logger()


class Timetable:
    """The portal's gate by the clock: it rests outside of the hours, whatever is due, and nothing is charged for it."""

    def __init__(self, hours: Hours | None = None) -> None:
        """Without hours it never rests."""
        self._hours = hours or Hours()
        self._told: Closed | Literal["nothing"] | None = "nothing"

    async def keep(self, db: Database, now: datetime) -> None:
        """Let the gate be as the hours say, where that has changed since the last look."""
        closed = self._hours.closed(now)
        if closed == self._told:
            return
        async with db.writing() as tx:
            if closed is not None:
                await gates.rest(tx, Lane.PORTAL, reason=closed.why, wait=closed.until - now)
            elif (await gates.read(tx))[Lane.PORTAL].rests:
                await gates.look_now(tx, Lane.PORTAL)
        if closed is not None:
            log.info("portal rests", why=closed.why)
        self._told = closed
