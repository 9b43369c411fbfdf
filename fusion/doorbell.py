"""What a person does about the portal's door: give the code that a log-in waits for, or have it tried again."""

from __future__ import annotations

from datetime import timedelta

from listener import gates, interventions, portal_account
from listener.database import Tx
from listener.errors import EntryError
from listener.gates import Lane
from listener.portal_account import NOW
from listener.sealed import Sealed


async def give_code(tx: Tx, name: str, code: str, *, life: timedelta, sealed: Sealed, actor: str) -> str:
    """Hand the code to the worker, whose page waits for it; `EntryError` if none does, or it came too late.

    *life*: how long a code is good from the moment at which it was asked for.
    """
    account = await portal_account.read(tx, name)
    if account is None or account.asked_at is None:
        raise EntryError("no log-in waits for a code", hint="`fusion-sync portal status` says what is waited for")
    if account.now - account.asked_at > life:
        minutes = life.total_seconds() / 60
        raise EntryError(f"the code was asked for more than {minutes:g} minutes ago", hint=_AGAIN)
    await interventions.note(tx, actor, "code", "portal", "gave the log-in code")
    await portal_account.put(tx, name, code=sealed.seal(code.encode()), given_at=NOW)
    await gates.look_now(tx, Lane.PORTAL)
    return "The code is on its way to the page that waits for it; `fusion-sync portal status` says what came of it."


async def send_anew(tx: Tx, name: str, *, actor: str) -> str:
    """Have the portal send a new code; `EntryError` if no log-in waits for one."""
    account = await portal_account.read(tx, name)
    if account is None or account.asked_at is None:
        raise EntryError("no log-in waits for a code", hint="`fusion-sync portal status` says what is waited for")
    await interventions.note(tx, actor, "code", "portal", "asked for a new log-in code")
    await portal_account.put(tx, name, code=None, given_at=NOW)
    await gates.look_now(tx, Lane.PORTAL)
    return "The portal is asked for a new code; the one before is good no more."


async def try_again(tx: Tx, name: str, *, actor: str, reason: str) -> str:
    """Open the door: the next visit logs in, with the same password if it is the same."""
    account = await portal_account.read(tx, name)
    if account is None or (account.standing is None and not account.tries and account.asked_at is None):
        raise EntryError("nothing keeps the portal's door shut", hint="`fusion-sync portal status` says how it stands")
    await interventions.note(tx, actor, "again", "portal", reason)
    nothing = dict.fromkeys(("standing", "said", "hint", "shut_at", "asked_at", "code", "given_at"))
    await portal_account.put(tx, name, tries=0, **nothing)
    await gates.look_now(tx, Lane.PORTAL)
    return "The next visit logs in to the portal; its password is typed once more."


_AGAIN = "`fusion-sync portal code --resend` has a new one sent"
