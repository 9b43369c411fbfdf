"""A running stand-in org, and its users logged in."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from org_caller import Caller

from listener.standin import StandInOrg
from listener.standin.people import new_private_key


@pytest.fixture(scope="session")
def private_key() -> str:
    """One RSA key for the whole run: making one takes longer than most tests."""
    return new_private_key()


@pytest.fixture
async def org(private_key: str) -> AsyncIterator[StandInOrg]:
    async with StandInOrg(poll_seconds=0.4, session_seconds=10.0, private_key=private_key) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def worker(org: StandInOrg, http: aiohttp.ClientSession) -> Caller:
    """The integration user, logged in; with the administrator's permission set too, so that it may do what a test asks.

    What the package's users may not do, test_org_access tells.
    """
    org.control.assign("integration", "Fusion_Sync_Integration", "Fusion_Sync_Listener", "Fusion_Sync_Admin")
    return await Caller(org, http, org.integration).log_in()


@pytest.fixture
async def front_desk(org: StandInOrg, http: aiohttp.ClientSession) -> Caller:
    """The intake user, logged in; may not view encrypted data."""
    return await Caller(org, http, org.intake).log_in()


@pytest.fixture
async def admin(org: StandInOrg, http: aiohttp.ClientSession) -> Caller:
    """The system administrator, logged in."""
    return await Caller(org, http, org.admin).log_in()
