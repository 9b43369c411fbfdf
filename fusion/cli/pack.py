"""`fusion-sync pack`: is the description of a portal whole and without a mistake?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from fusion.cli.acting import Json
from fusion.cli.tables import as_json, show, table
from fusion.settings import listed

app = typer.Typer(no_args_is_help=True, help="The description of a portal: check it.")


@app.callback()
def group() -> None:
    """The description of a portal: check it."""


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="A pack's name or folder; else FUSION_SYNC_PACK's.")] = None,
    json: Json = False,
) -> None:
    """Check a pack without a portal: every mistake with its line and what mends it. Exits with 1 if there is one.

    Whether the portal is as the pack says is another question.
    """
    from fusion.pages.pack_file import load_pack, mistakes_in, pack_path

    chosen = name or next(one.value or "" for one in listed() if one.name == "FUSION_SYNC_PACK")
    mistakes = mistakes_in(chosen)
    if json:
        typer.echo(
            as_json({"ok": not mistakes, "file": str(pack_path(chosen)), "mistakes": list(map(asdict, mistakes))})
        )
    elif mistakes:
        typer.echo(str(pack_path(chosen)))
        rows = [(one.line, one.key, one.what, one.mend) for one in mistakes]
        show(table("Mistakes", ("line", "key", "what is wrong", "how to mend it"), rows))
    else:
        pack = load_pack(chosen)
        fields = sum(len(form.fields) for form in pack.sections.values())
        typer.echo(f"{pack_path(chosen)} is whole: {pack.name}, {len(pack.sections)} sections, {fields} fields.")
    if mistakes:
        raise typer.Exit(1)
