"""Field by field: after a visit a chart shows what the record says, and whatever else was on it is as it was.

What should be there is worked out here from the record and the chart before, by a table of its own, and held against
what the stand-in portal has; nothing of the driver's is asked.
"""

import os
import unicodedata
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from portal_kits import OTHER_KITS, OTHER_PACK
from portal_people import PACK, go_ahead, web_portal

from fusion.differences import differences
from fusion.standin.control import Control
from fusion.standin.server import StandInPortal
from fusion.transforms import patient_from
from tests.fusion.desk import MAPPING, RECORD_ID, TODAY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
EXAMPLES = int(os.environ.get("FUSION_TEST_EXAMPLES", "20"))
MARKER = f"[Salesforce intake {RECORD_ID}]"

Labels = dict[str, str]

NAMES = st.sampled_from(["Ana", "José", "Mary-Ann", "O'Neil", "van der Berg", "Łukasz", "Zoë", "Mia June"])
SURE = st.sampled_from(["Blue Ridge Health", "Carolina Medicaid", "Dogwood Children's Plan"])
TEXTS = st.sampled_from(
    ["Speaks little.", "Hört gut.\nPrefers mornings.", "Allergic to nuts;\n\nask first.", "☎ after five"]
)
SSNS = st.from_regex(r"9[0-9]{2}-[0-9]{2}-[0-9]{4}", fullmatch=True)
DAYS = st.dates(min_value=TODAY.replace(year=2008), max_value=TODAY.replace(year=2024))
ZIPS = st.from_regex(r"27[0-9]{3}(-[0-9]{4})?", fullmatch=True)
STATES = st.sampled_from(["NC", "VA", "SC"])
OURS = st.integers(100, 149).map(lambda n: f"(919) 555-0{n}")
STAFFS = st.integers(150, 199).map(lambda n: f"(919) 555-0{n}")

# Salesforce's word and the portal's.
GENDERS = {"Female": "Female", "Male": "Male", "Nonbinary": "Non-binary", "Unknown": "Unknown"}
PLACES = {"Main Clinic": "Main", "North Clinic": "North", "Telehealth": "Telehealth"}
KIN = {"Mother": "Mother", "Foster Parent": "Foster Parent", "Legal Guardian": "Guardian", "Other": "Other"}
PLANS = {"Commercial": "Commercial", "TRICARE": "Tricare", "Medicaid": "Medicaid"}

GUARDIAN = {
    "Guardian_First_Name__c": NAMES,
    "Guardian_Last_Name__c": NAMES,
    "Guardian_Relationship__c": st.none() | st.sampled_from(list(KIN)),
    "Guardian_Street__c": st.none() | st.sampled_from(["1 Elm Street", "22 Oak Ct., Apt. 3"]),
    "Guardian_City__c": st.none() | st.sampled_from(["Cary", "Apex"]),
    "Guardian_State__c": st.none() | STATES,
    "Guardian_Postal_Code__c": st.none() | ZIPS,
    "Guardian_Phone__c": st.none() | OURS,
    "Guardian_Email__c": st.none() | st.sampled_from(["rosa@example.com", "otto@example.com"]),
}
INSURANCE = {
    "Insurance_Type__c": st.none() | st.sampled_from(list(PLANS)),
    "Insurance_Payer__c": SURE,
    "Insurance_Id_Number__c": st.sampled_from(["CM-1001", "BR 77/2"]),
}
RECORDS = st.fixed_dictionaries(
    {
        "Ready_for_Fusion__c": st.just(True),
        "First_Name__c": NAMES,
        "Middle_Name__c": st.none() | NAMES,
        "Last_Name__c": NAMES,
        "Preferred_Name__c": st.none() | NAMES,
        "Date_of_Birth__c": DAYS.map(str),
        "SSN__c": st.none() | SSNS,
        "Gender__c": st.none() | st.sampled_from(list(GENDERS)),
        "Location__c": st.none() | st.sampled_from(list(PLACES)),
        "Presenting_Concerns__c": st.none() | TEXTS,
        "Case_Notes__c": st.none() | TEXTS,
    }
)


def absent(fields: Mapping[str, object]) -> st.SearchStrategy[dict[str, Any]]:
    """A record with all of these, or none."""
    return st.just(dict.fromkeys(fields)) | st.fixed_dictionaries(dict(fields))


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record, and the chart that staff has of the same child: with or without rows of ours, and rows of their own."""
    record = draw(RECORDS) | draw(absent(GUARDIAN)) | draw(absent(INSURANCE))
    case = draw(st.sampled_from([str, str.upper]))
    patient = {
        "First Name": case(record["First_Name__c"]),
        "Last Name": record["Last_Name__c"],
        "Birthdate": day(record["Date_of_Birth__c"]),
        "Middle Name": draw(st.just("") | NAMES),
        "Nickname": draw(st.just("") | NAMES),
        "SSN": draw(st.just("") | SSNS),
        "Gender": draw(st.sampled_from(["", *GENDERS.values()])),
        "Location": draw(st.sampled_from(["", *PLACES.values()])),
        "Medical Record": draw(st.sampled_from(["", "MR-1"])),
        "Referred By": draw(st.sampled_from(["", "Dr. Example"])),
    }
    contact = {
        "Name": guardian(record) or "Rosa Nobody",
        "Relationship": draw(st.sampled_from(["", *KIN.values()])),
        "Street": draw(st.sampled_from(["", "1 ELM STREET", "9 Ash Way"])),
        "City": draw(st.sampled_from(["", "Cary"])),
        "State": draw(st.just("") | STATES),
        "Zip": draw(st.just("") | ZIPS),
        "Phone": draw(st.just("") | OURS),
        "Email": draw(st.sampled_from(["", "rosa@example.com"])),
    }
    note = draw(TEXTS) + f"\n{MARKER}" + draw(st.sampled_from(["", "\nSeen by staff."]))
    chart = {
        "Patient": patient,
        "Contacts": draw(rows(contact, {"Name": st.sampled_from(["Nora Staff", "Olaf Staff"]), "Phone": STAFFS})),
        "Cases": draw(
            rows(
                {"Case": "Evaluation", "Presenting Concerns": draw(st.just("") | TEXTS)},
                {"Case": st.sampled_from(["Speech Therapy", "Physical Therapy"]), "Presenting Concerns": TEXTS},
            )
        ),
        "Payers": draw(
            rows(
                {
                    "Insurance Type": draw(st.sampled_from(["", "Other", *PLANS.values()])),
                    "Payer": record["Insurance_Payer__c"] or "Cape Fear Mutual",
                    "ID Number": record["Insurance_Id_Number__c"] or "CF-1",
                },
                {"Payer": SURE, "ID Number": st.just("ZZ-9")},
            )
        ),
        "Notes": draw(rows({"Note": note}, {"Note": st.sampled_from(["Staff's own.", "Call back\non Monday"])})),
    }
    return record, chart


@st.composite
def rows(draw: st.DrawFn, ours: Labels, staffs: Mapping[str, st.SearchStrategy[str]]) -> list[Labels]:
    """Up to two of staff's, and ours among them, or not."""
    found = draw(st.lists(st.fixed_dictionaries(dict(staffs)), max_size=2))
    if draw(st.booleans()):
        found.insert(draw(st.integers(0, len(found))), ours)
    return found


# ---- what should be there


def expected(record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, list[Labels]]:
    """The whole chart after the visit, section by section; each a list of rows without their ids."""
    patient = {
        "First Name": record["First_Name__c"],
        "Middle Name": record["Middle_Name__c"] or "",
        "Last Name": record["Last_Name__c"],
        "Nickname": record["Preferred_Name__c"] or "",
        "Birthdate": day(record["Date_of_Birth__c"]),
        "SSN": record["SSN__c"],
        "Gender": GENDERS.get(record["Gender__c"]),
        "Location": PLACES.get(record["Location__c"]),
    }
    # None: what is empty in Salesforce stays in the portal; "": it is emptied there, too.
    contact = None
    if name := guardian(record):
        contact = {
            "Name": name,
            "Relationship": KIN.get(record["Guardian_Relationship__c"]),
            "Street": record["Guardian_Street__c"] or "",
            "City": record["Guardian_City__c"] or "",
            "State": record["Guardian_State__c"] or "",
            "Zip": record["Guardian_Postal_Code__c"] or "",
            "Phone": record["Guardian_Phone__c"] or "",
            "Email": record["Guardian_Email__c"] or "",
        }
    # A case of which nothing is said but its type is none.
    concerns = record["Presenting_Concerns__c"]
    case = {"Case": "Evaluation", "Presenting Concerns": concerns} if concerns else None
    payer = None
    if record["Insurance_Payer__c"]:
        payer = {
            "Insurance Type": PLANS.get(record["Insurance_Type__c"]),
            "Payer": record["Insurance_Payer__c"],
            "ID Number": record["Insurance_Id_Number__c"],
        }
    note = {"Note": f"{record['Case_Notes__c']}\n{MARKER}"} if record["Case_Notes__c"] else None
    return {
        "Patient": [merged(before["Patient"], patient)],
        "Contacts": with_ours(before["Contacts"], contact, lambda row: row["Name"] == guardian(record)),
        "Cases": with_ours(before["Cases"], case, lambda row: row["Case"] == "Evaluation"),
        "Payers": with_ours(before["Payers"], payer, lambda row: payer and row["ID Number"] == payer["ID Number"]),
        "Notes": with_ours(before["Notes"], note, lambda row: MARKER in row["Note"]),
    }


def with_ours(before: list[Labels], ours: Mapping[str, str | None] | None, is_ours: Any) -> list[Labels]:
    """The rows as they were, with ours brought up to date, or added at the end."""
    if ours is None:
        return before
    if not any(is_ours(row) for row in before):
        return [*before, {label: value or "" for label, value in ours.items()}]
    return [merged(row, ours) if is_ours(row) else row for row in before]


def merged(before: Labels, ours: Mapping[str, str | None]) -> Labels:
    """Only what differs for a reader is another value; staff's words below the marker stay below it."""
    after = dict(before)
    for label, value in ours.items():
        if value is None:
            continue
        old = before.get(label, "")
        wanted = value + old.partition(MARKER)[2] if label == "Note" else value
        read = (lambda text: text.split()) if label in ("Note", "Presenting Concerns") else plain
        if read(wanted) != read(old):
            after[label] = wanted
    return after


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def guardian(record: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (record["Guardian_First_Name__c"], record["Guardian_Last_Name__c"])))


def day(iso: str) -> str:
    year, month, of_month = iso.split("-")
    return f"{month}/{of_month}/{year}"


def contents(control: Control, portal_id: str) -> dict[str, list[Labels]]:
    """What the portal has, in the form of `expected`."""
    (chart,) = [chart for chart in control.patients() if chart["id"] == portal_id]
    return {
        section: [filled(row) for row in (rows if isinstance(rows, list) else [rows])]
        for section, rows in chart.items()
        if section in ("Patient", "Contacts", "Cases", "Payers", "Notes")
    }


def filled(row: object) -> Labels:
    assert isinstance(row, dict)
    return {label: value for label, value in row.items() if label != "row_id" and value}


# ---- the visits


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    # Keys pressed one by one take their time.
    params=["usual", *(["other kits"] if "FUSION_TEST_EXAMPLES" in os.environ else [])],
)
async def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[StandInPortal, Any]]:
    """One browser for all examples."""
    usual, evidence = request.param == "usual", tmp_path_factory.mktemp("evidence")
    pack = PACK if usual else OTHER_PACK
    async with StandInPortal() as standin, web_portal(standin, evidence, pack=pack) as portal:
        if not usual:
            standin.control.look(widgets=OTHER_KITS, long_lists=True)
        yield standin, portal


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    derandomize="FUSION_TEST_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(case=cases())
@pytest.mark.timeout(60 + 6 * EXAMPLES)
async def test_a_chart_shows_the_record_and_all_else_stays(
    place: tuple[StandInPortal, Any], case: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    standin, portal = place
    record, before = case
    portal_id = standin.control.put_patient(before).id
    patient = patient_from(record, MAPPING, record_id=RECORD_ID, portal_id=portal_id, today=TODAY)
    wanted = {section: [filled(row) for row in rows] for section, rows in expected(record, before).items()}

    for visit in ("first", "second"):
        mark = standin.ledger.lines()[-1].seq
        shown = await portal.read(portal_id)
        edits = differences(shown, patient, MAPPING.policy)
        if edits:
            await portal.update(portal_id, edits, expect=shown.identity, about_to_save=go_ahead)
        assert contents(standin.control, portal_id) == wanted
        saved = [line for line in standin.ledger.lines(since=mark) if line.kind in ("create", "add", "save")]
        if visit == "second":
            assert saved == []
        # A form is saved once, and only where something differs.
        assert len({(line.section, line.row_id) for line in saved}) == len(saved)
        assert all(line.after for line in saved)
