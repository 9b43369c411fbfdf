"""What a door must know of its user when the process starts anew, and how it says that it is shut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import SecretStr

from fusion.pages.standing import Standing
from listener.errors import Outage


class Shut(Outage):
    """The door does not open, for a reason that has a name."""

    def __init__(self, standing: Standing, *, says: str | None = None, hint: str | None = None) -> None:
        super().__init__(says or standing.says, hint=standing.hint if hint is None else hint)
        self.standing = standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a person gave for a log-in that waits: the code, or None to have a new one sent."""

    code: SecretStr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A browser as the portal knows it again. `storage`: cookies and local storage, in Playwright's form; `session`:
    the page's session storage."""

    storage: dict[str, Any] = field(repr=False)
    session: Mapping[str, str] = field(repr=False)


class Memory(Protocol):
    """What must be known of this user and this password when the process starts anew."""

    async def recall(self) -> Shut | None:
        """Why the password may not be typed; None if it may."""
        ...

    async def trying(self) -> None:
        """The password is about to be typed."""
        ...

    async def accepted(self) -> None:
        """The portal took it."""
        ...

    async def not_judged(self) -> None:
        """The portal answered, and said nothing about the password."""
        ...

    async def shut(self, why: Shut) -> None:
        """Only a person opens again."""
        ...

    async def asked(self) -> None:
        """A log-in waits for a code, from now on."""
        ...

    async def given(self) -> Given | None:
        """What a person gave for it, once: it is forgotten with that."""
        ...

    async def answered(self) -> None:
        """No log-in waits for a code any more."""
        ...

    async def profile(self) -> Profile | None:
        """The browser as it was left; None for a new one."""
        ...

    async def keep(self, profile: Profile) -> None:
        """The browser as it is to be found again. It opens the portal without a password."""
        ...


class Forgetful:
    """The memory of one process alone, for a portal that is looked at once."""

    def __init__(self) -> None:
        self._shut: Shut | None = None

    async def recall(self) -> Shut | None:
        """See `Memory`; so for the others."""
        return self._shut

    async def trying(self) -> None:
        """Nothing: who ends now forgets it anyway."""

    async def accepted(self) -> None:
        """The password is good."""

    async def not_judged(self) -> None:
        """Nothing."""

    async def shut(self, why: Shut) -> None:
        """Until the process ends."""
        self._shut = why

    async def asked(self) -> None:
        """Nothing."""

    async def given(self) -> Given | None:
        """Nobody can give anything."""
        return None

    async def answered(self) -> None:
        """Nothing."""

    async def profile(self) -> Profile | None:
        """A new browser each time."""
        return None

    async def keep(self, profile: Profile) -> None:
        """Nothing."""
