"""The portal's password is changed, and which one is good is found out with one attempt each, whatever was cut off."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from portal_people import PACK, PASSWORD, USERNAME, web_portal
from pydantic import SecretStr

from fusion.account import KeptAccount
from fusion.doorbell import give_code
from fusion.pages.standing import Standing
from fusion.rotation import User, rotate
from fusion.standin.server import StandInPortal
from listener.database import Database
from listener.errors import EntryError, SetupError
from listener.sealed import Sealed

pytestmark = [pytest.mark.browser]
KEY, NAME, NEW = Fernet.generate_key().decode(), "the robot", "Brand-new-horse-2"


@dataclass(slots=True)
class Scene:
    standin: StandInPortal
    db: Database
    folder: Path
    said: list[str]

    def user(self, password: str) -> User:
        secret = SecretStr(password)
        account = KeptAccount(self.db, NAME, secret, [KEY])
        return User(
            password=secret,
            account=account,
            portal=lambda: web_portal(self.standin, self.folder, password=password, memory=account),
        )

    async def rotate(self, *, old: str = PASSWORD, new: str = NEW) -> str:
        return await rotate(self.user(old), self.user(new), PACK, say=self.said.append, look=0.1)

    async def logs_in(self, password: str) -> bool:
        async with self.user(password).portal() as portal:
            await portal.enter()
        return True

    def count(self, kind: str) -> int:
        return len(self.standin.ledger.lines(kind=kind))


@pytest.fixture
async def scene(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Scene]:
    path = tmp_path / "outbox.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    db = Database(f"sqlite:///{path}")
    async with StandInPortal() as standin:
        yield Scene(standin=standin, db=db, folder=tmp_path / "pages", said=[])
    await db.close()


async def test_a_password_is_changed_and_the_old_one_is_known_to_be_over(scene: Scene) -> None:
    assert "has the new password" in await scene.rotate()
    assert (scene.count("password_changed"), scene.count("login_failed")) == (1, 0)
    shut = await scene.user(PASSWORD).account.recall()
    assert shut is not None
    assert shut.standing is Standing.REFUSED
    assert "was replaced on" in str(shut)
    assert await scene.logs_in(NEW)
    assert scene.count("login_failed") == 0


async def test_an_expired_password_is_changed_on_the_page_that_asks_for_it(scene: Scene) -> None:
    scene.standin.control.expire_password(USERNAME)
    with pytest.raises(Exception, match="has expired"):
        await scene.logs_in(PASSWORD)
    assert "has the new password" in await scene.rotate()
    assert [line.about["expired"] for line in scene.standin.ledger.lines(kind="password_changed")] == [True]
    assert scene.count("login_failed") == 0


@pytest.mark.parametrize("committed", [True, False])
async def test_a_change_whose_answer_was_lost_is_found_out(scene: Scene, committed: bool) -> None:
    fault = {"cut": True, "after_commit": True} if committed else {"status": 500}
    scene.standin.control.fault(kind="password", **fault)
    with pytest.raises(EntryError, match="nothing says whether"):
        await scene.rotate()
    said = await scene.rotate()
    assert ("already" in said) is committed
    assert scene.count("password_changed") == 1
    # The old one was tried once more where it had been replaced, the new one never in vain.
    assert scene.count("login_failed") == int(committed)
    assert await scene.logs_in(NEW)


async def test_a_new_password_that_the_portal_does_not_take_changes_nothing(scene: Scene) -> None:
    with pytest.raises(SetupError, match="lacks what the portal asks for"):
        await scene.rotate(new="onlysmall")
    assert await scene.rotate()
    with pytest.raises(EntryError, match="does not accept the new password"):
        await scene.rotate(old=NEW, new=PASSWORD)  # one of the last ten
    assert scene.count("password_changed") == 1
    assert await scene.logs_in(NEW)


async def test_a_code_on_the_way_is_waited_for(scene: Scene) -> None:
    scene.standin.control.door(codes="email")

    async def person() -> None:
        while (code := scene.standin.control.code(USERNAME)) is None or not scene.said:
            await asyncio.sleep(0.05)
        async with scene.db.writing() as tx:
            await give_code(tx, NAME, code, life=PACK.code_life, sealed=Sealed([KEY]), actor="dana")

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(person())
        assert "has the new password" in await scene.rotate()
    assert scene.said == [f"{Standing.CODE.says}: {Standing.CODE.hint}"]
    assert (scene.count("code_accepted"), scene.count("password_changed")) == (1, 1)
