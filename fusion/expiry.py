"""When the portal's password will be good no more, and who is told how early. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from listener.alarms import Alarm
from listener.portal_account import Account

WARNED_AT = (14, 7, 1)
"""Days before the end; each is another alarm."""


def expires_at(account: Account, days: int | None) -> datetime | None:
    """The latest moment at which the password expires; None where none does, or it has never been used.

    The portal counts from the day on which it was set, and we from the day on which we first used it.
    """
    if days is None or account.used_from is None:
        return None
    return account.used_from + timedelta(days=days)


def alarms(accounts: Iterable[Account], days: int | None) -> list[Alarm]:
    """What somebody should hear now of any of them."""
    return [told for account in accounts if (told := alarm(account, days))]


def alarm(account: Account, days: int | None) -> Alarm | None:
    """What somebody should hear of it now."""
    end = expires_at(account, days)
    if end is None:
        return None
    left = end - account.now
    reached = [one for one in WARNED_AT if left <= timedelta(days=one)]
    if not reached:
        return None
    said = (
        f"The portal's password expires by {end:%Y-%m-%d}."
        if left > timedelta(0)
        else "The portal's password is over its time."
    )
    return Alarm(
        code=f"password_{reached[-1]}d",
        said=said,
        move="set PORTAL_NEW_PASSWORD, stop the worker, and run `fusion-sync portal rotate`",
    )
