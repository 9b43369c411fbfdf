"""`fusion-sync run`."""

from __future__ import annotations

import asyncio

from fusion.cli.starting import Start, settings_from


def command(start: Start = None) -> None:
    """Listen, work and serve in one process. Ends on SIGTERM or Ctrl-C: what is in hand is finished or given back."""
    from fusion.app import Role, run

    asyncio.run(
        run(settings_from(start, salesforce=True, portal=True), frozenset({Role.LISTEN, Role.WORK, Role.SERVE}))
    )
