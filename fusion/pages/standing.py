"""How we stand with the portal's door, in names that a pack gives to what is on the page.

Each name says in words what is the matter, and what an operator does about it. Only maintenance ends by itself; all
else waits for a person, since trying again would lock an account, or evade what was put there to stop robots.
"""

from __future__ import annotations

from enum import StrEnum

AGAIN = "then `fusion-sync portal again`"
RESEND = "`fusion-sync portal code --resend` has a new one sent; read it in the portal user's mailbox"


class Standing(StrEnum):
    """What keeps us out. `says` and `hint` are for people."""

    REFUSED = "refused"
    LOCKED = "locked"
    EXPIRED = "expired"
    CODE = "code"
    CODE_REFUSED = "code_refused"
    CAPTCHA = "captcha"
    BLOCKED = "blocked"
    TERMS = "terms"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"
    UNANSWERED = "unanswered"

    @property
    def says(self) -> str:
        """What is the matter."""
        return _TEXTS[self][0]

    @property
    def hint(self) -> str:
        """Who does what."""
        return _TEXTS[self][1]

    @property
    def ends_by_itself(self) -> bool:
        """Whether it is worth looking again without anybody having done anything."""
        return self is Standing.MAINTENANCE

    @property
    def is_a_surprise(self) -> bool:
        """Whether somebody will want to see what was on the page."""
        return self in (Standing.CAPTCHA, Standing.BLOCKED, Standing.TERMS, Standing.UNKNOWN)


_TEXTS: dict[Standing, tuple[str, str]] = {
    Standing.REFUSED: (
        "the portal does not accept the e-mail address or the password",
        "set PORTAL_PASSWORD to the right one and restart; this one is not tried again, so that no account is locked",
    ),
    Standing.LOCKED: ("the portal account is locked", f"an administrator of the portal unlocks it; {AGAIN}"),
    Standing.EXPIRED: (
        "the password of the portal account has expired",
        "set PORTAL_NEW_PASSWORD, stop the worker, and run `fusion-sync portal rotate`",
    ),
    Standing.CODE: (
        "the portal waits for a log-in code",
        "read it in the portal user's mailbox, then `fusion-sync portal code 123456`; `--resend` asks for a new one",
    ),
    Standing.CODE_REFUSED: (
        "the portal does not accept the code of PORTAL_TOTP_SECRET",
        f"correct the secret, or this host's clock; {AGAIN}",
    ),
    Standing.CAPTCHA: (
        "the portal asks for a human (CAPTCHA)",
        f"log in once by hand as this user, and ask the vendor to let it in; {AGAIN}",
    ),
    Standing.BLOCKED: ("the portal has blocked us", f"ask the vendor why, and do not try around it; {AGAIN}"),
    Standing.TERMS: (
        "the portal asks for consent to its terms",
        f"whoever may do so reads and accepts them as this user; {AGAIN}",
    ),
    Standing.MAINTENANCE: ("the portal is under maintenance", "wait; it is looked at again by itself"),
    Standing.UNKNOWN: (
        "the log-in leads to a page that we do not know",
        f"log in once by hand as this user and see what it says; {AGAIN}",
    ),
    Standing.UNANSWERED: (
        "a log-in was cut off before the portal had answered, so that the password may be wrong",
        f"see that PORTAL_PASSWORD is right, {AGAIN}",
    ),
}
