"""`fusion-sync doctor`: what is wrong with the installation, and the next move for each thing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from fusion import expiry
from fusion.admission import login_of
from fusion.cli.acting import Json
from fusion.cli.tables import as_json, show
from fusion.codes import Code
from fusion.mapping import RecordMapping, load_mapping
from fusion.pages.pack_file import load_pack
from fusion.settings import Settings, load
from fusion.writeback import Status
from listener import links, portal_account, resealing
from listener.checkup import Finding, Verdict, examine
from listener.database import Database
from listener.org_checkup import Needs, examine_org
from listener.org_setup import OrgSetup
from listener.sealed import Sealed

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.WRONG: "bold red"}


def command(
    database: Annotated[
        bool, typer.Option("--database", help="The outbox's database: is it sound, and does anything in it wait?")
    ] = False,
    salesforce: Annotated[
        bool, typer.Option("--salesforce", help="Salesforce: is this the right user, and may it do what it must?")
    ] = False,
    portal: Annotated[
        bool, typer.Option("--portal", help="The portal: is it still as its pack says? Stop the worker meanwhile.")
    ] = False,
    chart: Annotated[
        str | None,
        typer.Option(help="With --portal: the chart whose sections are looked at; else the last linked one."),
    ] = None,
    json: Json = False,
) -> None:
    """Examine the installation: one line a question, and the next move where one is needed. Changes nothing.

    Without an option the database is examined. Exits with 1 if anything is wrong; a warning is not.
    """
    settings = load(salesforce=salesforce, portal=portal)
    of_database = database or not (salesforce or portal)
    findings = asyncio.run(_examine(settings, database=of_database, org=salesforce, portal=portal, chart=chart))
    sound = all(one.verdict is not Verdict.WRONG for one in findings)
    if json:
        typer.echo(as_json({"ok": sound, "checks": [asdict(one) for one in findings]}))
    else:
        show(_table(findings))
    if not sound:
        raise typer.Exit(1)


async def _examine(settings: Settings, *, database: bool, org: bool, portal: bool, chart: str | None) -> list[Finding]:
    db = Database(settings.database.url)
    try:
        found = await examine(db, expected=settings.sync.expected) if database else []
        if database and all(one.verdict is not Verdict.WRONG for one in found):
            found.append(await _password(db, load_pack(settings.sync.pack).password_days))
            found.append(await _keys(db, settings.sync.keys))
        found += await _org(settings, db) if org else []
        return found + (await _portal(settings, db, chart) if portal else [])
    finally:
        await db.close()


async def _portal(settings: Settings, db: Database, chart: str | None) -> list[Finding]:
    from fusion.portal import Refused
    from fusion.reading import portal_of

    check, move = "portal", "mend the pack by what the page shows now, then `fusion-sync pack check`"
    if chart is None:
        async with db.reading() as tx:
            chart = next(iter(await links.newest(tx, limit=1)), None)
    async with portal_of(settings, db) as portal:
        try:
            walked = await portal.walk(chart)
        except Refused as refused:
            return [Finding(check=check, verdict=Verdict.WRONG, said=refused.detail, move=move)]
    found = [Finding(check=check, verdict=Verdict.WRONG, said=str(one), move=move) for one in walked.drifts]
    if walked.of_a_chart:
        said = "Search, new form and all sections of a chart are as the pack says."
        return found or [Finding(check=check, verdict=Verdict.OK, said=said)]
    why = "there is no linked chart yet" if chart is None else "the portal has no such chart"
    looked = Finding(
        check=check,
        verdict=Verdict.WARNING,
        said=f"Only search and new form were looked at: {why}.",
        move="`--chart ID` names one; best that of a made-up patient",
    )
    return [*found, looked]


async def _org(settings: Settings, db: Database) -> list[Finding]:
    login = login_of(settings, db)
    org = OrgSetup(login, api_version=settings.salesforce.api_version)
    try:
        return await examine_org(org, login, settings.salesforce, needs_of(load_mapping(settings.sync.mapping)))
    finally:
        await org.close()
        await login.close()


def needs_of(mapping: RecordMapping) -> Needs:
    """What the integration user must be able to do, with names that people know."""
    own = mapping.own
    labels = {name: name.removesuffix("__c").replace("_", " ") for name in mapping.reads}
    labels |= {source: rule.policy.label for rule in mapping.rules.values() for source in rule.sources}
    return Needs(
        object_name=mapping.object_name,
        reads=labels,
        writes=own.names(),
        says={own.status: [str(one) for one in Status], own.error_code: [str(one) for one in Code]},
        ready=mapping.ready_field,
        told_along=(own.portal_id, own.status),
    )


async def _password(db: Database, days: int | None) -> Finding:
    async with db.reading() as tx:
        alarms = expiry.alarms(await portal_account.every(tx), days)
    check = "portal password"
    if not alarms:
        return Finding(check=check, verdict=Verdict.OK, said="None that we know of expires within two weeks.")
    return Finding(check=check, verdict=Verdict.WARNING, said=alarms[0].said, move=alarms[0].move)


async def _keys(db: Database, keys: Sequence[str]) -> Finding:
    async with db.reading() as tx:
        found = await resealing.count(tx, Sealed(keys) if keys else None)
    check = "sealed secrets"
    if found.lost:
        said = f"{found.lost} of what is kept is sealed with a key that FUSION_SYNC_KEY does not hold."
        move = "put the key of then behind the new one, with a comma; if it is lost, log in again"
        return Finding(check=check, verdict=Verdict.WARNING, said=said, move=move)
    if found.older:
        said, move = f"{found.older} of what is kept still needs an older key.", "start the worker before that key goes"
        return Finding(check=check, verdict=Verdict.WARNING, said=said, move=move)
    said = "All that is kept is sealed with the newest key." if found.newest else "Nothing that is kept is sealed."
    return Finding(check=check, verdict=Verdict.OK, said=said)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("check", "", "what was found", "next move"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("check", ""))
    for one in findings:
        table.add_row(
            Text(one.check, style="bold"), Text(one.verdict, style=_STYLES[one.verdict]), Text(one.said), Text(one.move)
        )
    return table
