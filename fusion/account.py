"""One portal user as all processes know it: which password was tried, why the door is shut, the code, the profile.

A password is known by a salted scrypt digest that a key of FUSION_SYNC_KEY is mixed into, so that the database alone
does not help to guess it. Any key of the list will do, so that a new key is no new password. Without a key nothing that
opens a door is kept: each process logs in anew, and no code can be given.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import Sequence

import structlog
from pydantic import SecretStr

from fusion.pages.memory import Given, Profile, Shut
from fusion.pages.standing import RESEND, Standing
from listener import portal_account
from listener.database import Database
from listener.errors import SetupError
from listener.portal_account import NOW, Account
from listener.sealed import Sealed

log = structlog.get_logger(__name__)

_COST = 2**14  # about 50 ms and 16 MB a guess on the machines of 2026
_GONE = "the page that asked for a log-in code is gone"
_OPEN = dict.fromkeys(("standing", "said", "hint", "shut_at"))
_NO_LONGER = dict.fromkeys(("asked_at", "code", "given_at"))


class KeptAccount:
    """`fusion.pages.memory.Memory` over the database. Only who holds the log-in may use it."""

    def __init__(self, db: Database, name: str, password: SecretStr, keys: Sequence[str]) -> None:
        """*name*: see `fusion.settings.PortalSettings.holding`. *keys*: the newest first; may be none."""
        self._db = db
        self._name = name
        self._password = password
        self._keys = keys
        self._sealed = Sealed(keys) if keys else None
        self._kept: bytes | None = None

    async def recall(self) -> Shut | None:
        """Why the password may not be typed. One that was never tried begins a story of its own."""
        account = await self.account()
        if account is None or not await self.is_known_by(account.password):
            return await self._begin(account)
        if account.standing is not None:
            return Shut(Standing(account.standing), says=account.said, hint=account.hint)
        # One that was good before is given a second chance: it was mostly a process that was killed.
        if account.tries >= (2 if account.used_from else 1):
            return Shut(Standing.UNANSWERED)
        if account.asked_at is None:
            return None
        if account.given_at is None or account.code is not None:
            await self._put(code=None, given_at=None)
            return Shut(Standing.CODE, says=_GONE, hint=RESEND)
        # A person sits at the mailbox: logging in anew has one sent.
        await self._put(**_NO_LONGER)
        return None

    async def trying(self) -> None:
        """The password is about to be typed: committed before it is."""
        async with self._db.at_once() as tx:
            await portal_account.begin_try(tx, self._name)

    async def accepted(self) -> None:
        """The portal took it."""
        async with self._db.at_once() as tx:
            await portal_account.accepted(tx, self._name)

    async def not_judged(self) -> None:
        """The portal answered, and said nothing about the password."""
        async with self._db.at_once() as tx:
            await portal_account.end_try(tx, self._name)

    async def shut(self, why: Shut) -> None:
        """Until `fusion-sync portal again`, or another password."""
        await self._put(standing=why.standing.value, said=str(why), hint=why.hint, shut_at=NOW, tries=0)

    async def asked(self) -> None:
        """A log-in waits for a code, from now on."""
        await self._put(**_NO_LONGER | {"asked_at": NOW})

    async def given(self) -> Given | None:
        """What a person gave, once. The page that waits for it knows how long it is good."""
        account = await self.account()
        if account is None or account.given_at is None:
            return None
        await self._put(code=None, given_at=None)
        if account.code is None or self._sealed is None:
            return Given(code=None)
        return Given(code=SecretStr(self._sealed.open(account.code).decode()))

    async def answered(self) -> None:
        """No log-in waits for a code any more."""
        await self._put(**_NO_LONGER)

    async def profile(self) -> Profile | None:
        """The browser as it was left; None if nothing was kept, or it cannot be opened any more."""
        account = await self.account()
        if self._sealed is None:
            log.warning("the browser's profile is not kept", hint="set FUSION_SYNC_KEY: each start is a new browser")
            return None
        if account is None or account.profile is None:
            return None
        try:
            self._kept = self._sealed.open(account.profile)
        except SetupError as error:
            log.warning("the browser's profile cannot be opened", why=str(error), hint=error.hint)
            return None
        return Profile(**json.loads(self._kept))

    async def keep(self, profile: Profile) -> None:
        """Keep it if anything in it is new."""
        body = json.dumps({"storage": profile.storage, "session": profile.session}, sort_keys=True).encode()
        if self._sealed is None or body == self._kept:
            return
        await self._put(profile=self._sealed.seal(body), profile_at=NOW)
        self._kept = body

    async def renew_digest(self) -> bool:
        """Have the password known by the newest key, so that an older one can go; whether that was needed.

        A password that no key knows any more would be one that was never tried: its age, and a refusal, are forgotten.
        """
        account = await self.account()
        if account is None or not self._keys or await self._knows(account.password, self._keys[:1]):
            return False
        if not await self.is_known_by(account.password):
            return False
        await self._put(password=await self.digest())
        return True

    async def about_to_change(self, new: KeptAccount) -> None:
        """The portal is about to be told the password of *new*, the same user: committed before it is."""
        await self._put(next_password=await new.digest(), next_at=NOW)

    async def not_changed(self) -> None:
        """It surely was not."""
        await self._put(next_password=None, next_at=None)

    async def changed(self, new: KeptAccount) -> None:
        """It surely was: from now on ours is the one before."""
        await self._put(
            password=await new.digest(),
            last_password=await self.digest(),
            used_from=NOW,
            tries=0,
            next_password=None,
            next_at=None,
            **_OPEN,
            **_NO_LONGER,
        )

    async def forgive(self, standing: Standing) -> None:
        """Open the door if it is shut for just that reason."""
        account = await self.account()
        if account is not None and account.standing == standing.value:
            await self._put(**_OPEN)

    async def account(self) -> Account | None:
        """The row."""
        async with self._db.reading() as tx:
            return await portal_account.read(tx, self._name)

    async def is_known_by(self, digest: str | None) -> bool:
        """Whether that digest was made of our password."""
        return await self._knows(digest, self._keys or [""])

    async def _knows(self, digest: str | None, keys: Sequence[str]) -> bool:
        if digest is None:
            return False
        salt, _, expected = digest.partition("$")
        for key in keys:
            found = await asyncio.to_thread(_digest, self._password, bytes.fromhex(salt), key)
            if hmac.compare_digest(found, expected):
                return True
        return False

    async def digest(self) -> str:
        """`salt$digest` of our password."""
        salt, key = os.urandom(16), (self._keys or [""])[0]
        return f"{salt.hex()}${await asyncio.to_thread(_digest, self._password, salt, key)}"

    async def _begin(self, before: Account | None) -> Shut | None:
        if before is not None and await self.is_known_by(before.last_password):
            says = f"PORTAL_PASSWORD is the one before, which was replaced on {before.used_from:%Y-%m-%d}"
            return Shut(Standing.REFUSED, says=says, hint="set PORTAL_PASSWORD to the new one and restart")
        await self._put(
            password=await self.digest(),
            used_from=None,
            tries=0,
            next_password=None,
            next_at=None,
            **_OPEN,
            **_NO_LONGER,
        )
        return None

    async def _put(self, **values: object) -> None:
        async with self._db.at_once() as tx:
            await portal_account.put(tx, self._name, **values)


def _digest(password: SecretStr, salt: bytes, key: str) -> str:
    peppered = hmac.digest(key.encode(), salt, "sha256")
    return hashlib.scrypt(password.get_secret_value().encode(), salt=peppered, n=_COST, r=8, p=1).hex()
