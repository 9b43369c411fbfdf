"""What a log-in meets beside its password, each thing switched on by the control endpoint and off at the start.

Codes by e-mail or text live ten minutes, and are asked for on every new browser and after a change of password (F2,
F3); the help shows no authenticator app, other portals have one. Passwords expire after 90 days, the last ten are
barred, and each needs letters, a digit, a capital and a special character (F4). CAPTCHA, blocks, terms and maintenance
pages are not documented: they are what other portals show.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from fusion.totp import code_at

CODE_LIFE = timedelta(minutes=10)
REMEMBERED = 10
TOTP_SECRET = "JBSWY3DPEHPK3PXP"  # noqa: S105 - the example of the otpauth format, of a made-up user

Codes = Literal["off", "email", "totp"]


class Need(StrEnum):
    """What a log-in still lacks after the right password, in the order in which it is asked for."""

    CODE = "code"
    NEW_PASSWORD = "expired"  # noqa: S105 - a state
    TERMS = "terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A code on its way to a user; `text` is what the control endpoint shows, as a mailbox would."""

    email: str
    text: str
    until: datetime


@dataclass(slots=True)
class Doorway:
    """The switches, the mails that were sent, and the browsers that gave a code before."""

    clock: Callable[[], datetime]
    codes: Codes = "off"
    terms: bool = False
    captcha: bool = False
    blocked: bool = False
    maintenance: int = 0  # the status that every page answers with; 0: none
    maintenance_text: float = 0.0  # seconds until its text follows its head
    one_session: bool = False
    window_bound: bool = False
    expired: set[str] = field(default_factory=set)
    mails: list[Mail] = field(default_factory=list)
    _devices: set[str] = field(default_factory=set)

    def needs(self, email: str, device: str | None) -> list[Need]:
        """What this user's log-in lacks in a browser that says it is *device*."""
        wanted = {
            Need.CODE: self.codes != "off" and device not in self._devices,
            Need.NEW_PASSWORD: email.casefold() in self.expired,
            Need.TERMS: self.terms,
        }
        return [need for need, asked in wanted.items() if asked]

    def send(self, email: str) -> bool:
        """Send a new code, which makes the one before worthless; False where an app makes them."""
        if self.codes != "email":
            return False
        self.mails = [mail for mail in self.mails if mail.email != email]
        self.mails.append(Mail(email=email, text=f"{secrets.randbelow(10**6):06}", until=self.clock() + CODE_LIFE))
        return True

    def code_for(self, email: str) -> str | None:
        """What the user reads in the mailbox or the app; None where nothing was sent."""
        if self.codes == "totp":
            return code_at(TOTP_SECRET, self.clock())
        return next((mail.text for mail in self.mails if mail.email == email), None)

    def accepts(self, email: str, code: str) -> bool:
        """Whether that is the code of now; one that was mailed is good once."""
        if self.codes == "totp":
            return code in {code_at(TOTP_SECRET, self.clock() + timedelta(seconds=off)) for off in (-30, 0, 30)}
        for mail in self.mails:
            if mail.email == email and secrets.compare_digest(mail.text.encode(), code.encode()):
                self.mails.remove(mail)
                return self.clock() < mail.until
        return False

    def remember(self) -> str:
        """The name of a browser that is not asked again."""
        device = secrets.token_urlsafe(16)
        self._devices.add(device)
        return device

    def forget_devices(self) -> None:
        """All browsers are new again: a password was changed, or the days between two codes are over."""
        self._devices.clear()


def is_weak(password: str) -> bool:
    """Whether the portal refuses it as a new password."""
    classes = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
    return len(password) < 8 or not all(any(is_one(letter) for letter in password) for is_one in classes)
