"""A stand-in portal with a few charts, and a client of its JSON interface."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from fusion.standin.server import StandInPortal

EMAIL, PASSWORD = "robot@example.com", "Right-horse-7"

ADA = {
    "id": "10230001",
    "Patient": {
        "First Name": "Ada",
        "Middle Name": "June",
        "Last Name": "Sample",
        "Birthdate": "03/04/2019",
        "Gender": "Female",
        "Referred By": "Dr. Example",
    },
    "Contacts": [{"Name": "Rosa Sample", "Relationship": "Mother", "State": "NC", "Phone": "(919) 555-0123"}],
    "Payers": [{"Insurance Type": "Medicaid", "Payer": "Carolina Medicaid", "ID Number": "CM-1001"}],
    "Notes": [{"Note": "Typed by staff."}],
}
ZOE = {"id": "10230002", "Patient": {"First Name": "Zoë", "Last Name": "Smith-Lee", "Birthdate": "11/30/2017"}}


class Client:
    """The page's side of the JSON interface, without the page."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self.http.request(method, self.url + path, json=body) as response:
            return response.status, await response.json()

    async def log_in(self, password: str = PASSWORD) -> tuple[int, Any]:
        return await self.call("POST", "/api/login", {"email": EMAIL, "password": password})

    async def found(self, query: str, page: int = 1) -> list[str]:
        async with self.http.get(self.url + "/api/patients", params={"search": query, "page": page}) as response:
            return [hit["id"] for hit in (await response.json())["results"]]

    async def save(self, chart_id: str, **values: str) -> tuple[int, Any]:
        return await self.call("PUT", f"/api/patients/{chart_id}/Patient", {"values": named(values)})

    async def create(self, *, anyway: bool = False, **values: str) -> tuple[int, Any]:
        return await self.call("POST", "/api/patients", {"values": named(values), "anyway": anyway})


def named(values: dict[str, str]) -> dict[str, str]:
    """first_name="x" -> {"First Name": "x"}"""
    return {key.replace("_", " ").title(): value for key, value in values.items()}


def a_portal(**knobs: Any) -> StandInPortal:
    return StandInPortal(**{"users": {EMAIL: PASSWORD}, "seed_charts": [ADA, ZOE]} | knobs)


@pytest.fixture
async def portal() -> AsyncIterator[StandInPortal]:
    async with a_portal() as portal:
        yield portal


@pytest.fixture
def make_client() -> Any:
    """make_client(portal) as an async context manager: a browser of its own."""
    return _client


class _client:
    def __init__(self, portal: StandInPortal) -> None:
        self.portal = portal

    async def __aenter__(self) -> Client:
        # The usual jar keeps no cookies of bare addresses.
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        return Client(self.http, self.portal.url)

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()


@pytest.fixture
async def client(portal: StandInPortal) -> AsyncIterator[Client]:
    """A client that is logged in."""
    async with _client(portal) as client:
        assert (await client.log_in())[0] == 200
        yield client


@pytest.fixture
def make_portal() -> Any:
    """make_portal(**knobs): like `portal`, with other knobs; not started."""
    return a_portal
