"""`fusion-sync run`."""

from __future__ import annotations

import asyncio


def command() -> None:
    """Listen, work and serve in one process. Ends on SIGTERM or Ctrl-C: what is in hand is finished or given back."""
    from fusion.app import Role, run
    from fusion.settings import load

    asyncio.run(run(load(salesforce=True, portal=True), frozenset({Role.LISTEN, Role.WORK, Role.SERVE})))
