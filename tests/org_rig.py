"""A stand-in org and the settings that reach it, for whatever talks to Salesforce in a test."""

from __future__ import annotations

import functools
import socket
import tempfile
from pathlib import Path
from typing import Any

from listener.settings import SalesforceSettings
from listener.standin import StandInOrg
from listener.standin.people import new_private_key
from listener.standin.server import utc_now

FIRST, LAST, SSN = "Canary-Ada", "Canary-Byron", "912-34-5678"
"""A made-up person; none of this may show in an error or a repr."""


@functools.cache
def private_key() -> str:
    """One RSA key for the whole run: making one takes longer than most tests."""
    return new_private_key()


@functools.cache
def _key_file(pem: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fusion-sync-key-"))
    path = folder / "key.pem"
    path.write_text(pem)
    return path


def stand_in(**more: Any) -> StandInOrg:
    """An org on a free port, to be entered with `async with`. Its polls last a second, unless `poll_seconds` says."""
    return StandInOrg(
        private_key=private_key(), **{"poll_seconds": 1.0, "session_seconds": 5.0, "clock": utc_now} | more
    )


def settings_for(org: StandInOrg, **more: Any) -> SalesforceSettings:
    """The integration user's, by JWT bearer unless `auth` says otherwise."""
    who = org.integration
    values: dict[str, Any] = {
        "login_url": org.url,
        "auth": "jwt",
        "client_id": who.client_id,
        "client_secret": who.client_secret,
        "username": who.username,
        "private_key_file": _key_file(private_key()),
        "channel": org.channel,
    }
    return SalesforceSettings(**values | more)


def patient(**more: Any) -> dict[str, Any]:
    """A new intake that is ready."""
    born = {"Date_of_Birth__c": "2019-05-01"}  # without it, a record cannot be ready
    return {"First_Name__c": FIRST, "Last_Name__c": LAST, "SSN__c": SSN, "Ready_for_Fusion__c": True} | born | more


def free_callback() -> str:
    """An address that a log-in may come back to: a port of this host that is free now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://localhost:{taken.getsockname()[1]}/OauthRedirect"
