"""Deploys by the wire: what is taken, what is refused in which words, and that nothing is ever half in force."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from org_caller import Caller, made_up

from listener.standin import StandInOrg
from listener.standin.metadata.archive import NAMESPACE, pack
from listener.standin.package import shipped
from tests.org_metadata import changed, custom_object, field, permission_set, xml, zipped

SFDX = Path(__file__).parents[3] / "sfdx"
RULE = (
    "<validationRules><fullName>R</fullName><active>true</active><errorConditionFormula>{}</errorConditionFormula>"
    "<errorMessage>No.</errorMessage></validationRules>"
)
MEMBER = "platformEventChannelMembers/M.platformEventChannelMember"
ENCRYPTED = {"maskChar": "X", "maskType": "ssn"}


@pytest.fixture
async def bare(private_key: str) -> AsyncIterator[StandInOrg]:
    """An org to which nothing was deployed yet."""
    async with StandInOrg(package=None, poll_seconds=0.4, private_key=private_key) as org:
        yield org


@pytest.fixture
async def boss(bare: StandInOrg, http: aiohttp.ClientSession) -> Caller:
    """Its administrator, logged in."""
    return await Caller(bare, http, bare.admin).log_in()


async def soap(caller: Caller, operation: str, inner: str, *, token: str | None = None) -> ET.Element:
    """What the body of the answer holds, tags without their namespaces."""
    envelope = (
        '<?xml version="1.0" encoding="UTF-8"?><se:Envelope xmlns:se="http://schemas.xmlsoap.org/soap/envelope/">'
        f'<se:Header xmlns="{NAMESPACE}"><SessionHeader><sessionId>{token or caller.token}</sessionId></SessionHeader>'
        f'</se:Header><se:Body><{operation} xmlns="{NAMESPACE}">{inner}</{operation}></se:Body></se:Envelope>'
    )
    url = f"{caller.org.url}/services/Soap/m/68.0"
    async with caller.http.post(url, data=envelope, headers={"Content-Type": "text/xml"}) as answer:
        root = ET.fromstring(await answer.text())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root.find("Body")[0]  # type: ignore[index]


async def deployed(caller: Caller, zipped: bytes, *, check_only: bool = False) -> ET.Element:
    """The DeployResult of one deploy, with its details."""
    options = f"<DeployOptions><checkOnly>{str(check_only).lower()}</checkOnly></DeployOptions>"
    asked = f"<ZipFile>{base64.b64encode(zipped).decode()}</ZipFile>{options}"
    begun = await soap(caller, "deploy", asked)
    assert begun.findtext("result/done") == "false"
    deploy_id = begun.findtext("result/id")
    looked = f"<asyncProcessId>{deploy_id}</asyncProcessId><includeDetails>true</includeDetails>"
    result = (await soap(caller, "checkDeployStatus", looked)).find("result")
    assert result is not None
    return result


def problems(result: ET.Element) -> dict[str, str]:
    """Problem by the full name of the component."""
    assert (result.findtext("status"), result.findtext("success")) == ("Failed", "false")
    failures = result.findall("details/componentFailures")
    return {str(one.findtext("fullName")): str(one.findtext("problem")) for one in failures}


async def test_the_package_deploys_and_the_org_works_by_it(boss: Caller) -> None:
    assert (await boss.call("GET", "sobjects/Patient__c/describe"))[0] == 404
    result = await deployed(boss, shipped())
    assert (result.findtext("status"), result.findtext("success"), result.findtext("done")) == (
        "Succeeded",
        "true",
        "true",
    )
    total = int(result.findtext("numberComponentsTotal") or 0)
    assert total == int(result.findtext("numberComponentsDeployed") or 0) > 60
    successes = result.findall("details/componentSuccesses")
    assert len(successes) == total
    assert all(one.findtext("created") == "true" for one in successes)
    boss.org.control.assign("admin", "Fusion_Sync_Admin")
    assert (await boss.create())[:3] == "a0P"
    again = await deployed(boss, shipped())
    assert {one.findtext("created") for one in again.findall("details/componentSuccesses")} == {"false"}
    assert len(await boss.query("SELECT Id FROM Patient__c")) == 1


async def test_a_dry_run_changes_nothing(boss: Caller) -> None:
    result = await deployed(boss, shipped(), check_only=True)
    assert (result.findtext("success"), result.findtext("checkOnly")) == ("true", "true")
    assert (await boss.call("GET", "sobjects/Patient__c/describe"))[0] == 404


async def test_the_metadata_api_answers_by_rest_too(boss: Caller) -> None:
    form = aiohttp.FormData()
    form.add_field("json", json.dumps({"deployOptions": {"checkOnly": False}}), content_type="application/json")
    form.add_field("file", shipped(), filename="deploy.zip", content_type="application/zip")
    url = f"{boss.org.url}/services/data/v66.0/metadata/deployRequest"
    async with boss.http.post(url, data=form, headers={"Authorization": f"Bearer {boss.token}"}) as answer:
        status, body = answer.status, await answer.json()
    assert status == 201
    status, body = await boss.call("GET", f"metadata/deployRequest/{body['id']}", includeDetails="true")
    assert (status, body["deployResult"]["status"]) == (200, "Succeeded")
    assert body["deployResult"]["details"]["componentFailures"] == []
    assert boss.org.ledger.of("deploy")[0]["user"] == "admin@clinic.example.com"


async def test_who_may_not_deploy_is_told_so(boss: Caller, bare: StandInOrg, http: aiohttp.ClientSession) -> None:
    desk = await Caller(bare, http, bare.intake).log_in()
    zipped = f"<ZipFile>{base64.b64encode(shipped()).decode()}</ZipFile>"
    assert (await soap(desk, "deploy", zipped)).findtext("faultcode") == "sf:INSUFFICIENT_ACCESS"
    assert (await soap(boss, "deploy", zipped, token="00D!nobody")).findtext("faultcode") == "sf:INVALID_SESSION_ID"
    assert (await soap(boss, "retrieve", "")).findtext("faultcode") == "sf:INVALID_OPERATION"
    assert (await soap(boss, "deploy", "<ZipFile>%%</ZipFile>")).findtext("faultcode") == "sf:INVALID_ZIP_FILE"
    unknown = "<asyncProcessId>0AfHs0000000009KAA</asyncProcessId>"
    assert (await soap(boss, "checkDeployStatus", unknown)).findtext("faultcode") == "sf:INVALID_CROSS_REFERENCE_KEY"


async def test_what_is_no_zip_fails_as_a_whole(boss: Caller) -> None:
    result = await deployed(boss, b"no zip")
    assert (result.findtext("status"), result.findtext("errorMessage")) == (
        "Failed",
        "The zip file could not be read",
    )


async def test_one_broken_reference_keeps_everything_out_and_is_told_with_its_line(boss: Caller) -> None:
    files = {
        "objects/Beat__c.object": custom_object(field("At__c"), field("Ok__c")),
        "permissionsets/Beats.permissionset": permission_set("Beats", "Beat__c", "At__c", "Gone__c"),
        "layouts/Beat__c-Beat Layout.layout": xml(
            "Layout",
            "<layoutSections><layoutColumns><layoutItems><field>Lost__c</field></layoutItems></layoutColumns></layoutSections>",
        ),
    }
    result = await deployed(boss, zipped(files))
    assert problems(result) == {
        "Beats": "In field: field - no CustomField named Beat__c.Gone__c found",
        "Beat__c-Beat Layout": "In field: field - no CustomField named Beat__c.Lost__c found",
    }
    assert result.findtext("numberComponentsDeployed") == "0"
    assert {one.findtext("componentType") for one in result.findall("details/componentSuccesses")} == {
        "CustomObject",
        "CustomField",
    }
    assert (await boss.call("GET", "sobjects/Beat__c/describe"))[0] == 404
    assert boss.org.ledger.of("deploy")[0]["failures"][0]["name"] == "Beats"


BROKEN: Mapping[str, tuple[Mapping[str, str], str]] = {
    "a text without a length": ({"o": custom_object(field("A__c", length=None))}, "Must specify 'length'"),
    "a text that is too long": ({"o": custom_object(field("A__c", length=256))}, "between 1 and 255"),
    "a text area with a length": ({"o": custom_object(field("A__c", "TextArea"))}, "Can not specify 'length'"),
    "a long text without lines": (
        {"o": custom_object(field("A__c", "LongTextArea", length=32768))},
        "Must specify 'visibleLines'",
    ),
    "an encrypted text that is too long": (
        {"o": custom_object(field("A__c", "EncryptedText", length=300, **ENCRYPTED))},
        "between 1 and 175",
    ),
    "an encrypted external id": (
        {"o": custom_object(field("A__c", "EncryptedText", length=11, externalId="true", **ENCRYPTED))},
        "cannot be unique, an external ID",
    ),
    "a mask that nobody knows": (
        {"o": custom_object(field("A__c", "EncryptedText", length=11, maskChar="X", maskType="SSN"))},
        "Must specify 'maskChar' and 'maskType'",
    ),
    "a picklist without values": (
        {"o": custom_object(field("A__c", "Picklist", length=None))},
        "at least one picklist value",
    ),
    "a number without a precision": (
        {"o": custom_object(field("A__c", "Number", length=None))},
        "Can not specify 'precision' outside",
    ),
    "a kind of field that is not known": (
        {"o": custom_object(field("A__c", "Hierarchy", length=None))},
        "no custom fields of type Hierarchy",
    ),
    "a field without its ending": ({"o": custom_object(field("A"))}, "must end in __c"),
    "a field without a label": ({"o": custom_object(field("A__c", label=""))}, "non-empty label"),
    "a formula that names nothing": (
        {"o": custom_object(field("A__c", length=None, formula="Lost__c &amp; 'x'"))},
        "Field Lost__c does not exist. Check spelling.",
    ),
    "a formula over long text": (
        {
            "o": custom_object(
                field("A__c", length=None, formula="B__c"), field("B__c", "LongTextArea", length=256, visibleLines="3")
            )
        },
        "You cannot use long text area fields in this type of formula: B__c",
    ),
    "a rule with a function that is not known": (
        {"o": custom_object(field("A__c"), RULE.format('VLOOKUP(A__c, "x", 1)'))},
        "Unknown function VLOOKUP",
    ),
    "a rule that compares a picklist": (
        {
            "o": custom_object(
                field(
                    "A__c",
                    "Picklist",
                    length=None,
                    valueSet="<valueSetDefinition><value><fullName>x</fullName></value></valueSetDefinition>",
                ),
                RULE.format('A__c = "x"'),
            )
        },
        "Field A__c is a picklist field.",
    ),
    "a rule that does not end": ({"o": custom_object(field("A__c"), RULE.format("AND(ISBLANK(A__c)"))}, "Missing ','"),
    "a rule with a permission that is not there": (
        {"o": custom_object(field("A__c"), RULE.format("$Permission.Nobody"))},
        "Field $Permission.Nobody does not exist",
    ),
    "a permission set on a required field": (
        {
            "o": custom_object(field("A__c", required="true")),
            "permissionsets/P.permissionset": permission_set("P", "Beat__c", "A__c"),
        },
        "You cannot deploy to a required field: Beat__c.A__c",
    ),
    "a permission set that writes a formula": (
        {
            "o": custom_object(field("A__c", length=None, formula="'x'")),
            "permissionsets/P.permissionset": permission_set("P", "Beat__c", "A__c"),
        },
        "is not editable",
    ),
    "a right without the one that it builds on": (
        {
            "o": custom_object(),
            "permissionsets/P.permissionset": permission_set("P", "Beat__c").replace(
                "<allowDelete>true", "<allowDelete>false"
            ),
        },
        "Permission Modify All Beat__c depends on permission(s)",
    ),
    "a custom permission that is not there": (
        {
            "o": custom_object(),
            "permissionsets/P.permissionset": permission_set(
                "P", "Beat__c", custom="<customPermissions><enabled>true</enabled><name>X</name></customPermissions>"
            ),
        },
        "no CustomPermission named X found",
    ),
    "a member without its channel": (
        {
            "o": custom_object(),
            MEMBER: xml(
                "PlatformEventChannelMember",
                "<eventChannel>No__chn</eventChannel><selectedEntity>Beat__ChangeEvent</selectedEntity>",
            ),
        },
        "no PlatformEventChannel named No__chn found",
    ),
    "a class": ({"classes/X.cls": xml("ApexClass", "")}, "takes no ApexClass"),
    "what is no xml": ({"o": "<CustomObject><label>"}, "Error parsing file"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_component_is_refused_in_its_own_words(boss: Caller, name: str) -> None:
    files, expected = BROKEN[name]
    result = await deployed(
        boss, zipped({"objects/Beat__c.object" if path == "o" else path: text for path, text in files.items()})
    )
    assert any(expected in problem for problem in problems(result).values()), problems(result)


CHANNEL_FAULTS = {
    "too many enriched fields": (
        "".join(f"<enrichedFields><name>F{n}__c</name></enrichedFields>" for n in range(11)),
        "up to 10",
    ),
    "enriched long text": ("<enrichedFields><name>Case_Notes__c</name></enrichedFields>", "can't be used"),
    "enriched encrypted text": ("<enrichedFields><name>SSN__c</name></enrichedFields>", "can't be used"),
    "an enriched field that is not there": ("<enrichedFields><name>Lost__c</name></enrichedFields>", "doesn't exist"),
    "a filter over a field that is not there": ("<filterExpression>Lost__c = true</filterExpression>", "doesn't exist"),
    "a filter with WHERE": ("<filterExpression>WHERE Ready_for_Fusion__c = true</filterExpression>", "is invalid"),
    "an object twice on one channel": ("", "DUPLICATE_VALUE"),
}


@pytest.mark.parametrize("name", CHANNEL_FAULTS)
async def test_a_member_of_the_channel_is_checked_against_its_object(org: StandInOrg, admin: Caller, name: str) -> None:
    inner, expected = CHANNEL_FAULTS[name]
    target = "<eventChannel>FusionSync__chn</eventChannel>"
    member = xml("PlatformEventChannelMember", f"{target}{inner}<selectedEntity>Patient__ChangeEvent</selectedEntity>")
    assert expected in problems(await deployed(admin, zipped({MEMBER: member})))["M"]


async def test_what_package_xml_names_must_be_there(boss: Caller) -> None:
    result = await deployed(boss, zipped({}, named={"CustomObject": "Beat__c"}))
    assert "was named in package.xml, but was not found" in problems(result)["Beat__c"]


async def test_a_fault_in_the_text_is_told_with_line_and_column(boss: Caller) -> None:
    broken = custom_object(field("A__c")).replace("</CustomObject>", "</CustomObjekt>")
    result = await deployed(boss, zipped({"objects/Beat__c.object": broken}))
    (failure,) = result.findall("details/componentFailures")
    assert failure.findtext("lineNumber") == "5"
    assert int(failure.findtext("columnNumber") or 0) > 1


# ---- what is deployed later


async def test_a_field_that_comes_later_is_empty_in_the_records_that_are_there(org: StandInOrg, admin: Caller) -> None:
    record_id = org.control.create(made_up())
    more = zipped(
        {
            "objects/Patient__c.object": xml("CustomObject", field("School__c")),
            "permissionsets/Schools.permissionset": permission_set("Schools", "Patient__c", "School__c"),
        }
    )
    assert (await deployed(admin, more)).findtext("success") == "true"
    org.control.assign("admin", "Fusion_Sync_Admin", "Schools")
    assert await admin.query("SELECT School__c FROM Patient__c") == [
        {
            "attributes": {"type": "Patient__c", "url": f"/services/data/v66.0/sobjects/Patient__c/{record_id}"},
            "School__c": None,
        }
    ]
    assert (await admin.call("PATCH", f"sobjects/Patient__c/{record_id}", {"School__c": "Elm"}))[0] == 204
    assert (await admin.call("PATCH", f"sobjects/Patient__c/{record_id}", {"Gender__c": "Female"}))[0] == 204


async def test_without_the_flow_an_edit_queues_nothing(org: StandInOrg, admin: Caller) -> None:
    record_id = org.control.create(made_up(Ready_for_Fusion__c=True))
    flow = (SFDX / "force-app/main/default/flows/Fusion_Queue_Patient.flow-meta.xml").read_text()
    assert "<status>Active</status>" in flow
    off = zipped({"flows/Fusion_Queue_Patient.flow": flow.replace("<status>Active<", "<status>Draft<")})
    assert (await deployed(admin, off)).findtext("success") == "true"
    org.control.update(record_id, {"Fusion_Sync_Status__c": "Synced"})
    org.control.update(record_id, {"Preferred_Name__c": "Addie"})
    assert org.control.record(record_id)["Fusion_Sync_Status__c"] == "Synced"


FLOW_FAULTS: Mapping[str, tuple[str, str, str]] = {
    "a field that is not there": ("$Record.Fusion_Queued_At__c", "$Record.Lost__c", "The field Lost__c doesn't exist"),
    "a formula": (
        "<assignToReference>$Record.Fusion_Sync_Status__c",
        "<assignToReference>$Record.Full_Name__c",
        "read-only",
    ),
    "an element that does not run before a save": (
        "<decisions>",
        "<recordUpdates></recordUpdates><decisions>",
        "runs no recordUpdates",
    ),
    "a connector to nowhere": ("<targetReference>Queue<", "<targetReference>Nowhere<", "element Nowhere"),
    "a function that is not known": ("ISNEW()", "ISCLONE()", "Unknown function ISCLONE"),
    "another object": ("<object>Patient__c<", "<object>Nobody__c<", "no object Nobody__c"),
}


@pytest.mark.parametrize("name", FLOW_FAULTS)
async def test_a_flow_that_could_not_run_is_refused(admin: Caller, name: str) -> None:
    old, new, expected = FLOW_FAULTS[name]
    flow = (SFDX / "force-app/main/default/flows/Fusion_Queue_Patient.flow-meta.xml").read_text()
    assert old in flow
    result = await deployed(admin, zipped({"flows/Fusion_Queue_Patient.flow": flow.replace(old, new)}))
    assert expected in problems(result)["Fusion_Queue_Patient"]


async def test_without_the_channels_member_nothing_is_told(bare: StandInOrg) -> None:
    member = "platformEventChannelMembers/FusionSync_chn_Patient_ChangeEvent.platformEventChannelMember"
    assert bare.control.deploy(changed(shipped(), without=member))["success"]
    bare.control.create(made_up(Ready_for_Fusion__c=True))
    assert bare.ledger.of("event") == []


async def test_the_package_for_contacts_deploys_too(bare: StandInOrg, http: aiohttp.ClientSession) -> None:
    result: Any = bare.control.deploy(pack(SFDX / "contact-app", "force-app"))
    assert result["success"], result["details"]["componentFailures"]
    bare.control.assign("integration", "Fusion_Sync_Integration", "Fusion_Sync_Listener")
    record_id = bare.control.create(
        {"LastName": "Sample", "FirstName": "Ada", "Birthdate": "2019-05-01", "Ready_for_Fusion__c": True},
        object_name="Contact",
    )
    robot = await Caller(bare, http, bare.integration).log_in()
    (found,) = await robot.query("SELECT Id, Name, Birthdate, Fusion_Sync_Status__c FROM Contact")
    assert (found["Id"], found["Name"], found["Fusion_Sync_Status__c"]) == (record_id, "Ada Sample", "Pending")
    assert bare.ledger.of("event")[-1]["header"]["entityName"] == "Contact"


async def test_an_org_is_not_founded_on_a_broken_package(private_key: str) -> None:
    broken = zipped({"objects/Beat__c.object": custom_object(field("A"))})
    with pytest.raises(RuntimeError, match=r"Beat__c\.A: The field A is not a custom field"):
        StandInOrg(package=lambda: broken, private_key=private_key)
