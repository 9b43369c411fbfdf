"""Log-in, the lock after idle minutes, and the ends of sessions. Server side: the page only shows what it is told.

"Lock Inactive Users" asks for the password again after 1 to 60 idle minutes (F1). A reset password logs its user out
(F4). How many wrong passwords lock an account is not public; five is inferred.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fusion.standin.doorway import REMEMBERED, Doorway, Need, is_weak

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
    """A password or a code was not accepted; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, kw_only=True)
class Account:
    """One user of the portal."""

    email: str
    password: str
    wrong: int = 0
    before: list[str] = field(default_factory=list)

    @property
    def locked(self) -> bool:
        """Whether too many wrong passwords were given; only the control endpoint undoes it."""
        return self.wrong >= WRONG_PASSWORDS


@dataclass(slots=True, kw_only=True)
class Session:
    """One log-in. `number` is for the ledger; the token is in the cookie only; `needs`: what it still lacks.

    `window` is known to the page that logged in alone, which keeps it in its session storage.
    """

    token: str
    number: int
    account: Account
    seen_at: datetime
    window: str
    needs: list[Need]
    locked: bool = False


class Sessions:
    """All sessions that stand, and the lock that is to come."""

    def __init__(
        self, *, users: Mapping[str, str], idle: timedelta, doorway: Doorway, clock: Callable[[], datetime]
    ) -> None:
        self.idle = idle
        self._doorway = doorway
        self._clock = clock
        self._accounts = {email.casefold(): Account(email=email, password=word) for email, word in users.items()}
        self._by_token: dict[str, Session] = {}
        self._made = 0
        self._lock_in: int | None = None

    def __len__(self) -> int:
        return len(self._by_token)

    def log_in(self, email: str, password: str, *, device: str | None = None) -> Session:
        """A new session, which may lack something; Denied otherwise. An unknown e-mail looks like a wrong password."""
        account = self._accounts.get(email.strip().casefold())
        if account is None:
            raise Denied("incorrect")
        self._check(account, password)
        self._made += 1
        session = Session(
            token=secrets.token_urlsafe(24),
            number=self._made,
            account=account,
            seen_at=self._clock(),
            window=secrets.token_urlsafe(8),
            needs=self._doorway.needs(account.email, device),
        )
        self._by_token[session.token] = session
        return session

    def admit(self, token: str | None, window: str | None = None) -> Session:
        """The session behind *token*, its idle time reset; NoSession, or Locked when its password is asked for."""
        session = self.get(token)
        if session.needs or (self._doorway.window_bound and session.window != window):
            raise NoSession
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

    def entering(self, token: str | None, need: Need) -> Session:
        """The session whose log-in lacks just that; NoSession when there is none."""
        session = self.get(token)
        if session.needs[:1] != [need]:
            raise NoSession
        return session

    def kick_others(self, session: Session) -> int:
        """End the other sessions of the same user; how many there were."""
        others = [s for s in self._by_token.values() if s.account is session.account and s is not session]
        for other in others:
            self.log_out(other)
        return len(others)

    def change_password(self, account: Account, new: str, *, old: str | None = None) -> None:
        """As the user does it, giving the *old* one unless it has expired. Denied: see `is_weak`, or used before."""
        if old is not None:
            self._check(account, old)
        if is_weak(new):
            raise Denied("weak")
        if new in [account.password, *account.before]:
            raise Denied("used_before")
        account.before = [*account.before, account.password][-REMEMBERED:]
        account.password = new
        self._doorway.expired.discard(account.email.casefold())
        self._doorway.forget_devices()

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
