"""Reads the org's limits: from the header of each answer, and from the limits resource every quarter of an hour."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from listener import allowance, gates
from listener.allowance import Limit
from listener.database import Database
from listener.gates import Lane
from listener.org import SalesforceOrg

log = structlog.get_logger()


class Meter:
    """One process's look at the limits, kept where all processes see it."""

    def __init__(
        self,
        db: Database,
        org: SalesforceOrg,
        *,
        ask_every: timedelta | None = timedelta(minutes=15),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask_every`: how often a call is spent on it, for what no header says; None: never."""
        self._db = db
        self._org = org
        self._ask_every = ask_every.total_seconds() if ask_every else None
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._seen: tuple[int, int] | None = None
        self._tight: frozenset[Limit] = frozenset()

    async def read(self) -> None:
        """Keep what is new, and log once what has become tight, or is no more. Raises `Outage`."""
        told = {}
        if await self._is_time():
            self._asked_at = self._monotonic()
            limits = await self._org.limits()
            told = {limit: limits[limit] for limit in Limit if limit in limits}
        usage = self._org.usage
        if usage is not None and usage != self._seen:
            told[Limit.CALLS] = self._seen = usage
        if told:
            async with self._db.writing() as tx:
                await allowance.put(tx, told)
        await self._tell()

    async def _is_time(self) -> bool:
        """Not while Salesforce's gate is shut: at the limit this call would be refused like any other."""
        if self._ask_every is None:
            return False
        if self._asked_at is not None and self._monotonic() - self._asked_at < self._ask_every:
            return False
        async with self._db.reading() as tx:
            return (await gates.read(tx))[Lane.SALESFORCE].is_open

    async def _tell(self) -> None:
        async with self._db.reading() as tx:
            usages = await allowance.read(tx)
        tight = frozenset(limit for limit, usage in usages.items() if usage.is_tight)
        for limit in sorted(tight - self._tight):
            one = usages[limit]
            log.warning("limit is nearly used up", kind=limit, used=one.used, limit=one.allowed, hint=one.move)
        for limit in sorted(self._tight - tight):
            log.info("limit is no longer tight", kind=limit)
        self._tight = tight
