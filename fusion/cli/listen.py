"""`fusion-sync listen`."""

from __future__ import annotations

import asyncio


def command() -> None:
    """Only listen: keep every change of Salesforce in the outbox.

    Ends on SIGTERM or Ctrl-C: what is in hand is finished or given back.
    """
    from fusion.app import Role, run
    from fusion.settings import load

    asyncio.run(run(load(salesforce=True), frozenset({Role.LISTEN})))
