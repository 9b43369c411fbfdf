"""What the commands share that change something: one transaction, one sentence, and who did it why."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from fusion.cli.tables import as_json
from fusion.settings import load
from listener.database import Database, Tx
from listener.errors import Conflict, EntryError

Entry = Annotated[int, typer.Argument(help="The entry's number, as `fusion-sync outbox` lists it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with your name. No patient's data, please.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object for machines.")]


def act(what: Callable[[Tx, str], Awaitable[str]], *, json: bool) -> None:
    """Do it in one transaction, as the user of this shell, and say what became of it; exit 1 if it may not be."""
    with refusing(json=json):
        said = asyncio.run(_act(what, getpass.getuser()))
    typer.echo(as_json({"ok": True, "said": said}) if json else said)


@contextmanager
def refusing(*, json: bool) -> Iterator[None]:
    """Say in a sentence why the body may not do what it was asked for, with exit code 1."""
    try:
        yield
    except (EntryError, Conflict) as error:
        hint = error.hint or "Nothing was changed."
        typer.echo(as_json({"ok": False, "said": str(error), "hint": hint}) if json else f"{error}.\n  → {hint}")
        raise typer.Exit(1) from None


async def _act(what: Callable[[Tx, str], Awaitable[str]], actor: str) -> str:
    db = Database(load().database.url)
    try:
        await db.check()
        async with db.writing() as tx:
            return await what(tx, actor)
    finally:
        await db.close()
