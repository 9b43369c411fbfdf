"""A process that sweeps once and kills itself at a commit: `python -m tests.listener.sweeping ORDERS` (JSON)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from listener.change import Ours
from listener.database import Database, Tx
from listener.listen import Intake
from listener.login import Login
from listener.org import SalesforceOrg
from listener.settings import SalesforceSettings
from listener.sweep import Swept, sweep

OBJECT, READY = "Patient__c", "Ready_for_Fusion__c = true"


class Mortal(Database):
    """A database whose process dies at the n-th commit: right before it, or right after."""

    commits_left = 0
    before = False

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        self.commits_left -= 1
        async with super().writing() as tx:
            yield tx
            if self.before and self.commits_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if not self.before and self.commits_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def swept(url: str, salesforce: SalesforceSettings, *, die_at: int = 0, before: bool = False) -> Swept:
    """One sweep, to its end if it comes to one."""
    db, login = Mortal(url), Login(salesforce)
    db.commits_left, db.before = die_at, before
    org = SalesforceOrg(login, api_version="66.0")
    intake = Intake(
        db=db,
        ours=Ours(user_id=None, client="fusion-sync", fields=frozenset()),
        watched=frozenset({OBJECT}),
        settle=timedelta(0),
        wake=lambda: None,
    )
    try:
        return await sweep(org, intake, object_name=OBJECT, channel=salesforce.channel, where=READY)
    finally:
        await org.close()
        await login.close()
        await db.close()


if __name__ == "__main__":
    orders = json.loads(sys.argv[1])
    asyncio.run(
        swept(
            orders["url"],
            SalesforceSettings(**orders["salesforce"]),
            die_at=orders["die_at"],
            before=orders["before"],
        )
    )
