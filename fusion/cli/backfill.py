"""`fusion-sync backfill`: patients who were in Salesforce before the sync."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusion.backfill_list import Draft, Verdict
from fusion.cli.acting import Json, refusing
from fusion.cli.tables import as_json, show, table
from fusion.settings import load

if TYPE_CHECKING:
    from fusion.approval import Approval
    from fusion.backfill import Found

_MEANING = {
    Verdict.MATCHED: "a chart is certainly this patient's; the worker links it and brings it up to date",
    Verdict.CREATE: "no chart can be this patient's; the worker makes one",
    Verdict.AMBIGUOUS: "a person must say in the column `decision`: a chart's id, new, or skip",
    Verdict.IMPOSSIBLE: "the record must be corrected in Salesforce first",
    Verdict.UNREAD: "the portal could not be read just then; preview again",
}
_NAMES = (
    "This list names patients. Keep it on this screen and on this disk, and delete it when you have compared; "
    "only its owner can read the file."
)


def command(
    preview: Annotated[bool, typer.Option("--preview", help="Say what would become of each; writes nothing.")] = False,
    approve: Annotated[Path | None, typer.Option("--approve", help="Have the worker do what this list says.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --preview: the list as CSV, to be reviewed.")] = None,
    where: Annotated[str | None, typer.Option(help="With --preview: only these records; a condition in SOQL.")] = None,
    limit: Annotated[int | None, typer.Option(help="With --preview: at most so many records.", min=1)] = None,
    with_names: Annotated[bool, typer.Option("--with-names", help="With --preview: name the patients.")] = False,
    only: Annotated[str, typer.Option(help="With --approve: lines of these verdicts.")] = "matched,create,ambiguous",
    reason: Annotated[str, typer.Option(help="With --approve: why; kept with your name.")] = "",
    json: Json = False,
) -> None:
    """Preview the patients who were there before the sync, then approve the list that was reviewed.

    A preview writes nothing, to neither side nor the outbox; one that was cut off goes on where it was, if --out names
    the same file. Stop the worker meanwhile, or use another portal user: two on one log-in throw each other out.
    """
    if preview == (approve is not None):
        raise typer.BadParameter("say --preview, or --approve FILE")
    if approve is None:
        _preview(out, where=where, limit=limit, with_names=with_names, json=json)
    elif not reason.strip():
        raise typer.BadParameter("--approve needs a --reason")
    else:
        _approve(approve, only=_verdicts(only), reason=reason, json=json)


def _preview(out: Path | None, *, where: str | None, limit: int | None, with_names: bool, json: bool) -> None:
    if with_names:
        typer.echo(_NAMES, err=True)
    with refusing(json=json):
        draft = Draft(out, with_names=with_names) if out else None
        found = asyncio.run(_look(draft, where=where, limit=limit, with_names=with_names))
    if json:
        said = {"counts": found.counts(), "linked": found.linked, "in_hand": found.in_hand, "kept": found.kept}
        typer.echo(as_json({**said, "causes": found.causes(), "list": str(out) if out else None}))
        return
    counts = [(verdict, found.counts()[verdict], meaning) for verdict, meaning in _MEANING.items()]
    show(table("Backfill", ("verdict", "records", "meaning"), counts))
    if found.causes():
        show(table("Why not", ("records", "why"), [(number, why) for why, number in found.causes().items()]))
    show(
        f"{found.linked} more have a chart already, {found.in_hand} more are in the outbox. Nothing was written.",
        f"{out} is to be reviewed; then `fusion-sync backfill --approve {out} --reason …`." if out else "",
    )


async def _look(draft: Draft | None, *, where: str | None, limit: int | None, with_names: bool) -> Found:
    from fusion.backfill import Backfill, look
    from fusion.pace import Pace
    from fusion.reading import salesforce_of, sight_of

    settings = load(salesforce=True, portal=True)
    async with AsyncExitStack() as stack:
        salesforce = await stack.enter_async_context(salesforce_of(settings))
        sight = await stack.enter_async_context(sight_of(settings, salesforce))
        kept = [one for one in (draft.kept() if draft else []) if salesforce.place.is_of(one.preview)]
        now = datetime.now(UTC)
        name = kept[0].preview if kept else salesforce.place.new_preview(now)
        if draft:
            draft.begin(kept)
        of = Backfill(
            db=salesforce.db,
            sight=sight,
            place=salesforce.place,
            pace=Pace(settings.sync.backfill_per_minute),
            name_field=salesforce.name_field,
            added=draft.add if draft else lambda _line: None,
            progress=_progress(),
        )
        by_record = {one.record_id: one for one in kept}
        found = await look(of, name=name, where=where, limit=limit, with_names=with_names, kept=by_record)
        if draft:
            draft.finish(found.lines)
        return found


def _progress() -> Callable[[int, int], None]:
    """Tells who waits how far it is; nothing into a file or a pipe."""

    def told(done: int, of: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{done} of {of} ", nl=done == of, err=True)

    return told


def _approve(path: Path, *, only: frozenset[Verdict], reason: str, json: bool) -> None:
    with refusing(json=json):
        done = asyncio.run(_approved(path, only, reason))
    if json:
        typer.echo(as_json(asdict(done)))
    else:
        _tell(done)
    if done.refused:
        raise typer.Exit(1)


async def _approved(path: Path, only: frozenset[Verdict], reason: str) -> Approval:
    from fusion.approval import approve
    from fusion.reading import salesforce_of

    async with salesforce_of(load(salesforce=True, portal=True)) as salesforce:
        return await approve(
            path,
            db=salesforce.db,
            org=salesforce.org,
            mapping=salesforce.mapping,
            place=salesforce.place,
            only=only,
            actor=getpass.getuser(),
            reason=reason,
        )


def _tell(done: Approval) -> None:
    decided = f", {done.with_chart} with the chart that was chosen and {done.as_new} as new" if done.enqueued else ""
    typer.echo(f"{done.enqueued} records went into the outbox{decided}; a worker does them when nothing newer waits.")
    left = {
        "were approved before, or have a chart or an entry": done.already,
        "are to be skipped": done.skipped,
        "wait for a decision": done.undecided,
        "have a verdict that was not asked for": done.not_asked_for,
    }
    for what, number in left.items():
        if number:
            typer.echo(f"{number} {what}.")
    if done.refused:
        show(table("Not done", ("record", "why"), done.refused))


def _verdicts(words: str) -> frozenset[Verdict]:
    try:
        return frozenset(Verdict(word.strip()) for word in words.split(","))
    except ValueError:
        raise typer.BadParameter(f"--only takes {', '.join(Verdict)}, with commas between") from None
