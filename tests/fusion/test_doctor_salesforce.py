"""`fusion-sync doctor --salesforce` before orgs in which one thing is wrong each: what it finds, and its next move.

Nothing here answers in Salesforce's place: rights are taken away, and metadata is deployed with the fault in it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fusion.cli import app
from listener.org_checkup import LISTENS, LOOKS, WORKS
from listener.standin import StandInOrg
from listener.standin.faults import Fault
from listener.standin.metadata.archive import pack
from listener.standin.package import shipped
from listener.standin.server import utc_now
from tests.org_metadata import changed
from tests.org_rig import patient, settings_for, stand_in

Open = Callable[..., Awaitable[StandInOrg]]
MEMBER = "platformEventChannelMembers/FusionSync_chn_Patient_ChangeEvent.platformEventChannelMember"
CONTACTS = Path(__file__).parents[2] / "sfdx" / "contact-app"
OBJECT = "objects/Patient__c.object"
FILTER = "<filterExpression>(Ready_for_Fusion__c = true)</filterExpression>"


def package(*changes: tuple[str, str, str], without: str = "") -> bytes:
    """Our own, with faults in it."""
    return changed(shipped(), *changes, without=without)


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens an org of which the environment speaks from then on."""
    orgs: list[StandInOrg] = []

    async def opens(**more: Any) -> StandInOrg:
        org = stand_in(**more)
        orgs.append(await org.start())
        settings = settings_for(org)
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/outbox.db")
        monkeypatch.setenv("SALESFORCE_LOGIN_URL", org.url)
        monkeypatch.setenv("SALESFORCE_CLIENT_ID", settings.client_id)
        monkeypatch.setenv("SALESFORCE_USERNAME", settings.username or "")
        monkeypatch.setenv("SALESFORCE_PRIVATE_KEY_FILE", str(settings.private_key_file))
        monkeypatch.chdir(tmp_path)
        return org

    yield opens
    for org in orgs:
        await org.stop()


async def examined() -> list[dict[str, str]]:
    """What the command says to machines. It exits with 1 if anything is wrong, and only then."""
    done = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--salesforce", "--json"])
    told = json.loads(done.stdout)
    wrong = any(one["verdict"] == "wrong" for one in told["checks"])
    assert (told["ok"], done.exit_code) == (not wrong, int(wrong))
    return list(told["checks"])


async def bad() -> list[dict[str, str]]:
    """What is not right; each has one sentence of what to do."""
    found = [one for one in await examined() if one["verdict"] != "ok"]
    assert all(one["move"] and "\n" not in one["move"] for one in found)
    return found


async def the_bad_one() -> tuple[str, str, str, str]:
    """Check, verdict, what was found and the move, where one thing is not right."""
    (one,) = await bad()
    return one["check"], one["verdict"], one["said"], one["move"]


async def test_where_all_is_right_every_question_has_its_answer(opened: Open) -> None:
    org = await opened()
    org.control.create(patient())
    findings = await examined()
    assert {one["verdict"] for one in findings} == {"ok"}
    assert [one["check"] for one in findings] == [
        *("user", "view all", "clock", "fields", "package", "package", "encrypted", "sharing"),
        *("stream", "channel", "limits", "limits"),
    ]
    assert list(org.ledger.of("write")) == []  # it reads only


async def test_a_person_reads_it_as_a_table(opened: Open) -> None:
    org = await opened()
    org.control.assign("integration", LISTENS, LOOKS)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--salesforce"])
    said = " ".join(done.stdout.split())
    assert done.exit_code == 1
    assert "is not the integration user" in said
    assert "next move" in said


# Who we are, and what we may


async def test_the_wrong_user_is_found(opened: Open) -> None:
    org = await opened()
    org.control.assign("integration", LISTENS, LOOKS)
    user, *others = await bad()
    assert (user["check"], user["verdict"]) == ("user", "wrong")
    assert f"{WORKS} is not assigned" in user["said"]
    assert "log in as the integration user" in user["move"]
    assert {one["check"] for one in others} == {"fields"}  # it sees none but ours, and may write none
    assert "SSN__c" in others[0]["said"]


async def test_a_missing_view_all_is_found_whichever_way_it_was_lost(opened: Open) -> None:
    org = await opened()
    org.control.assign("integration", WORKS, LOOKS)
    assert await bad() == []  # one permission set that gives it is enough
    narrow = [
        (f"permissionsets/{name}.permissionset", "<viewAllRecords>true<", "<viewAllRecords>false<")
        for name in (WORKS, LISTENS)
    ]
    assert org.control.deploy(package(*narrow))["success"]
    check, verdict, said, move = await the_bad_one()
    assert (check, verdict) == ("view all", "wrong")
    assert "Without View All Records on Patient__c no change event comes" in said
    assert LISTENS in move


async def test_a_field_that_is_not_seen_is_named_as_people_know_it(opened: Open) -> None:
    org = await opened()
    file = f"permissionsets/{WORKS}.permissionset"
    for name, label in (("Date_of_Birth__c", "Date of birth"), ("Guardian_City__c", "Guardian city")):
        end = f"<field>Patient__c.{name}</field>\n        <readable>"
        assert org.control.deploy(package((file, f"{end}true", f"{end}false")))["success"]
        check, verdict, said, move = await the_bad_one()
        assert (check, verdict) == ("fields", "wrong")
        assert f"This user does not see {label} ({name}) of Patient__c." in said
        assert "assign the permission set" in move


async def test_a_field_of_ours_that_may_not_be_written_is_named_by_its_label(opened: Open) -> None:
    org = await opened()
    file = f"permissionsets/{WORKS}.permissionset"
    free = "<editable>true</editable>\n        <field>Patient__c.Fusion_Sync_Status__c</field>"
    assert org.control.deploy(package((file, free, free.replace("true", "false"))))["success"]
    check, verdict, said, _ = await the_bad_one()
    assert (check, verdict) == ("fields", "wrong")
    assert "may not write Fusion Sync Status (Fusion_Sync_Status__c)" in said


async def test_an_ssn_that_comes_masked_is_found(opened: Open) -> None:
    org = await opened()
    masked = (f"permissionsets/{WORKS}.permissionset", "<name>ViewEncryptedData<", "<name>RunReports<")
    assert org.control.deploy(package(masked))["success"]
    check, verdict, said, move = await the_bad_one()
    assert (check, verdict) == ("encrypted", "wrong")
    assert "Without View Encrypted Data, SSN (SSN__c) comes masked" in said
    assert "assign the permission set" in move


async def test_records_that_sharing_keeps_from_us_are_found(opened: Open) -> None:
    org = await opened()
    record_id = org.control.create(patient())
    (member,) = org.control.records("GroupMember")
    org.control.delete(member["Id"], by="admin")
    check, verdict, said, move = await the_bad_one()
    assert (check, verdict) == ("sharing", "wrong")
    assert f"keeps this user from writing to {record_id}" in said
    assert "public group Fusion Sync" in move


async def test_a_user_who_may_not_look_at_the_set_up_is_told_so_and_nothing_fails(opened: Open) -> None:
    org = await opened()
    org.control.assign("integration", WORKS, LISTENS)
    found = await bad()
    assert [(one["check"], one["verdict"]) for one in found] == [
        *(("user", "warning"), ("view all", "warning"), ("encrypted", "warning"), ("channel", "warning")),
    ]
    assert all("may not see" in one["said"] for one in found)
    assert all(f"assign {LOOKS} to this user; or an administrator" in one["move"] for one in found)


async def test_of_contacts_which_are_not_private_a_missing_view_all_is_found_too(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sharing lets everybody see them, and still no change event would come."""
    contacts = pack(CONTACTS, "force-app")
    org = await opened(package=lambda: contacts)
    monkeypatch.setenv("FUSION_SYNC_MAPPING", str(CONTACTS / "mapping.toml"))
    assert await bad() == []
    narrow = [
        (f"permissionsets/{name}.permissionset", "<viewAllRecords>true<", "<viewAllRecords>false<")
        for name in (WORKS, LISTENS)
    ]
    assert org.control.deploy(changed(contacts, *narrow))["success"]
    check, verdict, said, _ = await the_bad_one()
    assert (check, verdict) == ("view all", "wrong")
    assert "Without View All Records on Contact" in said


# What was deployed


async def test_change_data_capture_that_is_not_on_is_found_where_the_channel_is_there(opened: Open) -> None:
    await opened(package=lambda: package(without=MEMBER))
    check, verdict, said, move = await the_bad_one()
    assert (check, verdict) == ("channel", "wrong")
    assert "Change Data Capture is not on for Patient__c" in said
    assert "deploy the package" in move


async def test_a_channel_that_is_not_there_is_found(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened()
    monkeypatch.setenv("SALESFORCE_CHANNEL", "/data/Nothing__chn")
    stream, channel = await bad()
    assert (stream["check"], stream["verdict"]) == ("stream", "wrong")
    assert "Change Data Capture" in stream["move"]
    assert (channel["check"], channel["said"]) == ("channel", "There is no channel /data/Nothing__chn.")


async def test_a_channel_of_one_object_needs_neither_filter_nor_enrichment(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(package=lambda: package((MEMBER, FILTER, "")))
    monkeypatch.setenv("SALESFORCE_CHANNEL", "/data/Patient__ChangeEvent")
    assert await bad() == []


async def test_a_channel_without_its_filter_is_found(opened: Open) -> None:
    await opened(package=lambda: package((MEMBER, FILTER, "")))
    check, verdict, said, move = await the_bad_one()
    assert (check, verdict) == ("channel", "warning")
    assert "has no filter" in said
    assert "(Ready_for_Fusion__c = true)" in move


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("Ready_for_Fusion__c=TRUE", "ok"),
        ("(Ready_for_Fusion__c = false)", "wrong"),
        ("(Ready_for_Fusion__c = true) AND (Gender__c = 'Female')", "wrong"),
    ],
)
async def test_a_filter_that_lets_through_other_changes_is_found(opened: Open, condition: str, verdict: str) -> None:
    await opened(package=lambda: package((MEMBER, FILTER, f"<filterExpression>{condition}</filterExpression>")))
    (found,) = [one for one in await examined() if one["check"] == "channel"]
    assert found["verdict"] == verdict
    assert (condition in found["said"]) is (verdict == "wrong")


async def test_enrichment_that_is_missing_is_found_by_field(opened: Open) -> None:
    along = "<enrichedFields>\n        <name>Fusion_Web_Id__c</name>\n    </enrichedFields>"
    await opened(package=lambda: package((MEMBER, along, "")))
    check, verdict, said, move = await the_bad_one()
    assert (check, verdict) == ("channel", "warning")
    assert "do not carry Fusion_Web_Id__c along" in said
    assert "deploy the package" in move


@pytest.mark.parametrize(("value", "verdict"), [("Retrying", "wrong"), ("not_told", "warning")])
async def test_a_package_that_is_older_than_the_program_is_found(opened: Open, value: str, verdict: str) -> None:
    org = await opened()
    assert org.control.deploy(package((OBJECT, f"<fullName>{value}</fullName>", "<fullName>Old</fullName>")))["success"]
    check, found, said, move = await the_bad_one()
    assert (check, found) == ("package", verdict)
    assert f"does not know {value}: the package is older than this program" in said
    assert move == "deploy the package again"


# What is the matter today


@pytest.mark.parametrize(
    ("ahead", "found"),
    [(60, ("clock", "warning", "60 s apart", "NTP")), (400, ("log-in", "wrong", "refused", "is this host's clock"))],
)
async def test_a_clock_that_is_wrong_is_found(opened: Open, ahead: int, found: tuple[str, str, str, str]) -> None:
    await opened(clock=lambda: utc_now() + timedelta(seconds=ahead))
    check, verdict, said, move = await the_bad_one()
    assert (check, verdict) == found[:2]
    assert found[2].replace("60", "") in said.replace("59", "").replace("60", "").replace("61", "")
    assert found[3] in move


async def test_a_limit_that_is_near_is_found(opened: Open) -> None:
    org = await opened()
    org.control.allowance.calls_used = 90_000
    org.control.allowance.events_used = 45_000
    calls, events = await bad()
    assert (calls["check"], calls["verdict"], events["check"]) == ("limits", "warning", "limits")
    assert "(90%)" in calls["said"]
    assert "API calls" in calls["said"]
    assert "delivered events" in events["said"]


async def test_salesforce_away_is_said_once(opened: Open) -> None:
    org = await opened()
    org.control.faults.add(Fault(path="/services/data", status=503, times=None))
    check, verdict, said, _ = await the_bad_one()
    assert (check, verdict) == ("log-in", "wrong")
    assert "503" in said


async def test_a_log_in_that_is_refused_ends_the_round(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened()
    monkeypatch.setenv("SALESFORCE_CLIENT_ID", "nobody")
    check, verdict, _, move = await the_bad_one()
    assert (check, verdict) == ("log-in", "wrong")
    assert "SALESFORCE_CLIENT_ID" in move
