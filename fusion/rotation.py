"""The portal's password is changed, and it is known afterwards which of the two is good, whatever happened between.

That a change is about to be made is committed before the portal is told. If its answer is lost, the next run tries the
old password once and, if that is refused, the new one once; never more, so that no account is locked by it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pydantic import SecretStr

from fusion.account import KeptAccount
from fusion.browser import WebPortal
from fusion.pages.memory import Shut
from fusion.pages.new_password import Answer, missing
from fusion.pages.pack import Pack
from fusion.pages.standing import Standing
from listener.errors import EntryError, SetupError

T = TypeVar("T")

_TAKE_OVER = "put it into PORTAL_PASSWORD, take PORTAL_NEW_PASSWORD away, and start the worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The portal user with one of the two passwords: what is known of it, and a browser that logs in with it."""

    password: SecretStr
    account: KeptAccount
    portal: Callable[[], WebPortal]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    """How a code is waited for: as long as it is good, with a look every so many seconds."""

    life: timedelta
    say: Callable[[str], None]
    look: float


async def rotate(old: User, new: User, pack: Pack, *, say: Callable[[str], None], look: float = 2.0) -> str:
    """Change the password from *old* to *new*; what became of it, in a sentence.

    Raises `SetupError` if neither is good or the new one cannot be; `Outage` if the portal does not let us. *look*:
    seconds between two looks for a code that a person gives.
    """
    if pack.password is None:
        raise SetupError("the pack has no [password]", hint="describe the page there, or change it by hand")
    if new.password == old.password or missing(new.password, pack.password):
        raise SetupError(
            "PORTAL_NEW_PASSWORD is the old one, or lacks what the portal asks for",
            hint="for Fusion: letters, a capital, a number and a special character, and none of the last ten",
        )
    wait = _Wait(life=pack.code_life, say=say, look=look)
    row = await old.account.account()
    in_doubt = row is not None and row.next_password is not None
    # Somebody is here and does just what these ask for.
    await old.account.forgive(Standing.EXPIRED)
    answer = await _changed(old, new, wait, in_doubt=in_doubt)
    match answer:
        case Answer.CHANGED:
            await old.account.changed(new.account)
            return f"The portal has the new password: {_TAKE_OVER}."
        case Answer.NEW_IS_REFUSED:
            await old.account.not_changed()
            raise EntryError("the portal does not accept the new password", hint="choose one that it never had")
        case Answer.OLD_IS_WRONG if in_doubt:
            return await _is_it_the_new_one(old, new, wait)
        case Answer.OLD_IS_WRONG:
            await old.account.not_changed()
            raise SetupError("the portal says that PORTAL_PASSWORD is wrong", hint="correct it; nothing was changed")


async def _changed(old: User, new: User, wait: _Wait, *, in_doubt: bool) -> Answer:
    async def about_to_change() -> None:
        await old.account.about_to_change(new.account)

    try:
        async with old.portal() as portal:
            return await _with_a_code(
                lambda: portal.change_password(old.password, new.password, about_to_change=about_to_change),
                old.account,
                wait,
            )
    except Shut as shut:
        if in_doubt and shut.standing in (Standing.REFUSED, Standing.UNANSWERED):
            return Answer.OLD_IS_WRONG
        raise


async def _is_it_the_new_one(old: User, new: User, wait: _Wait) -> str:
    """The change whose answer was lost must have been made; only the portal can say so."""
    try:
        async with new.portal() as portal:
            await _with_a_code(portal.enter, new.account, wait)
    except Shut as shut:
        if shut.standing is Standing.REFUSED:
            raise SetupError(
                "the portal accepts neither PORTAL_PASSWORD nor PORTAL_NEW_PASSWORD",
                hint="set a password by hand (Forgot Password), put it into PORTAL_PASSWORD",
            ) from None
        raise
    await old.account.changed(new.account)
    return f"The portal had the new password already: {_TAKE_OVER}."


async def _with_a_code(work: Callable[[], Awaitable[T]], account: KeptAccount, wait: _Wait) -> T:
    """What the work gives; where it waits for a code, as soon as a person has given it."""
    until, said, forgiven = time.monotonic() + wait.life.total_seconds(), False, False
    while True:
        try:
            return await work()
        except Shut as shut:
            if shut.standing is Standing.EXPIRED and not forgiven:
                # It came after the code, on a page that is gone: this time it is answered.
                forgiven = True
                await account.forgive(Standing.EXPIRED)
            elif shut.standing is Standing.CODE and time.monotonic() < until:
                if not said:
                    wait.say(shut.whole)
                said = True
                await asyncio.sleep(wait.look)
            else:
                raise
