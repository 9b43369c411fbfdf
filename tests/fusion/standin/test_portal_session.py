"""Log-in, lock and the ends of sessions, as a browser meets them."""

from datetime import UTC, datetime, timedelta

RIGHT = "Right-horse-7"


def kinds(portal):
    return [line.kind for line in portal.ledger.lines() if line.kind != "seed"]


async def test_without_a_session_every_answer_is_401(portal, make_client):
    async with make_client(portal) as stranger:
        for method, path in [("GET", "/api/session"), ("GET", "/api/patients?search=sam"), ("POST", "/api/patients")]:
            assert await stranger.call(method, path, {} if method == "POST" else None) == (401, {"code": "no_session"})
    assert kinds(portal) == []


async def test_the_session_is_a_cookie_that_scripts_cannot_read(portal, make_client):
    async with make_client(portal) as someone:
        body = {"email": "ROBOT@example.com", "password": RIGHT}
        async with someone.http.post(portal.url + "/api/login", json=body) as response:
            cookie = response.cookies["fusion_session"]
    assert (response.status, cookie["httponly"], cookie["samesite"]) == (200, True, "Strict")


async def test_five_wrong_passwords_lock_the_account_even_for_the_right_one(portal, make_client):
    async with make_client(portal) as someone:
        codes = [(await someone.log_in("wrong"))[1]["code"] for _ in range(5)]
        assert codes == ["incorrect"] * 4 + ["account_locked"]
        assert await someone.log_in() == (401, {"code": "account_locked"})
        portal.control.password("robot@example.com", "New-horse-8")
        assert (await someone.log_in("New-horse-8"))[0] == 200
    assert portal.ledger.counts()["login_failed"] == 6


async def test_a_right_password_forgives_the_wrong_ones_before(portal, make_client):
    async with make_client(portal) as someone:
        for password in ["wrong"] * 4 + [RIGHT] + ["wrong"] * 4:
            await someone.log_in(password)
        assert (await someone.log_in())[0] == 200


async def test_a_locked_session_answers_423_until_its_password_is_given(portal, client):
    portal.control.lock()
    assert await client.call("GET", "/api/patients/10230001") == (423, {"code": "locked"})
    assert await client.call("POST", "/api/unlock", {"password": "wrong"}) == (403, {"code": "incorrect"})
    assert (await client.call("GET", "/api/session"))[0] == 423
    assert (await client.call("POST", "/api/unlock", {"password": RIGHT}))[0] == 200
    assert (await client.call("GET", "/api/patients/10230001"))[0] == 200
    assert kinds(portal) == ["login", "lock", "unlock_failed", "unlock", "read"]


async def test_wrong_passwords_at_the_lock_count_as_log_ins(portal, client):
    portal.control.lock()
    for _ in range(5):
        answer = await client.call("POST", "/api/unlock", {"password": "wrong"})
    assert answer == (403, {"code": "account_locked"})
    assert (await client.log_in())[1] == {"code": "account_locked"}


async def test_the_lock_can_come_down_right_before_the_nth_request(portal, client):
    portal.control.lock(after=3)
    answers = [(await client.call("GET", "/api/session"))[0] for _ in range(3)]
    assert answers == [200, 200, 423]


async def test_idle_time_locks_and_each_request_starts_it_anew(make_portal, make_client):
    now = datetime(2026, 11, 24, 9, tzinfo=UTC)
    async with (
        make_portal(idle_lock=timedelta(minutes=20), clock=lambda: now) as portal,
        make_client(portal) as client,
    ):
        await client.log_in()
        now += timedelta(minutes=19)
        assert (await client.call("GET", "/api/session"))[0] == 200
        now += timedelta(minutes=19)
        assert (await client.call("GET", "/api/session"))[0] == 200
        now += timedelta(minutes=20)
        assert (await client.call("GET", "/api/session"))[0] == 423
        [lock] = portal.ledger.lines(kind="lock")
    assert lock.about == {"cause": "idle", "kind_of_request": "session"}


async def test_ended_sessions_are_gone_and_cannot_be_unlocked(portal, client):
    portal.control.lock()
    assert portal.control.end_sessions() == 1
    assert await client.call("POST", "/api/unlock", {"password": RIGHT}) == (401, {"code": "no_session"})


async def test_a_new_password_ends_the_sessions_of_the_old_one(portal, client):
    assert portal.control.password("robot@example.com", "New-horse-8") == 1
    assert (await client.call("GET", "/api/session"))[0] == 401
    assert (await client.log_in())[1] == {"code": "incorrect"}


async def test_log_out_ends_the_session(portal, client):
    assert (await client.call("POST", "/api/logout"))[0] == 200
    assert (await client.call("GET", "/api/session"))[0] == 401
