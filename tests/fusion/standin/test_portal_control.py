"""The control endpoint: faults, staff's edits, and what it tells."""

import time

import aiohttp
import pytest

SEEDED = "10230001"


async def test_a_failed_save_commits_nothing(portal, client):
    portal.control.fault(kind="save", status=503)
    assert await client.save(SEEDED, nickname="Addie") == (503, {"code": "fault"})
    assert (portal.ledger.lines(kind="save"), portal.charts.get(SEEDED).revision) == ([], 1)
    assert (await client.save(SEEDED, nickname="Addie"))[0] == 200


async def test_a_reply_lost_after_the_commit_leaves_the_deed_done_once(portal, client):
    portal.control.fault(kind="create", status=500, after_commit=True)
    assert (await client.create(first_name="Ivy", last_name="Once", birthdate="05/06/2020"))[0] == 500
    assert len(portal.ledger.lines(kind="create")) == 1


async def test_a_cut_connection_breaks_in_the_middle_of_the_reply(portal, client):
    portal.control.fault(kind="save", cut=True, after_commit=True)
    with pytest.raises(aiohttp.ClientError):
        await client.save(SEEDED, nickname="Addie")
    assert len(portal.ledger.lines(kind="save")) == 1


async def test_a_refused_save_keeps_its_own_answer_under_a_fault_after_commit(portal, client):
    portal.control.fault(kind="save", status=500, after_commit=True)
    assert (await client.save(SEEDED, birthdate="soon"))[0] == 422


async def test_rules_count_skip_and_match_paths(portal, client):
    portal.control.fault(path=r"/Contacts$", skip=1, times=2, status=500)
    body = {"values": {"Name": "Sam Sample"}}
    answers = [(await client.call("POST", f"/api/patients/{SEEDED}/Contacts", body))[0] for _ in range(4)]
    assert answers == [201, 500, 500, 201]
    assert portal.faults.rules() == []


async def test_a_save_of_what_was_read_before_another_save_is_refused_only_where_that_counts(portal, client):
    body = {"values": {"Nickname": "Addie"}, "revision": 1}
    path = f"/api/patients/{SEEDED}/Patient"
    portal.control.put_patient({"id": SEEDED, "Patient": {"Referred By": "Dr. Other"}})
    portal.control.refuse_stale(True)
    assert await client.call("PUT", path, body) == (409, {"code": "stale"})
    portal.control.refuse_stale(False)
    status, answer = await client.call("PUT", path, body)
    assert (status, answer["chart"]["revision"]) == (200, 3)
    assert answer["chart"]["Patient"]["Referred By"] == "Dr. Other"


async def test_a_filter_that_was_left_keeps_results_back_until_it_is_cleared(portal, client):
    portal.control.saved_filter("North")
    assert await client.found("Sample") == []
    await client.call("DELETE", "/api/filter")
    assert await client.found("Sample") == [SEEDED]


async def test_latency_and_delay_make_requests_slow(portal, client):
    portal.control.latency(40)
    portal.control.fault(kind="read", delay=0.06)
    began = time.perf_counter()
    assert (await client.call("GET", f"/api/patients/{SEEDED}"))[0] == 200
    assert time.perf_counter() - began >= 0.1


async def test_staff_edits_one_chart_while_the_robot_has_it_open(portal, client):
    row = portal.charts.get(SEEDED).rows["Contacts"][0].id
    status, chart = await client.call(
        "POST",
        "/__control/patients",
        {
            "id": SEEDED,
            "Patient": {"Nickname": "Addie"},
            "Contacts": [{"row_id": row, "City": "Durham"}, {"Name": "Gran Sample", "Relationship": "Grandparent"}],
            "remove": [portal.charts.get(SEEDED).rows["Notes"][0].id],
        },
    )
    assert (status, chart["revision"], chart["Notes"]) == (200, 2, [])
    assert [(c["Name"], c["City"]) for c in chart["Contacts"]] == [("Rosa Sample", "Durham"), ("Gran Sample", "")]
    assert chart["Patient"]["First Name"] == "Ada"
    staff = [line for line in portal.ledger.lines() if line.user == "staff"]
    assert [line.kind for line in staff] == ["staff_save", "staff_save", "staff_add", "staff_remove"]


@pytest.mark.parametrize(
    "body",
    [
        {"Patient": {"Shoe Size": "9"}},
        {"Shoes": []},
        {"Patient": {"First Name": "No", "Last Name": "Birthdate"}},
        {"id": "12", "Patient": {}},
        {"id": SEEDED, "Contacts": [{"row_id": "1", "City": "Durham"}]},
    ],
)
async def test_staff_input_that_cannot_be_read_changes_nothing(portal, client, body):
    before = portal.control.patients()
    assert (await client.call("POST", "/__control/patients", body))[0] == 400
    assert portal.control.patients() == before


async def test_all_controls_answer_over_http(portal, client):
    await client.call("POST", "/__control/latency", {"ms": 0})
    await client.call("POST", "/__control/search-lag", {"seconds": 0})
    await client.call("POST", "/__control/idle-lock", {"seconds": 60})
    await client.call("POST", "/__control/labels", {"Birthdate": "Date of Birth"})
    await client.call("POST", "/__control/look", {"widgets": {"Gender": "checks"}, "aside": ["Nickname"]})
    await client.call("POST", "/__control/refuse-stale", {"refuse": True})
    await client.call("POST", "/__control/saved-filter", {"location": "North"})
    _, opening = await client.call("GET", "/api/session")
    assert [section["name"] for section in opening["sections"][:2]] == ["Patient", "Other Details"]
    assert [f["drawn"] for f in opening["sections"][0]["fields"] if f["name"] == "Gender"] == ["checks"]
    shown = [(f["name"], f["label"]) for f in opening["sections"][0]["fields"]]
    assert ("Birthdate", "Date of Birth") in shown
    _, faults = await client.call("POST", "/__control/faults", {"rules": [{"kind": "save"}, {"kinds": ["read"]}]})
    assert len(faults["faults"]) == 2
    assert await client.call("DELETE", "/__control/faults") == (200, {"faults": []})
    assert await client.call("POST", "/__control/lock", {"after": 1}) == (200, {"locked": 0})
    assert await client.call("POST", "/__control/lock") == (200, {"locked": 1})
    assert await client.call("POST", "/__control/end-sessions") == (200, {"ended": 1})
    body = {"email": "robot@example.com", "password": "New-horse-8"}
    assert await client.call("POST", "/__control/password", body) == (200, {"ended": 0})
    _, ledger = await client.call("GET", "/__control/ledger?since=5")
    assert ledger["lines"][0]["seq"] == 6
    _, patients = await client.call("GET", "/__control/patients")
    assert [chart["id"] for chart in patients["patients"]] == ["10230001", "10230002"]
    _, stats = await client.call("GET", "/__control/stats")
    assert (stats["requests"], stats["api_requests"]) == ({"login": 1, "session": 1}, 2)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"kind": 3}),
        ("faults", {"colour": "red"}),
        ("faults", {"path": "("}),
        ("faults", {"status": "500"}),
        ("latency", {"ms": "slow"}),
        ("password", {"email": "nobody@example.com", "password": "x"}),
        ("lock", []),
        ("look", {"colour": "red"}),
        ("look", {"widgets": {"Birthdate": "checks"}}),
        ("look", {"widgets": {"Shoe Size": "slow"}}),
        ("look", {"aside": ["Shoe Size"]}),
        ("look", {"long_lists": "yes"}),
        ("look", {"demands": {"Nickname": 3}}),
    ],
)
async def test_a_control_that_cannot_be_read_is_400_with_its_reason(client, path, body):
    status, answer = await client.call("POST", f"/__control/{path}", body)
    assert status == 400
    assert answer["error"]


async def test_a_portal_that_was_down_comes_back_on_its_port_with_charts_and_sessions(portal, client):
    url = portal.url
    await portal.stop()
    with pytest.raises(aiohttp.ClientError):
        await client.call("GET", "/api/session")
    await portal.start()
    assert portal.url == url
    assert (await client.call("GET", "/api/session"))[0] == 200
