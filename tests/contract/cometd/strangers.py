"""Subscribers that others wrote, in a process each."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

KINDS = ("cometd", "jsforce")


async def received(
    tools: Path,
    kind: str,
    *,
    url: str,
    token: str,
    channel: str,
    replay: str,
    count: int,
    once_subscribed: Callable[[], Awaitable[Any]] | None = None,
) -> dict[str, Any]:
    """What it told after `count` events: `records`, `replayIds` and `seconds`."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(Path(__file__).with_name("receive.cjs")), kind, url, token, channel, replay, str(count)),
        env={**os.environ, "NODE_PATH": str(tools / "cometd" / "node_modules")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(40):
            while line := await process.stdout.readline():
                if line != b"subscribed\n":
                    found: dict[str, Any] = json.loads(line)
                    return found
                if once_subscribed is not None:
                    await once_subscribed()
        raise AssertionError((await process.stderr.read()).decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
