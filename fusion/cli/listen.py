"""`fusion-sync listen`."""

from __future__ import annotations

import asyncio

from fusion.cli.starting import Start, settings_from


def command(start: Start = None) -> None:
    """Only listen: keep every change of Salesforce in the outbox.

    Ends on SIGTERM or Ctrl-C: what is in hand is finished or given back.
    """
    from fusion.app import Role, run

    asyncio.run(run(settings_from(start, salesforce=True), frozenset({Role.LISTEN})))
