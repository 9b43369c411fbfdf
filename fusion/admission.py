"""How a process is let into Salesforce: by its settings alone, or by what a person's log-in left in the database."""

from __future__ import annotations

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
