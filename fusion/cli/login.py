"""`fusion-sync login`: let this program into Salesforce, or see whether it gets in by itself."""

from __future__ import annotations

import asyncio
import getpass
import webbrowser
from typing import Annotated

import typer

from fusion.admission import kept_login_of, login_of
from fusion.cli.acting import Json
from fusion.cli.tables import as_json
from fusion.settings import Settings, load
from listener import authorize, interventions
from listener.change import RecordId
from listener.database import Database
from listener.errors import SetupError
from listener.login import Login
from listener.org import SalesforceOrg
from listener.settings import SalesforceSettings
from listener.token_endpoint import TokenEndpoint
from listener.tokens import Grant

_PATIENCE = 600.0
"""Seconds. Salesforce's code is good for 15 minutes, and the person must find a password first."""


def command(
    no_browser: Annotated[
        bool,
        typer.Option("--no-browser", help="Only show the address; the one it leads to is pasted here."),
    ] = False,
    json: Json = False,
) -> None:
    """Log in to Salesforce. With SALESFORCE_AUTH=web a person does so in a browser, once, as the integration user.

    What Salesforce gives then is kept in the database, sealed with FUSION_SYNC_KEY, and shared by all processes.
    With jwt or client_credentials it is only tried whether that log-in works.
    """
    settings = load(salesforce=True)
    who, org_id = asyncio.run(_log_in(settings, no_browser=no_browser))
    if json:
        typer.echo(as_json({"ok": True, "auth": settings.salesforce.auth, "user": who, "org_id": org_id}))
        return
    kept = " The log-in is kept, sealed; running processes take it up." if settings.salesforce.auth == "web" else ""
    typer.echo(f"Logged in to org {org_id} as {who}.{kept}")


async def _log_in(settings: Settings, *, no_browser: bool) -> tuple[str, str]:
    """The user name, and the org's id."""
    db = Database(settings.database.url)
    try:
        await db.check()
        if settings.salesforce.auth != "web":
            login = login_of(settings, db)
            return await _who(login, settings.salesforce), (await login.token()).org_id
        return await _by_a_person(settings, db, no_browser=no_browser)
    finally:
        await db.close()


async def _by_a_person(settings: Settings, db: Database, *, no_browser: bool) -> tuple[str, str]:
    salesforce = settings.salesforce
    kept = kept_login_of(settings, db)  # before the person does anything: is there a key?
    endpoint = TokenEndpoint(salesforce.login_url, timeout=20.0)
    try:
        errand = authorize.errand(salesforce, login_url=endpoint.url)
        code = await _code(errand, salesforce, no_browser=no_browser)
        grant = await authorize.exchanged(errand, code, endpoint=endpoint, settings=salesforce)
        who = await _accepted(grant, salesforce, endpoint)
        before = await kept.begin(grant)
        async with db.writing() as tx:
            await interventions.note(tx, getpass.getuser(), "login", "salesforce", "logged in in a browser")
        if before is not None:
            # Of one user and one app Salesforce keeps five; what is not ended would push out others.
            await endpoint.revoke(before.refresh_token)
        return who, grant.token.org_id
    finally:
        await endpoint.close()


async def _code(errand: authorize.Errand, salesforce: SalesforceSettings, *, no_browser: bool) -> str:
    typer.echo(
        f"Log in as {salesforce.username or 'the integration user'} at this address:\n\n{errand.url}\n", err=True
    )
    if not no_browser:
        waiting = asyncio.create_task(authorize.caught(errand, seconds=_PATIENCE))
        await asyncio.sleep(0)
        await asyncio.to_thread(webbrowser.open, errand.url)
        return await waiting
    typer.echo(f"It leads to {errand.callback}?…, which need not load: copy it from the address bar.", err=True)
    return authorize.code_in(errand, await asyncio.to_thread(typer.prompt, "That address", err=True))


async def _accepted(grant: Grant, salesforce: SalesforceSettings, endpoint: TokenEndpoint) -> str:
    """The user name of who logged in. `SetupError`, and the grant is given back, if that is somebody else."""
    try:
        who = await _who(Login(salesforce, token=grant.token), salesforce)
    except BaseException:
        await endpoint.revoke(grant.refresh_token)
        raise
    if salesforce.username and who.casefold() != salesforce.username.casefold():
        await endpoint.revoke(grant.refresh_token)
        raise SetupError(
            f"it was {who} who logged in, and SALESFORCE_USERNAME names {salesforce.username}",
            hint="log out of Salesforce in that browser, and run `fusion-sync login` again",
        )
    return who


async def _who(login: Login, salesforce: SalesforceSettings) -> str:
    """The name of the user, asked for by REST, so that it is also seen that this user may use it."""
    org = SalesforceOrg(login, api_version=salesforce.api_version)
    try:
        user_id = RecordId((await login.token()).user_id)
        found = await org.read("User", [user_id], ["Username"])
        return str(found[user_id]["Username"])
    finally:
        await org.close()
        await login.close()
