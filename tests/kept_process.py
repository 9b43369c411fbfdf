"""A process with a person's log-in and many tasks, to be started, and killed, by a test.

It says `ready` once it has a token, waits for a line, and then lets twenty tasks call Salesforce with it. At the end it
says how often it called the token endpoint, and whether every task got through.
"""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp

from listener.database import Database
from listener.login import Login
from listener.sealed import Sealed
from listener.settings import SalesforceSettings
from listener.token_endpoint import Token
from listener.tokens import KeptLogin

TASKS = 20


async def works(token: Token) -> bool:
    """Whether Salesforce takes it."""
    headers = {"Authorization": f"Bearer {token.access_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{token.instance_url}/services/data/v66.0/limits") as answer,
    ):
        return answer.status == 200


async def main(database: str, key: str, settings: dict[str, str]) -> None:
    salesforce = SalesforceSettings(auth="web", **settings)
    db = Database(database)
    login = Login(salesforce, kept=KeptLogin(db, Sealed([key]), salesforce))
    first = await login.token()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def one() -> bool:
        if await works(first):
            return True
        login.refuse(first)
        return await works(await login.token())

    through = await asyncio.gather(*(one() for _ in range(TASKS)))
    print(json.dumps({"calls": login.calls, "through": all(through)}), flush=True)
    await login.close()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
