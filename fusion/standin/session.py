"""Log-in, the lock after idle minutes, and the ends of sessions. Server side: the page only shows what it is told.

"Lock Inactive Users" asks for the password again after 1 to 60 idle minutes (F1). A reset password logs its user out
(F4). How many wrong passwords lock an account is not public; five is inferred.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

WRONG_PASSWORDS = 5
COOKIE = "fusion_session"


class NoSession(Exception):
    """The request has no session that still stands."""


class Locked(Exception):
    """The session waits for its password. `fell` says why if the lock came down just now, else it is None."""

    def __init__(self, session: "Session", fell: str | None) -> None:
        super().__init__(f"session {session.number} is locked")
        self.session = session
        self.fell = fell


class Denied(Exception):
    """A password was not accepted: `code` is `incorrect` or `account_locked`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, kw_only=True)
class Account:
    """One user of the portal."""

    email: str
    password: str
    wrong: int = 0

    @property
    def locked(self) -> bool:
        """Whether too many wrong passwords were given; only the control endpoint undoes it."""
        return self.wrong >= WRONG_PASSWORDS


@dataclass(slots=True, kw_only=True)
class Session:
    """One log-in. `number` is for the ledger; the token is in the cookie only."""

    token: str
    number: int
    account: Account
    seen_at: datetime
    locked: bool = False


class Sessions:
    """All sessions that stand, and the lock that is to come."""

    def __init__(self, *, users: Mapping[str, str], idle: timedelta, clock: Callable[[], datetime]) -> None:
        self.idle = idle
        self._clock = clock
        self._accounts = {email.casefold(): Account(email=email, password=word) for email, word in users.items()}
        self._by_token: dict[str, Session] = {}
        self._made = 0
        self._lock_in: int | None = None

    def __len__(self) -> int:
        return len(self._by_token)

    def log_in(self, email: str, password: str) -> Session:
        """A new session; Denied otherwise. An unknown e-mail and a wrong password look alike."""
        account = self._accounts.get(email.strip().casefold())
        if account is None:
            raise Denied("incorrect")
        self._check(account, password)
        self._made += 1
        session = Session(token=secrets.token_urlsafe(24), number=self._made, account=account, seen_at=self._clock())
        self._by_token[session.token] = session
        return session

    def admit(self, token: str | None) -> Session:
        """The session behind *token*, its idle time reset; NoSession, or Locked when its password is asked for."""
        session = self.get(token)
        if session.locked:
            raise Locked(session, None)
        now = self._clock()
        if self._lock_in is not None:
            self._lock_in -= 1
            if self._lock_in <= 0:
                self._lock_in = None
                self.lock()
                raise Locked(session, "on demand")
        if now - session.seen_at >= self.idle:
            session.locked = True
            raise Locked(session, "idle")
        session.seen_at = now
        return session

    def get(self, token: str | None) -> Session:
        """The session behind *token*, locked or not; NoSession when there is none."""
        session = self._by_token.get(token or "")
        if session is None:
            raise NoSession
        return session

    def unlock(self, session: Session, password: str) -> None:
        """Open a locked session; Denied counts as a wrong log-in."""
        self._check(session.account, password)
        session.locked = False
        session.seen_at = self._clock()

    def log_out(self, session: Session) -> None:
        """End one session."""
        self._by_token.pop(session.token, None)

    def lock(self, *, after: int | None = None) -> int:
        """Lock all sessions now, or right before the *after*-th next request; the number locked now."""
        if after is not None:
            self._lock_in = after
            return 0
        for session in self._by_token.values():
            session.locked = True
        return len(self._by_token)

    def end(self, *, email: str | None = None) -> int:
        """End all sessions, or those of one user; how many there were."""
        gone = [s for s in self._by_token.values() if email in (None, s.account.email)]
        for session in gone:
            self.log_out(session)
        return len(gone)

    def set_password(self, email: str, password: str, *, keep_sessions: bool = False) -> int:
        """Give the account a new password, open it, and end its sessions; how many. LookupError if unknown."""
        account = self._accounts.get(email.casefold())
        if account is None:
            raise LookupError(email)
        account.password, account.wrong = password, 0
        return 0 if keep_sessions else self.end(email=account.email)

    def _check(self, account: Account, password: str) -> None:
        if account.locked:
            raise Denied("account_locked")
        if not hmac.compare_digest(account.password.encode(), password.encode()):
            account.wrong += 1
            raise Denied("account_locked" if account.locked else "incorrect")
        account.wrong = 0
