"""`fusion-sync relink`."""

from __future__ import annotations

import asyncio
import getpass
from typing import Annotated

import typer

from fusion.cli.acting import Entry, Json, Reason, refusing
from fusion.cli.tables import as_json
from fusion.settings import load


def command(
    entry: Entry,
    reason: Reason,
    chart: Annotated[str, typer.Option(help="The patient's chart is the one with this portal id.")],
    json: Json = False,
) -> None:
    """Put a record on another chart, where the one that it is linked to is gone or is another child's.

    The id in Salesforce goes with it. Nothing is typed in the portal unless the chart shows the record's name and birth
    date.
    """
    with refusing(json=json):
        said = asyncio.run(_relink(entry, chart, reason))
    typer.echo(as_json({"ok": True, "said": said}) if json else said)


async def _relink(entry: int, chart: str, reason: str) -> str:
    from fusion.reading import salesforce_of
    from fusion.relinking import relink

    async with salesforce_of(load(salesforce=True, portal=True)) as there:
        return await relink(
            entry, chart, db=there.db, org=there.org, mapping=there.mapping, actor=getpass.getuser(), reason=reason
        )
