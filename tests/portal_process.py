"""A process of its own that reads one chart and stays until it is killed; arguments: see `main`."""

import asyncio
import sys
from pathlib import Path

from portal_people import BROWSER
from pydantic import SecretStr

from fusion.account import KeptAccount
from fusion.browser import WebPortal
from fusion.pages.pack_file import load_pack
from fusion.pages.patience import Patience
from listener.database import Database
from listener.errors import SyncError


async def main(url: str, database: str, key: str, password: str, folder: str, chart: str) -> None:
    """Say `read`, or the error, as one line; then wait to be killed."""
    secret = SecretStr(password)
    db = Database(database)
    memory = KeptAccount(db, "the robot", secret, [key])
    async with WebPortal(
        url=url,
        username="robot@example.com",
        password=secret,
        pack=load_pack("fusion_web"),
        evidence=Path(folder),
        executable=BROWSER,
        patience=Patience(page=15.0, action=5.0, save=5.0),
        memory=memory,
    ) as portal:
        try:
            said = "read" if await portal.read(chart) else "missing"
        except SyncError as error:
            said = str(error)
        print(said, flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
