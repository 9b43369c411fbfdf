"""A small client that speaks plain HTTP to the stand-in org, as one of its users."""

import time
from typing import Any

import aiohttp
import jwt

from listener.standin import Credentials, StandInOrg

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Caller:
    """Talks to the org as one of its users, by plain HTTP."""

    def __init__(self, org: StandInOrg, http: aiohttp.ClientSession, who: Credentials) -> None:
        self.org = org
        self.http = http
        self.who = who
        self.token = ""
        self.headers: dict[str, str] = {}

    def assertion(self, key: str | None = None, **changed: Any) -> str:
        claims = {
            "iss": self.who.client_id,
            "sub": self.who.username,
            "aud": self.org.url,
            "exp": int(time.time()) + 120,
        }
        return jwt.encode(claims | changed, key or self.who.private_key, algorithm="RS256")

    async def grant(self, **form: str) -> tuple[int, dict[str, Any]]:
        async with self.http.post(f"{self.org.url}/services/oauth2/token", data=form) as answer:
            return answer.status, await answer.json()

    async def log_in(self) -> "Caller":
        who = {"client_id": self.who.client_id, "client_secret": self.who.client_secret}
        status, body = await self.grant(grant_type="client_credentials", **who)
        assert status == 200, body
        self.token = body["access_token"]
        return self

    async def call(self, method: str, path: str, body: object = None, **params: str) -> tuple[int, Any]:
        """Status and JSON (None when there is no body) of one call below /services/data/v66.0 (or of a whole path)."""
        url = self.org.url + (path if path.startswith("/services") else f"/services/data/v66.0/{path}")
        headers = {"Authorization": f"Bearer {self.token}", **self.headers}
        async with self.http.request(method, url, json=body, params=params, headers=headers) as answer:
            return answer.status, await answer.json() if (await answer.read()) else None

    async def query(self, soql: str) -> list[dict[str, Any]]:
        status, body = await self.call("GET", "query", q=soql)
        assert status == 200, body
        return list(body["records"])

    async def create(self, **values: object) -> str:
        status, body = await self.call("POST", "sobjects/Patient__c", made_up(**values))
        assert status == 201, body
        return str(body["id"])


def made_up(**values: object) -> dict[str, object]:
    """A patient nobody is, who may be made ready."""
    return {"First_Name__c": "Ada", "Last_Name__c": "Sample", "Date_of_Birth__c": "2019-05-01", **values}
