"""One token for everybody, few calls for it, clear words when it is refused, and no secret in any of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from org_rig import settings_for, stand_in

from listener.errors import Outage, SetupError
from listener.login import Login, audiences_for
from listener.settings import SalesforceSettings
from listener.standin import StandInOrg
from listener.standin.faults import Fault
from listener.token_endpoint import Token, origin_of, refusal, token_in
from tests.kept_process import works

TOKEN = "/services/oauth2/token"


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def org() -> AsyncIterator[StandInOrg]:
    async with stand_in() as standing:
        yield standing


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def login(org: StandInOrg, clock: Clock) -> AsyncIterator[Login]:
    login = Login(settings_for(org), monotonic=clock, timeout=0.5)
    yield login
    await login.close()


@pytest.mark.parametrize("auth", ["jwt", "client_credentials"])
async def test_either_flow_brings_a_token_that_works_and_says_who_we_are(org: StandInOrg, auth: str) -> None:
    login = Login(settings_for(org, auth=auth))
    token = await login.token()
    assert await works(token)
    assert (token.user_id, token.org_id) == (org.people["integration"].id, org.org_id)
    assert token.instance_url == org.url
    await login.close()


async def test_many_callers_at_once_make_one_call(org: StandInOrg, login: Login) -> None:
    tokens = await asyncio.gather(*(login.token() for _ in range(50)))
    assert len(set(tokens)) == 1
    assert login.calls == len(org.ledger.of("token")) == 1


async def test_a_refused_token_is_renewed_once_however_many_refuse_it(org: StandInOrg, login: Login) -> None:
    old = await login.token()
    org.control.expire_tokens()
    for _ in range(10):
        login.refuse(old)
    new = await login.token()
    login.refuse(old)  # a straggler, whose call was on the way when the token was renewed
    assert await login.token() == new
    assert login.calls == 2
    assert await works(new)


async def test_a_failing_endpoint_is_called_ever_more_rarely(org: StandInOrg, login: Login, clock: Clock) -> None:
    org.control.faults.add(Fault(path=TOKEN, status=503, body="<html>We are down for maintenance</html>", times=None))
    for _ in range(120):  # a caller every five seconds for ten minutes
        with pytest.raises(Outage):
            await login.token()
        clock.now += 5
    assert login.calls <= 16
    org.control.faults.clear()
    clock.now += 60
    assert (await login.token()).access_token


async def test_the_same_failure_is_told_without_a_call_and_says_how_long(org: StandInOrg, login: Login) -> None:
    org.control.faults.add(Fault(path=TOKEN, status=500, times=None))
    said = []
    for _ in range(3):
        with pytest.raises(Outage) as caught:
            await login.token()
        said.append(str(caught.value))
        assert caught.value.retry_after == 1.0
    assert (len(set(said)), login.calls) == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=TOKEN, status=503, body="<html>maintenance</html>"),
        Fault(path=TOKEN, status=200, body="<html>a captive portal</html>"),
        Fault(path=TOKEN, status=200, body='{"access_token": "x"}', content_type="application/json"),
        Fault(path=TOKEN, status=200, body="[1, 2]", content_type="application/json"),
        Fault(path=TOKEN, status=302),
        Fault(path=TOKEN, cut_after=20),
        Fault(path=TOKEN, hang=True),
        Fault(path=TOKEN, status=400, content_type="application/json", body='{"error":"unknown_error"}'),
    ],
    ids=["503", "html", "no ids", "list", "redirect", "cut", "hangs", "try again"],
)
async def test_whatever_is_no_answer_is_an_outage_and_over_in_bounded_time(
    org: StandInOrg, login: Login, clock: Clock, fault: Fault
) -> None:
    org.control.faults.add(fault)
    with pytest.raises(Outage):
        await asyncio.wait_for(login.token(), 2)
    clock.now += 1
    assert (await login.token()).access_token


async def test_nobody_listening_is_an_outage(org: StandInOrg) -> None:
    settings = settings_for(org)
    await org.stop()
    login = Login(settings)
    with pytest.raises(Outage, match="token endpoint"):
        await login.token()
    await login.close()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"client_id": "3MVG9.nobody"}, "SALESFORCE_CLIENT_ID"),
        ({"username": "stranger@example.com"}, "SALESFORCE_USERNAME"),
        ({"auth": "client_credentials", "client_secret": "hush-hush-canary"}, "SALESFORCE_CLIENT_SECRET"),
    ],
)
async def test_a_refusal_names_the_setting_to_mend(org: StandInOrg, change: dict[str, str], names: str) -> None:
    login = Login(settings_for(org, **change))
    with pytest.raises(SetupError) as caught:
        await login.token()
    assert names in caught.value.hint
    assert "hush-hush" not in f"{caught.value!r} {caught.value.hint} {caught.value.__context__!r}"
    await login.close()


async def test_a_key_of_somebody_else_is_refused_with_the_next_move(org: StandInOrg, tmp_path: Path) -> None:
    from listener.standin.people import new_private_key

    other = tmp_path / "other.pem"
    other.write_text(new_private_key())
    login = Login(settings_for(org, private_key_file=other))
    with pytest.raises(SetupError, match="invalid assertion") as caught:
        await login.token()
    assert "SALESFORCE_PRIVATE_KEY_FILE" in caught.value.hint
    await login.close()


async def test_a_key_file_that_has_gone_since_the_start_is_named(org: StandInOrg, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(settings_for(org).private_key_file.read_text())  # type: ignore[union-attr]
    login = Login(settings_for(org, private_key_file=key))
    key.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWNhbmFyeQ==\n-----END PRIVATE KEY-----\n")
    with pytest.raises(SetupError, match="SALESFORCE_PRIVATE_KEY_FILE") as caught:
        await login.token()
    assert "c2Vjcm" not in repr(caught.value) + repr(caught.value.__context__)
    key.unlink()
    with pytest.raises(SetupError):
        await login.token()
    assert login.calls == 0
    await login.close()


async def test_what_worked_once_is_an_outage_when_it_stops_to(org: StandInOrg, login: Login, clock: Clock) -> None:
    refused = '{"error":"invalid_grant","error_description":"user hasn\'t approved this consumer"}'
    org.control.faults.add(Fault(path=TOKEN, skip=1, status=400, body=refused, content_type="application/json"))
    login.refuse(await login.token())
    with pytest.raises(Outage) as caught:
        await login.token()
    assert "permission set" in caught.value.hint
    clock.now += 1
    assert (await login.token()).access_token


async def test_the_web_flow_without_a_kept_log_in_says_which_command(org: StandInOrg) -> None:
    login = Login(settings_for(org, auth="web"))
    with pytest.raises(SetupError, match="SALESFORCE_AUTH"):
        await login.token()
    assert login.calls == 0


async def test_the_generic_audience_is_tried_where_the_org_refuses_its_own(org: StandInOrg) -> None:
    """As older Connected Apps do. The one that was taken comes first from then on."""
    asked: list[str] = []

    async def token(request: web.Request) -> web.Response:
        import jwt

        claims = jwt.decode(str((await request.post())["assertion"]), options={"verify_signature": False})
        asked.append(claims["aud"])
        if claims["aud"] != "https://test.salesforce.com":
            return web.json_response({"error": "invalid_grant", "error_description": "audience is invalid"}, status=400)
        ids = f"https://test.salesforce.com/id/{org.org_id}/{org.people['integration'].id}"
        return web.json_response({"access_token": "t", "instance_url": org.url, "id": ids})

    app = web.Application()
    app.router.add_post(TOKEN, token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    login = Login(settings_for(org, login_url=url))
    login._audiences = (url, "https://test.salesforce.com")
    login.refuse(await login.token())
    await login.token()
    assert asked == [url, "https://test.salesforce.com", "https://test.salesforce.com"]
    await login.close()
    await runner.cleanup()


def test_the_audience_is_the_address_itself_then_the_generic_one() -> None:
    assert audiences_for("https://login.salesforce.com") == ("https://login.salesforce.com",)
    assert audiences_for("https://clinic.my.salesforce.com")[1] == "https://login.salesforce.com"
    assert audiences_for("https://clinic--uat.sandbox.my.salesforce.com")[1] == "https://test.salesforce.com"
    assert audiences_for("http://localhost:8080") == ("http://localhost:8080",)


@pytest.mark.parametrize(
    "url", ["http://clinic.my.salesforce.com", "ftp://localhost", "clinic.my.salesforce.com", "https://a:b@c.example"]
)
def test_a_token_goes_over_https_or_stays_on_this_host(url: str) -> None:
    with pytest.raises(SetupError, match="SALESFORCE_LOGIN_URL"):
        origin_of(url, named="SALESFORCE_LOGIN_URL")
    assert origin_of("http://127.0.0.1:99/path", named="x") == "http://127.0.0.1:99"


def test_an_answer_that_sends_us_to_plain_http_is_refused() -> None:
    ids = "https://login.salesforce.com/id/00D000000000001AAA/005000000000001AAA"
    with pytest.raises(SetupError, match="instance_url"):
        token_in({"access_token": "t", "instance_url": "http://evil.example", "id": ids})


def test_no_secret_shows_in_a_repr(org: StandInOrg) -> None:
    settings: SalesforceSettings = settings_for(org)
    token = Token(access_token="00D!canary", instance_url="https://x", user_id="u", org_id="o")
    shown = f"{token!r} {Login(settings)!r} {settings!r}"
    assert "canary" not in shown
    assert org.integration.client_secret not in shown


def test_words_that_we_do_not_know_are_not_quoted() -> None:
    found = refusal("invalid_grant", "canary 912-34-5678")
    assert isinstance(found, SetupError)
    assert "canary" not in f"{found} {found.hint}"
    assert "SALESFORCE_CLIENT_ID" in found.hint
