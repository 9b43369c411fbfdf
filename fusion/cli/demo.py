"""`fusion-sync demo`: the main job on embedded stand-ins, without any account."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fusion.cli.migrate import migrate
from fusion.cli.tables import STATE_STYLES, as_json
from listener import log

if TYPE_CHECKING:
    from fusion.standin.demo import Ending, Row
    from fusion.standin.sandbox import Sandbox
    from fusion.standin.story import Case


def command(
    patients: Annotated[int, typer.Option(help="How many intakes; at least the story's twelve.", min=12)] = 12,
    seed: Annotated[int, typer.Option(help="Which made-up children; the same seed gives the same.")] = 1,
    database: Annotated[str | None, typer.Option(help="An empty database to use; else SQLite in a new folder.")] = None,
    headed: Annotated[bool, typer.Option("--headed", help="Show the browser's window.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Only the ending, as one JSON object.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave all running at the end, to look around.")] = False,
) -> None:
    """Tell the main job as a story: twelve made-up intakes from a stand-in Salesforce into a stand-in portal.

    Exits with 1 if the ledgers of the two disagree with what the app says it did.
    """
    folder = Path(tempfile.mkdtemp(prefix="fusion-demo-"))
    url = database or f"sqlite:///{folder / 'outbox.db'}"
    migrate(url)
    view = _View(Console(stderr=json, quiet=json), folder, url, keep=keep)
    ending = asyncio.run(_tell(view, patients=patients, seed=seed, headed=headed))
    if json:
        typer.echo(as_json(ending.described()))
    raise typer.Exit(0 if ending.ok else 1)


async def _tell(view: _View, *, patients: int, seed: int, headed: bool) -> Ending:
    from fusion.standin.demo import Watching, demo

    log.set_up(level="error")  # the table tells the story; a log line would tear it
    with view.live:
        return await demo(
            view.folder,
            database_url=view.url,
            patients=patients,
            seed=seed,
            watching=Watching(moved=view.moved, told=view.told),
            environment={"FUSION_SYNC_HEADED": "1"} if headed else {},
            at_the_end=view.end,
        )


class _View:
    """The story as a person sees it: one line a child, and underneath what just happened."""

    def __init__(self, console: Console, folder: Path, url: str, *, keep: bool) -> None:
        self.console = console
        self.folder = folder
        self.url = url
        self.live = Live(console=console, refresh_per_second=4, transient=False)
        self._keep = keep
        self._said: list[str] = []

    def told(self, what: str) -> None:
        """Something happened in the story."""
        self._said = [*self._said[-3:], what]

    def moved(self, cases: Sequence[Case], rows: Sequence[Row]) -> None:
        """The outbox was looked at."""
        table = Table(title="Salesforce → outbox → portal → Salesforce", title_justify="left", header_style="bold")
        for heading in ("intake", "what it is about", "state", "what was done", "chart", "why a person must act"):
            table.add_column(heading, overflow="fold")
        for case in cases:
            mine = [row for row in rows if row["record_id"] == case.record_id]
            last = mine[-1] if mine else None
            steps = " ".join(_styled(row) for row in mine) if mine else "[dim]not ready[/dim]"
            table.add_row(
                case.record_id,
                case.title,
                steps,
                " ".join(str(row["outcome"] or "…") for row in mine),
                str(last["portal_id"] or "") if last else "",
                str(last["message"] or "") if last and last["state"] == "PARKED" else "",
            )
        self.live.update(Group(table, *(Text(f"  {line}", style="dim") for line in self._said)))

    async def end(self, box: Sandbox, ending: Ending, stopping: asyncio.Event) -> None:
        """The summary, and where to look further; with `--keep` all stays up until Ctrl-C."""
        self.live.stop()
        self.console.print(_summary(ending))
        for line in self._where(box):
            self.console.print(line, highlight=False, soft_wrap=True)
        if self._keep:
            self.console.print("\nCtrl-C ends it.")
            await stopping.wait()

    def _where(self, box: Sandbox) -> list[str]:
        sqlite = self.url.startswith("sqlite:///")
        file = self.url.removeprefix("sqlite:///")
        query = "SELECT id, record_id, state, outcome, portal_id, code FROM outbox"
        look = f'sqlite3 -box {file} "{query}"' if sqlite else f'psql "{self.url}" -c "{query}"'
        lines = [
            "",
            "[bold]Look further[/bold]",
            f"  the outbox   {look}",
            f"  the ledgers  {box.org_ledger}  {box.portal_ledger}",
        ]
        if self._keep:
            username, password = (box.environment()[f"PORTAL_{name}"] for name in ("USERNAME", "PASSWORD"))
            lines.append(f"  the portal   {box.portal.url}  as {username}, {password}")
        else:
            lines.append("  the portal   `make demo KEEP=1` leaves it up, with its address and log-in")
        return lines


def _styled(row: Row) -> str:
    working = " ▸" if row["leased_until"] else ""
    return f"[{STATE_STYLES[row['state']]}]{row['state']}{working}[/]"


def _summary(ending: Ending) -> str:
    figures: dict[str, Any] = ending.figures
    lines = [
        "",
        f"[bold]{len(ending.cases)} intakes in {ending.seconds:.1f} s[/bold]: {figures['charts_created']} charts made, "
        f"{figures['rows_added']} rows added, {figures['forms_saved']} forms saved, "
        f"{figures['log_ins']} log-in, {figures['screens_unlocked']} locked screen opened, "
        f"{figures['salesforce_writes']} writes to Salesforce.",
    ]
    if ending.ok:
        lines.append("[green]The ledgers of both sides agree with what the outbox claims.[/green]")
    else:
        lines.append("[bold red]The ledgers disagree with what the outbox claims:[/bold red]")
        lines += [f"  {problem}" for problem in ending.problems]
    return "\n".join(lines)
