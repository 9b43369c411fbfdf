"""The person's errand in the browser: only the answer to this very errand is taken, and what is wrong is said."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from org_rig import free_callback, settings_for, stand_in

from listener.authorize import Errand, caught, code_in, errand, exchanged
from listener.errors import SetupError
from listener.settings import SalesforceSettings
from listener.standin import StandInOrg
from listener.standin.faults import Fault
from listener.token_endpoint import TokenEndpoint


@pytest.fixture
def callback() -> str:
    return free_callback()


@pytest.fixture
async def org(callback: str) -> AsyncIterator[StandInOrg]:
    async with stand_in(redirect_uris=frozenset({callback})) as standing:
        standing.control.auto_approve("integration")
        yield standing


@pytest.fixture
def settings(org: StandInOrg, callback: str) -> SalesforceSettings:
    return settings_for(org, auth="web", callback_url=callback)


@pytest.fixture
async def endpoint(org: StandInOrg) -> AsyncIterator[TokenEndpoint]:
    found = TokenEndpoint(org.url, timeout=5)
    yield found
    await found.close()


async def went(url: str) -> tuple[int, str]:
    """Where a browser arrives: status and text of the last page."""
    async with aiohttp.ClientSession() as http, http.get(url) as page:
        return page.status, await page.text()


async def test_a_click_on_allow_leads_to_a_grant_of_the_one_who_clicked(
    org: StandInOrg, settings: SalesforceSettings, endpoint: TokenEndpoint
) -> None:
    mine = errand(settings, login_url=org.url)
    waiting = asyncio.create_task(caught(mine, seconds=10))
    await asyncio.sleep(0.1)
    assert (await went(mine.url))[0] == 200
    grant = await exchanged(mine, await waiting, endpoint=endpoint, settings=settings)
    assert (grant.token.user_id, grant.token.org_id) == (org.people["integration"].id, org.org_id)
    with pytest.raises(OSError, match="onnect"):
        await went(mine.callback)  # nobody listens there any more


async def test_what_answers_somebody_elses_errand_ends_nothing_and_is_not_taken(
    org: StandInOrg, settings: SalesforceSettings
) -> None:
    mine = errand(settings, login_url=org.url)
    waiting = asyncio.create_task(caught(mine, seconds=10))
    await asyncio.sleep(0.1)
    for forged in ({"code": "theirs", "state": "theirs"}, {"code": "theirs"}, {"error": "access_denied"}):
        assert (await went(f"{mine.callback}?{urlencode(forged)}"))[0] == 400
    assert not waiting.done()
    await went(mine.url)
    assert (await waiting).startswith("aPrx")


async def test_a_no_is_told_with_what_to_do(org: StandInOrg, settings: SalesforceSettings) -> None:
    mine = errand(settings, login_url=org.url)
    waiting = asyncio.create_task(caught(mine, seconds=10))
    await asyncio.sleep(0.1)
    refused = {"state": mine.state, "error": "access_denied", "error_description": "canary 912-34-5678"}
    await went(f"{mine.callback}?{urlencode(refused)}")
    with pytest.raises(SetupError, match="access_denied") as told:
        await waiting
    assert "permission set" in told.value.hint
    assert "canary" not in f"{told.value} {told.value.hint}"


async def test_nobody_who_comes_is_not_waited_for_for_ever(org: StandInOrg, settings: SalesforceSettings) -> None:
    with pytest.raises(SetupError, match="nobody logged in"):
        await caught(errand(settings, login_url=org.url), seconds=0.2)


async def test_a_taken_port_is_told_with_the_way_around(org: StandInOrg, settings: SalesforceSettings) -> None:
    mine = errand(settings, login_url=org.url)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", urlsplit(mine.callback).port or 0))
        taken.listen()
        with pytest.raises(SetupError, match="cannot wait") as told:
            await caught(mine, seconds=5)
    assert "--no-browser" in told.value.hint


async def test_a_callback_elsewhere_is_for_pasting(org: StandInOrg) -> None:
    elsewhere = settings_for(org, auth="web", callback_url="https://clinic.example.com/callback")
    with pytest.raises(SetupError) as told:
        await caught(errand(elsewhere, login_url=org.url), seconds=5)
    assert "--no-browser" in told.value.hint


async def test_every_errand_has_secrets_of_its_own_and_asks_for_least(
    org: StandInOrg, settings: SalesforceSettings
) -> None:
    one, other = errand(settings, login_url=org.url), errand(settings, login_url=org.url)
    assert {one.state, one.verifier}.isdisjoint({other.state, other.verifier})
    asked = {name: values[0] for name, values in parse_qs(urlsplit(one.url).query).items()}
    assert (asked["scope"], asked["code_challenge_method"], asked["prompt"]) == ("api refresh_token", "S256", "login")
    assert one.verifier not in one.url


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "not the answer"),
        ({"state": "other", "code": "x"}, "not the answer"),
        ({"state": "mine"}, "no code"),
        ({"state": "mine", "error": "invalid_scope"}, "invalid_scope"),
        ({"state": "mine", "error": "CANARY"}, "an unknown error"),
    ],
)
def test_a_pasted_address_that_is_no_good_is_refused_in_one_sentence(query: dict[str, str], says: str) -> None:
    mine = Errand(url="", callback="http://localhost:1/x", state="mine", verifier="v")
    with pytest.raises(SetupError, match=says) as told:
        code_in(mine, f"http://localhost:1/x?{urlencode(query)}")
    assert "CANARY" not in f"{told.value} {told.value.hint}"
    assert code_in(mine, " http://localhost:1/x?code=abc%3D%3D&state=mine\n") == "abc=="


async def test_a_code_is_good_once_and_for_its_own_verifier(
    org: StandInOrg, settings: SalesforceSettings, endpoint: TokenEndpoint
) -> None:
    mine, other = errand(settings, login_url=org.url), errand(settings, login_url=org.url)
    async with aiohttp.ClientSession() as http, http.get(mine.url, allow_redirects=False) as answer:
        code = code_in(mine, answer.headers["Location"])
    with pytest.raises(SetupError):
        await exchanged(other, code, endpoint=endpoint, settings=settings)
    with pytest.raises(SetupError, match="does not take the code"):
        await exchanged(mine, code, endpoint=endpoint, settings=settings)


async def test_an_app_that_gives_no_refresh_token_is_found_out_at_once(
    org: StandInOrg, settings: SalesforceSettings, endpoint: TokenEndpoint
) -> None:
    body = (
        f'{{"access_token": "t", "instance_url": "{org.url}", '
        f'"id": "{org.url}/id/{org.org_id}/{org.people["integration"].id}"}}'
    )
    org.control.faults.add(Fault(path="/services/oauth2/token", status=200, body=body, content_type="application/json"))
    with pytest.raises(SetupError, match="no refresh token") as told:
        await exchanged(errand(settings, login_url=org.url), "c", endpoint=endpoint, settings=settings)
    assert "scope" in told.value.hint
