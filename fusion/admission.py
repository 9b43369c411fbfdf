"""How a process is let in, to Salesforce and to the portal: by its settings, and by what is kept in the database."""

from __future__ import annotations

from fusion.account import KeptAccount
from fusion.settings import Settings
from listener.database import Database
from listener.login import Login
from listener.sealed import Sealed
from listener.tokens import KeptLogin


def login_of(settings: Settings, db: Database) -> Login:
    """The one token source of this process. `SetupError` where web asks for a key that is not set."""
    by_a_person = settings.salesforce.auth == "web"
    return Login(settings.salesforce, kept=kept_login_of(settings, db) if by_a_person else None)


def kept_login_of(settings: Settings, db: Database) -> KeptLogin:
    """What a person's log-in left, or will leave, in the database."""
    return KeptLogin(db, Sealed(settings.sync.keys), settings.salesforce)


def portal_account_of(settings: Settings, db: Database) -> KeptAccount:
    """What all processes know of our portal user."""
    portal = settings.portal
    return KeptAccount(db, portal.holding, portal.password, settings.sync.keys)
