"""Charts through the JSON interface, judged by the ledger."""

import json

import pytest

SEEDED = "10230001"


def deeds(portal, *kinds):
    return [line for line in portal.ledger.lines() if line.kind in kinds]


async def test_a_new_patient_gets_an_id_of_eight_digits_that_is_not_the_next_number(portal, client):
    ids = []
    for first in ("Ivy", "Noah", "Mia"):
        status, body = await client.create(first_name=first, last_name=f"Of {first}", birthdate="05/06/2020")
        assert status == 201
        ids.append(int(body["chart"]["id"]))
    assert all(len(str(number)) == 8 for number in ids)
    assert ids == sorted(ids)
    assert ids != list(range(ids[0], ids[0] + 3))
    assert [line.patient_id for line in deeds(portal, "create")] == [str(number) for number in ids]


async def test_a_save_changes_only_the_fields_it_names_and_the_ledger_has_before_and_after(portal, client):
    status, body = await client.save(SEEDED, nickname="Addie", middle_name="")
    assert status == 200
    assert body["chart"]["revision"] == 2
    assert body["chart"]["Patient"]["Referred By"] == "Dr. Example"
    [line] = deeds(portal, "save")
    assert (line.user, line.patient_id, line.section, line.revision) == ("robot@example.com", SEEDED, "Patient", 2)
    assert line.before == {"Middle Name": "June", "Nickname": ""}
    assert line.after == {"Middle Name": "", "Nickname": "Addie"}
    assert line.ms >= 0


async def test_a_save_of_what_is_there_already_is_seen_but_makes_no_revision(portal, client):
    _, body = await client.save(SEEDED, first_name=" Ada ")
    assert body["chart"]["revision"] == 1
    assert [(line.before, line.after) for line in deeds(portal, "save")] == [({}, {})]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"birthdate": "3/4/2019"}, "Birthdate must be MM/DD/YYYY."),
        ({"birthdate": "02/30/2019"}, "Birthdate must be MM/DD/YYYY."),
        ({"birthdate": "01/01/2099"}, "Birthdate must not be in the future."),
        ({"birthdate": ""}, "Birthdate is required."),
        ({"first_name": "  "}, "First Name is required."),
        ({"first_name": "x" * 81}, "First Name must be at most 80 characters."),
        ({"gender": "F"}, "Gender must be one of the list."),
    ],
)
async def test_the_server_refuses_what_the_page_would_have(portal, client, values, message):
    status, body = await client.save(SEEDED, **values)
    assert status == 422
    assert list(body["problems"].values()) == [message]
    assert [deeds(portal, "save"), len(deeds(portal, "refused"))] == [[], 1]


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("Contacts", {"Name": "Lee", "Phone": "919-555-0123"}, "Phone must be (999) 999-9999."),
        ("Contacts", {"Name": "Lee", "Zip": "277"}, "Zip must be 99999 or 99999-9999."),
        ("Contacts", {"Name": "Lee", "Email": "lee"}, "Email must be an email address."),
        ("Contacts", {"Phone": "(919) 555-0199"}, "Name is required."),
        ("Cases", {"Presenting Concerns": "Late talker"}, "Case is required."),
        ("Payers", {"Payer": "Carolina Medicaid"}, "ID Number is required."),
        ("Payers", {"Payer": "carolina", "ID Number": "1"}, "Choose a payer from the list."),
        ("Notes", {"Note": " \n "}, "Note is required."),
    ],
)
async def test_rows_are_checked_too(portal, client, section, values, message):
    status, body = await client.call("POST", f"/api/patients/{SEEDED}/{section}", {"values": values})
    assert (status, list(body["problems"].values())) == (422, [message])
    assert deeds(portal, "add") == []


async def test_an_old_odd_value_does_not_block_a_save_of_another_field(portal, client):
    chart = portal.control.put_patient(
        {"Patient": {"First Name": "Old", "Last Name": "Chart", "Birthdate": "05/06/2011", "SSN": "none"}},
        unchecked=True,
    )
    assert (await client.save(chart.id, nickname="Oldie"))[0] == 200


async def test_rows_are_added_and_edited_each_by_its_own_id(portal, client):
    values = {"Name": "Sam Sample", "Relationship": "Father"}
    status, body = await client.call("POST", f"/api/patients/{SEEDED}/Contacts", {"values": values})
    assert (status, body["chart"]["revision"]) == (201, 2)
    path = f"/api/patients/{SEEDED}/Contacts/{body['row_id']}"
    assert (await client.call("PUT", path, {"values": {"Phone": "(919) 555-0144"}}))[0] == 200
    rows = portal.charts.get(SEEDED).rows["Contacts"]
    assert [(row.values["Name"], row.values["Phone"]) for row in rows] == [
        ("Rosa Sample", "(919) 555-0123"),
        ("Sam Sample", "(919) 555-0144"),
    ]
    assert [(line.kind, line.row_id, line.after) for line in deeds(portal, "add", "save")] == [
        ("add", rows[1].id, values),
        ("save", rows[1].id, {"Phone": "(919) 555-0144"}),
    ]


async def test_a_twin_is_no_duplicate(portal, client):
    assert (await client.create(first_name="Bea", last_name="Sample", birthdate="03/04/2019"))[0] == 201


async def test_the_same_name_and_birthdate_warns_and_creates_nothing_until_told(portal, client):
    again = {"first_name": "Ada", "last_name": "SAMPLE", "birthdate": "03/04/2019"}
    status, body = await client.create(**again)
    assert (status, body["candidates"]) == (
        409,
        [{"id": SEEDED, "name": "Sample, Ada June", "birthdate": "03/04/2019"}],
    )
    assert deeds(portal, "create") == []
    assert (await client.create(**again, anyway=True))[0] == 201
    [line] = deeds(portal, "create")
    assert line.about == {"anyway": True, "alike": [SEEDED]}


async def test_unknown_ids_are_404_and_in_the_ledger(portal, client):
    assert (await client.call("GET", "/api/patients/99999999"))[0] == 404
    assert (await client.call("PUT", f"/api/patients/{SEEDED}/Notes/1", {"values": {"Note": "x"}}))[0] == 404
    assert [line.patient_id for line in deeds(portal, "missing")] == ["99999999"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/patients", []),
        ("POST", "/api/patients", {"values": {"First Name": 1}}),
        ("POST", "/api/patients", {"values": {"Shoe Size": "9"}}),
        ("POST", f"/api/patients/{SEEDED}/Shoes", {"values": {}}),
        ("GET", "/api/patients?search=sam&page=0", None),
    ],
)
async def test_requests_that_the_page_never_sends_are_400(client, method, path, body):
    status, answer = await client.call(method, path, body)
    assert (status, answer["code"]) == (400, "bad_request")


async def test_every_line_of_the_ledger_is_in_its_file_when_the_answer_arrives(make_portal, make_client, tmp_path):
    path = tmp_path / "ledgers" / "portal.jsonl"
    async with make_portal(ledger_path=path) as portal, make_client(portal) as client:
        await client.log_in()
        await client.save(SEEDED, nickname="Addie")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines == portal.control.ledger()
    with path.open("a") as file:
        file.write('{"seq": 9')  # what a killed run may leave
    async with make_portal(ledger_path=path) as again:
        assert again.ledger.lines()[0].seq == lines[-1]["seq"] + 1
        assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == list(
            range(1, again.ledger.lines()[-1].seq + 1)
        )
