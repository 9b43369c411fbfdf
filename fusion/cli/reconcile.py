"""`fusion-sync reconcile`: compare all ready records with all charts now."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from fusion.cli.acting import Json
from fusion.cli.lookout import lookout
from fusion.cli.tables import as_json
from listener.reconcile import Compared, reconcile


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; nothing is written.")] = False,
    json: Json = False,
) -> None:
    """Compare every ready record with every linked chart, and enqueue what nobody has looked at.

    A listener does so by itself once a night. No chart is touched by the comparison.
    """
    done = asyncio.run(_reconcile(dry_run=dry_run))
    if json:
        typer.echo(as_json({"dry_run": dry_run, "enqueued": done.enqueued, **asdict(done)}))
        return
    verb = "would be enqueued" if dry_run else "enqueued"
    typer.echo(f"{done.ready} records are ready, {done.linked} are linked to a chart.")
    typer.echo(f"{done.never_worked} are ready and were never worked: {verb}.")
    typer.echo(f"{done.hidden} changed in a way that nobody told us: {verb}.")
    typer.echo(f"{done.gone} linked ones are gone from Salesforce: {verb}, to be parked for a person.")
    typer.echo(f"{done.not_ready} linked ones are no longer marked as ready; their charts stay as they are.")
    if done.before_start:
        typer.echo(f"{done.before_start} were last changed before the first start, which was `now`: not ours.")


async def _reconcile(*, dry_run: bool) -> Compared:
    async with lookout() as here:
        return await reconcile(
            here.org,
            here.intake,
            object_name=here.object_name,
            channel=here.channel,
            where=here.ready,
            only_count=dry_run,
        )
