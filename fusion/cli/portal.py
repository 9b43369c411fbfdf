"""`fusion-sync portal`: how we stand with the portal's door, and what a person does about it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from fusion.cli.acting import Json, Reason, act, refusing
from fusion.cli.tables import as_json, show, table
from fusion.expiry import alarm, expires_at
from fusion.settings import Settings, load
from listener import gates, holders, portal_account
from listener.database import Database
from listener.errors import SetupError
from listener.gates import Lane
from listener.portal_account import Account
from listener.sealed import Sealed

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def status(json: Json = False) -> None:
    """Show whether we are let in, what is waited for, and when the password will expire."""
    found = asyncio.run(_status(load(portal=True)))
    if json:
        typer.echo(as_json(found))
        return
    show(
        table(
            "The portal's door",
            ("", "as it stands"),
            [(name.replace("_", " "), value) for name, value in found.items()],
        )
    )


@app.command()
def code(
    digits: Annotated[
        str | None, typer.Argument(metavar="CODE", help="The code, as the portal user's mailbox shows it.")
    ] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Have the portal send a new one.")] = False,
    json: Json = False,
) -> None:
    """Give the log-in code that the portal sent, while it is good; kept sealed until the worker reads it."""
    from fusion.doorbell import give_code, send_anew
    from fusion.pages.pack_file import load_pack

    if (digits is None) is not resend or (digits is not None and not digits.strip().isalnum()):
        raise typer.BadParameter("give either the code or --resend")
    settings = load(portal=True)
    name = settings.portal.holding
    if digits is None:
        act(lambda tx, actor: send_anew(tx, name, actor=actor), json=json)
        return
    sealed, given, life = Sealed(settings.sync.keys), digits.strip(), load_pack(settings.sync.pack).code_life
    act(lambda tx, actor: give_code(tx, name, given, life=life, sealed=sealed, actor=actor), json=json)


@app.command()
def again(reason: Reason, json: Json = False) -> None:
    """Let the log-in be tried once more, after you have done something about what shut the door."""
    from fusion.doorbell import try_again

    name = load(portal=True).portal.holding
    act(lambda tx, actor: try_again(tx, name, actor=actor, reason=reason), json=json)


@app.command()
def rotate(json: Json = False) -> None:
    """Change the portal's password from PORTAL_PASSWORD to PORTAL_NEW_PASSWORD. Stop the worker first.

    If it is cut off, run it again: it finds out which of the two is good, with one attempt each at the most.
    """
    with refusing(json=json):
        said = asyncio.run(_rotate(load(portal=True)))
    typer.echo(as_json({"ok": True, "said": said}) if json else said)


async def _rotate(settings: Settings) -> str:
    from fusion import chromium, leftovers
    from fusion.account import KeptAccount
    from fusion.browser import WebPortal
    from fusion.pages.pack_file import load_pack
    from fusion.rotation import User, rotate

    portal, sync = settings.portal, settings.sync
    if portal.new_password is None:
        raise SetupError("PORTAL_NEW_PASSWORD is not set", hint="choose a password that this user has not had")
    db = Database(settings.database.url)
    executable = chromium.find(sync.browser)

    def user(password: SecretStr) -> User:
        account = KeptAccount(db, portal.holding, password, sync.keys)
        with_it = portal.model_copy(update={"password": password})
        return User(
            password=password,
            account=account,
            portal=lambda: WebPortal.from_settings(with_it, sync, memory=account, executable=executable),
        )

    try:
        await db.check()
        async with holders.held(db, portal.holding, lease=timedelta(seconds=20)):
            await asyncio.to_thread(leftovers.end_leftovers)
            return await rotate(
                user(portal.password),
                user(portal.new_password),
                load_pack(sync.pack),
                say=lambda line: typer.echo(line, err=True),
            )
    finally:
        await db.close()


async def _status(settings: Settings) -> dict[str, Any]:
    from fusion.pages.pack_file import load_pack
    from fusion.pages.standing import Standing

    db = Database(settings.database.url)
    try:
        await db.check()
        async with db.reading() as tx:
            account = await portal_account.read(tx, settings.portal.holding)
            gate = (await gates.read(tx))[Lane.PORTAL]
    finally:
        await db.close()
    pack = load_pack(settings.sync.pack)
    days = pack.password_days
    waits = account is not None and account.standing is None and account.asked_at is not None
    told = alarm(account, days) if account else None
    found: dict[str, datetime | str | None] = {
        "door": _door(account),
        "why": account.said if account else None,
        "next_move": Standing.CODE.hint if waits else account.hint if account else None,
        "since": account.shut_at if account else None,
        "waits_for_a_code_since": account.asked_at if account else None,
        "code_is_good_until": account.asked_at + pack.code_life if account and account.asked_at else None,
        "password_used_since": account.used_from if account else None,
        "password_expires_by": expires_at(account, days) if account else None,
        "password_warning": f"{told.said} Next: {told.move}." if told else None,
        "profile_kept_at": account.profile_at if account else None,
        "change_of_password_begun_at": account.next_at if account else None,
        "gate": gate.state if gate.is_open else f"{gate.state}: {gate.reason}",
        "gate_until": gate.until,
    }
    return found


def _door(account: Account | None) -> str:
    if account is None:
        return "nobody has logged in yet"
    if account.standing is not None:
        return account.standing
    if account.asked_at is not None:
        return "waits for a code"
    return "a log-in is on its way, or was cut off" if account.tries else "open"
