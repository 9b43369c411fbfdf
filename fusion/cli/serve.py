"""`fusion-sync serve`."""

from __future__ import annotations

import asyncio


def command() -> None:
    """Only serve the health page. Ends on SIGTERM or Ctrl-C: what is in hand is finished or given back."""
    from fusion.app import Role, run
    from fusion.settings import load

    asyncio.run(run(load(), frozenset({Role.SERVE})))
