"""`fusion-sync sandbox`: both stand-ins, to try things on."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from fusion.cli.tables import as_json, show, table


def command(
    json: Annotated[bool, typer.Option("--json", help="One line of JSON when both are ready.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Folder for the two ledgers; else a temporary one.")] = None,
    org_port: Annotated[int, typer.Option(help="Port of the stand-in org; 0: a free one.")] = 0,
    portal_port: Annotated[int, typer.Option(help="Port of the stand-in portal; 0: a free one.")] = 0,
    latency: Annotated[float, typer.Option(help="Milliseconds that every answer of either takes longer.")] = 0,
) -> None:
    """Start a stand-in org and a stand-in portal on 127.0.0.1 until Ctrl-C or SIGTERM. Made-up people only."""
    with tempfile.TemporaryDirectory(prefix="fusion-sandbox-") as folder:
        asyncio.run(_serve(Path(folder), ledger, org_port, portal_port, latency, json=json))


async def _serve(folder: Path, ledger: Path | None, org_port: int, portal_port: int, ms: float, *, json: bool) -> None:
    from fusion.standin.sandbox import sandbox

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with sandbox(folder, ledgers=ledger, org_port=org_port, portal_port=portal_port, latency_ms=ms) as box:
        if json:
            typer.echo(as_json(box.described()))
        else:
            lines = [(name, f"{name}={value}") for name, value in box.environment().items()]
            show(
                table("Settings for .env", ("",), [(line,) for _, line in lines]),
                f"org {box.org.url}   portal {box.portal.url}   ledgers {box.ledgers}",
                "Ctrl-C ends both.",
            )
        await stopping.wait()
