"""The token endpoint: three ways in, and the words with which it refuses."""

import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from org_caller import JWT_BEARER, Caller

from listener.standin import StandInOrg
from listener.standin.people import new_private_key

VERIFIER = "a-verifier-that-is-long-enough-for-the-rules-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = "http://localhost:1717/OauthRedirect"


async def authorize(caller: Caller, **changed: str) -> tuple[int, dict[str, list[str]]]:
    """Status of the authorize page and what it hands back in the redirect."""
    asked = {
        "response_type": "code",
        "client_id": caller.who.client_id,
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "xyz",
    }
    url = f"{caller.org.url}/services/oauth2/authorize?{urlencode(asked | changed)}"
    async with caller.http.get(url, allow_redirects=False) as answer:
        return answer.status, parse_qs(urlsplit(answer.headers.get("Location", "")).query)


async def exchange(caller: Caller, code: str, **changed: str) -> tuple[int, dict[str, str]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": caller.who.client_id,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return await caller.grant(**(form | changed))


async def test_a_signed_assertion_gives_a_token_that_rest_accepts(worker: Caller) -> None:
    status, answer = await worker.grant(grant_type=JWT_BEARER, assertion=worker.assertion())
    assert (status, answer["token_type"], answer["instance_url"]) == (200, "Bearer", worker.org.url)
    assert answer["access_token"].startswith(worker.org.org_id[:15] + "!")
    assert "refresh_token" not in answer
    worker.token = answer["access_token"]
    status, body = await worker.call("GET", "limits")
    assert (status, "DailyApiRequests" in body) == (200, True)


async def test_an_assertion_signed_with_another_key_is_refused(worker: Caller) -> None:
    forged = worker.assertion(key=new_private_key())
    assert await worker.grant(grant_type=JWT_BEARER, assertion=forged) == (
        400,
        {"error": "invalid_grant", "error_description": "invalid assertion"},
    )


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"iss": "someone else"}, "invalid_client_id", "client identifier invalid"),
        ({"aud": "https://example.com"}, "invalid_grant", "audience is invalid"),
        ({"exp": int(time.time()) - 10}, "invalid_grant", "expired authorization code"),
        ({"exp": int(time.time()) + 3600}, "invalid_grant", "expired authorization code"),
        ({"exp": int(time.time() - 600) * 1000}, "invalid_grant", "expired authorization code"),
        ({"exp": int(time.time() + 3600) * 1000}, "invalid_grant", "expired authorization code"),
        ({"sub": "intake@clinic.example.com"}, "invalid_grant", "user hasn't approved this consumer"),
    ],
)
async def test_an_assertion_with_a_wrong_claim_is_refused(
    worker: Caller, claims: dict[str, Any], error: str, description: str
) -> None:
    status, body = await worker.grant(grant_type=JWT_BEARER, assertion=worker.assertion(**claims))
    assert (status, body) == (400, {"error": error, "error_description": description})
    assert worker.org.ledger.of("token", status=400)[-1]["error"] == error


async def test_an_assertion_that_ends_in_milliseconds_as_the_cli_writes_it_is_taken(worker: Caller) -> None:
    as_sf_does = worker.assertion(exp=int(time.time() * 1000) + 300)
    status, answer = await worker.grant(grant_type=JWT_BEARER, assertion=as_sf_does)
    assert (status, answer["token_type"]) == (200, "Bearer")


async def test_client_credentials_act_as_the_run_as_user(org: StandInOrg, http: aiohttp.ClientSession) -> None:
    caller = Caller(org, http, org.intake)
    who = {"grant_type": "client_credentials", "client_id": org.intake.client_id}
    status, body = await caller.grant(**who, client_secret=org.intake.client_secret)
    assert (status, body["token_type"], body["instance_url"]) == (200, "Bearer", org.url)
    caller.token = body["access_token"]
    _, me = await caller.call("GET", "/services/oauth2/userinfo")
    assert (me["username"], me["organization_id"]) == ("intake@clinic.example.com", org.org_id)
    assert (await caller.grant(**who, client_secret="wrong"))[1]["error"] == "invalid_client"
    assert (await caller.grant(**who))[1]["error"] == "invalid_client"


async def test_a_browser_log_in_with_pkce_gives_a_token_that_can_be_refreshed(worker: Caller) -> None:
    worker.org.control.auto_approve("integration")
    status, back = await authorize(worker)
    assert (status, back["state"]) == (302, ["xyz"])
    status, first = await exchange(worker, back["code"][0])
    assert status == 200
    status, second = await worker.grant(
        grant_type="refresh_token", client_id=worker.who.client_id, refresh_token=first["refresh_token"]
    )
    assert (status, "refresh_token" in second) == (200, False)
    assert second["access_token"] != first["access_token"]
    assert await exchange(worker, back["code"][0]) == (
        400,
        {"error": "invalid_grant", "error_description": "expired authorization code"},
    )


async def test_a_wrong_verifier_spends_the_code_and_gives_nothing(worker: Caller) -> None:
    worker.org.control.auto_approve("integration")
    _, back = await authorize(worker)
    assert (await exchange(worker, back["code"][0], code_verifier="guess"))[1][
        "error_description"
    ] == "invalid code verifier"
    assert (await exchange(worker, back["code"][0]))[0] == 400


async def test_authorize_refuses_without_pkce_and_never_redirects_to_an_unknown_address(worker: Caller) -> None:
    worker.org.control.auto_approve("integration")
    assert (await authorize(worker, code_challenge=""))[1]["error"] == ["invalid_request"]
    assert await authorize(worker, redirect_uri="http://evil.example.com/") == (400, {})
    assert await authorize(worker, client_id="nobody") == (400, {})


async def test_a_person_sees_a_form_and_may_deny(worker: Caller) -> None:
    url = f"{worker.org.url}/services/oauth2/authorize"
    form = {
        "response_type": "code",
        "client_id": worker.who.client_id,
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    async with worker.http.get(url, params=form) as page:
        assert "Allow Access?" in await page.text()
    chosen = {"username": worker.who.username, "decision": "deny"}
    async with worker.http.post(url, data=form | chosen, allow_redirects=False) as answer:
        assert "error=access_denied" in answer.headers["Location"]
    async with worker.http.post(url, data=form | chosen | {"decision": "allow"}, allow_redirects=False) as answer:
        assert "code=" in answer.headers["Location"]


async def test_a_rotating_app_spends_each_refresh_token(private_key: str, http: aiohttp.ClientSession) -> None:
    async with StandInOrg(private_key=private_key, refresh_rotates=True) as org:
        caller = Caller(org, http, org.integration)
        org.control.auto_approve("integration")
        _, back = await authorize(caller)
        _, first = await exchange(caller, back["code"][0])
        form = {"grant_type": "refresh_token", "client_id": caller.who.client_id}
        _, second = await caller.grant(**form, refresh_token=first["refresh_token"])
        assert (await caller.grant(**form, refresh_token=first["refresh_token"]))[1] == {
            "error": "invalid_grant",
            "error_description": "expired access/refresh token",
        }
        assert (await caller.grant(**form, refresh_token=second["refresh_token"]))[0] == 400
        caller.token = second["access_token"]
        assert (await caller.call("GET", "limits"))[0] == 401


async def test_the_refresh_token_is_only_for_who_asks_for_its_scope(worker: Caller) -> None:
    worker.org.control.auto_approve("integration")
    _, back = await authorize(worker, scope="api")
    assert "refresh_token" not in (await exchange(worker, back["code"][0]))[1]
    _, back = await authorize(worker, scope="api refresh_token")
    assert "refresh_token" in (await exchange(worker, back["code"][0]))[1]
    assert (await authorize(worker, scope="api everything"))[1]["error"] == ["invalid_scope"]


async def test_the_sixth_consent_ends_the_first(worker: Caller) -> None:
    worker.org.control.auto_approve("integration")
    given = []
    for _ in range(6):
        _, back = await authorize(worker)
        given.append((await exchange(worker, back["code"][0]))[1]["refresh_token"])
    form = {"grant_type": "refresh_token", "client_id": worker.who.client_id}
    assert [(await worker.grant(**form, refresh_token=one))[0] for one in given] == [400] + [200] * 5


async def test_a_revoked_refresh_token_takes_its_access_tokens_along(worker: Caller) -> None:
    worker.org.control.auto_approve("integration")
    _, back = await authorize(worker)
    _, given = await exchange(worker, back["code"][0])
    worker.token = given["access_token"]
    form = {"token": given["refresh_token"]}
    async with worker.http.post(f"{worker.org.url}/services/oauth2/revoke", data=form) as answer:
        assert answer.status == 200
    assert (await worker.call("GET", "limits"))[0] == 401


async def test_the_username_password_flow_is_off(worker: Caller) -> None:
    status, body = await worker.grant(grant_type="password", username=worker.who.username, password="made up")
    assert (status, body["error"]) == (400, "unsupported_grant_type")


async def test_a_token_ends_by_idleness_by_revocation_and_by_the_lever(
    private_key: str, http: aiohttp.ClientSession
) -> None:
    now = [datetime(2026, 11, 24, 12, tzinfo=UTC)]
    refused = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    async with StandInOrg(private_key=private_key, clock=lambda: now[0]) as org:
        caller = Caller(org, http, org.integration)
        form = {"grant_type": "client_credentials", "client_id": caller.who.client_id}

        async def log_in() -> None:
            caller.token = (await caller.grant(**form, client_secret=caller.who.client_secret))[1]["access_token"]

        await log_in()
        now[0] += timedelta(hours=1, minutes=59)
        assert (await caller.call("GET", "limits"))[0] == 200
        now[0] += timedelta(hours=1, minutes=59)  # the call before moved the end
        assert (await caller.call("GET", "limits"))[0] == 200
        now[0] += timedelta(hours=2)
        assert await caller.call("GET", "limits") == (401, refused)
        await log_in()
        async with http.post(f"{org.url}/services/oauth2/introspect", data={"token": caller.token}) as answer:
            assert (await answer.json())["active"] is True
        async with http.post(f"{org.url}/services/oauth2/revoke", data={"token": caller.token}) as answer:
            assert answer.status == 200
        assert (await caller.call("GET", "limits"))[0] == 401
        await log_in()
        org.control.expire_tokens()
        assert (await caller.call("GET", "limits"))[0] == 401


async def test_authorization_may_say_oauth_instead_of_bearer(worker: Caller) -> None:
    headers = {"Authorization": f"OAuth {worker.token}"}
    async with worker.http.get(f"{worker.org.url}/services/data/v66.0/limits", headers=headers) as answer:
        assert answer.status == 200
