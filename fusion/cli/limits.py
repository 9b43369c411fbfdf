"""`fusion-sync limits`: how much of what Salesforce grants in 24 hours is used."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fusion.admission import login_of
from fusion.cli.acting import Json
from fusion.cli.tables import as_json, show, table
from fusion.settings import load
from listener import allowance
from listener.allowance import Usage
from listener.database import Database
from listener.meter import Meter
from listener.org import SalesforceOrg


def command(
    now: Annotated[bool, typer.Option("--now", help="Ask Salesforce, which costs one call.")] = False,
    json: Json = False,
) -> None:
    """Show the limits of the org as a process heard of them last, and the events that the stream brought us.

    From 80 % of the API calls on, backfills and the nightly comparison wait, and of three sweeps one is made.
    """
    usages, events = asyncio.run(_read(now=now))
    if json:
        typer.echo(as_json({"limits": [described(one) for one in usages], "events_counted": events}))
        return
    rows: list[tuple[object, ...]] = [
        (one.limit, f"{one.used:,}", f"{one.allowed:,}", f"{one.share:.0%}", one.told_at, one.move * one.is_tight)
        for one in usages
    ]
    if not rows:
        typer.echo("No process has heard of the limits in the last two hours: `fusion-sync limits --now` asks.")
    else:
        show(table("Limits", ("limit", "used", "allowed", "share", "told (UTC)", "meaning"), rows))
    typer.echo(f"Events that the stream brought us in the last 24 hours: {events:,}.")


def described(usage: Usage) -> dict[str, Any]:
    """For machines."""
    return asdict(usage) | {"share": round(usage.share, 4), "tight": usage.is_tight}


async def _read(*, now: bool) -> tuple[list[Usage], int]:
    settings = load(salesforce=now)
    db = Database(settings.database.url)
    try:
        await db.check()
        if now:
            login = login_of(settings, db)
            org = SalesforceOrg(login, api_version=settings.salesforce.api_version)
            try:
                await Meter(db, org).read()
            finally:
                await org.close()
                await login.close()
        async with db.reading() as tx:
            return list((await allowance.read(tx)).values()), await allowance.counted(tx)
    finally:
        await db.close()
