"""What Search Patients finds."""

from datetime import UTC, datetime, timedelta

import pytest

ADA, ZOE = "10230001", "10230002"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sam", [ADA]),
        ("Sample, Ada", [ADA]),
        ("ada jun", [ADA]),
        ("ample", []),
        ("s", []),
        ("zoe", [ZOE]),
        ("ZOË", [ZOE]),
        ("smith-lee", [ZOE]),
        ("lee", [ZOE]),
        ("03/04/2019", [ADA]),
        ("sample 03/04/2019", [ADA]),
        ("sample 03/05/2019", []),
        ("(919) 555-0123", [ADA]),
        ("919.555.0123", [ADA]),
        ("+1 919 555 0123", [ADA]),
        ("555-0199", []),
        (ADA, []),
    ],
)
async def test_search_by_name_birthdate_or_phone(client, query, found):
    assert await client.found(query) == found


async def test_results_come_ten_at_a_time_in_order_of_name(portal, client):
    for number in range(23):
        patient = {"First Name": f"Kid{number:02}", "Last Name": "Many", "Birthdate": "01/02/2018"}
        portal.control.put_patient({"Patient": patient})
    pages = [await client.found("many", page) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [10, 10, 3]
    names = [portal.charts.get(chart_id).patient["First Name"] for page in pages for chart_id in page]
    assert names == sorted(names)
    assert (await client.call("GET", "/api/patients?search=many&page=3"))[1]["more"] is False


async def test_a_lagging_index_finds_a_new_patient_only_later_but_opens_it_at_once(make_portal, make_client):
    now = datetime(2026, 11, 24, 9, tzinfo=UTC)
    async with make_portal(clock=lambda: now) as portal, make_client(portal) as client:
        await client.log_in()
        portal.control.search_lag(30)
        _, body = await client.create(first_name="Ivy", last_name="Lagging", birthdate="05/06/2020")
        chart_id = body["chart"]["id"]
        assert await client.found("lagging") == []
        assert (await client.call("GET", f"/api/patients/{chart_id}"))[0] == 200
        now += timedelta(seconds=30)
        assert await client.found("lagging") == [chart_id]


async def test_inactive_patients_are_found_only_when_asked_for(portal, client):
    portal.control.put_patient({"id": ADA, "active": False})
    assert await client.found("sample") == []
    _, body = await client.call("GET", "/api/patients?search=sample&inactive=1")
    assert [(hit["id"], hit["active"]) for hit in body["results"]] == [(ADA, False)]


async def test_a_search_leaves_its_words_and_finds_in_the_ledger(portal, client):
    await client.found("sam")
    [line] = portal.ledger.lines(kind="search")
    assert line.about == {"query": "sam", "found": [ADA]}
