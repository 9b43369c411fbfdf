"""The subset of SOQL: what it answers, and that it refuses the rest."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from listener.standin.metadata.archive import unpack
from listener.standin.metadata.setup import Setup
from listener.standin.package import shipped
from listener.standin.problems import ApiError
from listener.standin.query import checked, run
from listener.standin.schema import Schema
from listener.standin.soql import parse
from listener.standin.standard import standard_schema
from listener.standin.store import Store
from listener.standin.transaction import Transaction

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PATIENTS: list[dict[str, object]] = [
    {"First_Name__c": "Ada", "Fusion_Sync_Attempts__c": 3, "Date_of_Birth__c": "2019-05-01", "Gender__c": "Female"},
    {
        "First_Name__c": "Ben",
        "Fusion_Sync_Attempts__c": 0,
        "Date_of_Birth__c": "2026-11-24",
        "Ready_for_Fusion__c": True,
    },
    {"First_Name__c": "Cy_d", "Fusion_Sync_Attempts__c": 12, "Guardian_Email__c": "O'Hara@example.com"},
    {"First_Name__c": "Dot", "Preferred_Name__c": "100% Dot", "Fusion_Synced_At__c": "2026-11-23T08:30:00Z"},
]


def clinic_schema(clock: Callable[[], datetime]) -> Schema:
    """As the package makes it."""
    schema = standard_schema()
    assert Setup(schema, clock).deploy(unpack(shipped())).success
    return schema


@pytest.fixture
def store() -> Store:
    """Four patients saved one minute apart, the last one deleted."""
    now = [NOON]
    store = Store(clinic_schema(lambda: now[0]), lambda: now[0])
    patient = store.schema.objects["Patient__c"]
    ids = []
    for values in PATIENTS:
        change = Transaction(store, "005000000000001AAA", None, automation=False)
        ids.append(change.create(patient, {"Last_Name__c": "Sample", **values}))
        change.commit()
        now[0] += timedelta(minutes=1)
    return store


def names(store: Store, text: str, *, deleted: bool = False) -> list[object]:
    query = parse(text)
    sobject, selected = checked(store.schema.find, query)
    rows = store.rows(sobject, deleted=deleted)
    return [row[selected[0]] for row in run(rows, sobject, query, store.now().date())]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("First_Name__c = 'ada'", ["Ada"]),
        ("first_name__C = 'ADA'", ["Ada"]),
        ("First_Name__c != 'Ada' AND Ready_for_Fusion__c = false", ["Cy_d", "Dot"]),
        ("First_Name__c IN ('Ada', 'Dot')", ["Ada", "Dot"]),
        ("First_Name__c NOT IN ('Ada', 'Dot')", ["Ben", "Cy_d"]),
        ("First_Name__c LIKE '%d%'", ["Ada", "Cy_d", "Dot"]),
        ("First_Name__c LIKE '_en'", ["Ben"]),
        ("Guardian_Email__c = 'o\\'hara@example.com'", ["Cy_d"]),
        ("Gender__c = null", ["Ben", "Cy_d", "Dot"]),
        ("Gender__c <> NULL", ["Ada"]),
        ("Gender__c != 'Female'", ["Ben", "Cy_d", "Dot"]),
        ("Fusion_Sync_Attempts__c >= 3", ["Ada", "Cy_d"]),
        ("Fusion_Sync_Attempts__c < 3.5", ["Ada", "Ben", "Dot"]),
        ("Date_of_Birth__c < 2020-01-01", ["Ada"]),
        ("Date_of_Birth__c = TODAY", ["Ben"]),
        ("Fusion_Synced_At__c = LAST_N_DAYS:1", ["Dot"]),
        ("Fusion_Synced_At__c < TODAY", ["Dot"]),
        ("SystemModstamp > 2026-11-24T12:01:00Z", ["Cy_d", "Dot"]),
        ("SystemModstamp >= 2026-11-24T13:02:00.900+01:00", ["Cy_d", "Dot"]),
        ("SystemModstamp > 2026-11-24T12:00:00Z AND SystemModstamp <= 2026-11-24T12:02:00Z", ["Ben", "Cy_d"]),
        ("NOT (First_Name__c = 'Ada' OR First_Name__c = 'Ben')", ["Cy_d", "Dot"]),
        ("(First_Name__c = 'Ada' OR First_Name__c = 'Ben') AND Ready_for_Fusion__c = true", ["Ben"]),
        ("Full_Name__c = 'ada sample'", ["Ada"]),
    ],
)
def test_a_condition_finds_its_patients(store: Store, where: str, found: list[str]) -> None:
    assert names(store, f"SELECT First_Name__c FROM Patient__c WHERE {where}") == found


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        ("ORDER BY First_Name__c DESC", ["Dot", "Cy_d", "Ben", "Ada"]),
        ("ORDER BY Date_of_Birth__c", ["Cy_d", "Dot", "Ada", "Ben"]),
        ("ORDER BY Date_of_Birth__c DESC NULLS LAST, First_Name__c", ["Ben", "Ada", "Cy_d", "Dot"]),
        ("ORDER BY SystemModstamp, Id LIMIT 2 OFFSET 1", ["Ben", "Cy_d"]),
        ("LIMIT 0", []),
    ],
)
def test_rows_are_ordered_and_cut(store: Store, tail: str, found: list[str]) -> None:
    assert names(store, f"select First_Name__c from patient__c {tail}") == found


def test_ids_match_in_both_lengths(store: Store) -> None:
    full = names(store, "SELECT Id FROM Patient__c WHERE First_Name__c = 'Ben'")[0]
    assert names(store, f"SELECT First_Name__c FROM Patient__c WHERE Id = '{str(full)[:15]}'") == ["Ben"]
    assert names(store, f"SELECT First_Name__c FROM Patient__c WHERE Id IN ('{full}')") == ["Ben"]


def test_deleted_rows_are_for_query_all_only(store: Store) -> None:
    patient = store.schema.objects["Patient__c"]
    change = Transaction(store, "005000000000001AAA", None, automation=False)
    change.delete(patient, str(names(store, "SELECT Id FROM Patient__c WHERE First_Name__c = 'Ben'")[0]))
    change.commit()
    assert names(store, "SELECT First_Name__c FROM Patient__c WHERE IsDeleted = true", deleted=True) == ["Ben"]
    assert names(store, "SELECT First_Name__c FROM Patient__c") == ["Ada", "Cy_d", "Dot"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT FROM Patient__c",
        "SELECT Id Patient__c",
        "SELECT Id FROM Patient__c WHERE",
        "SELECT Id FROM Patient__c WHERE First_Name__c",
        "SELECT Id FROM Patient__c WHERE First_Name__c = 'open",
        "SELECT Id FROM Patient__c WHERE First_Name__c = Ada",
        "SELECT Id FROM Patient__c WHERE Gender__c = 'a' AND Gender__c = 'b' OR Gender__c = 'c'",
        "SELECT Id FROM Patient__c WHERE Gender__c = 'a' OR Gender__c = 'b' AND Gender__c = 'c'",
        "SELECT Id FROM Patient__c LIMIT ten",
        "SELECT Id FROM Patient__c GROUP BY Gender__c",
        "SELECT COUNT(Id) FROM Patient__c",
        "SELECT Id, (SELECT Id FROM Cases) FROM Patient__c",
        "SELECT Id FROM Patient__c; DROP",
        "SELECT Id FROM Patient__c WHERE SystemModstamp > THIS_FISCAL_QUARTER",
        "SELECT Id FROM Patient__c FOR UPDATE",
    ],
)
def test_what_is_not_understood_is_malformed(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse(text)
    assert refused.value.code == "MALFORMED_QUERY"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("SELECT Id FROM ScratchOrgInfo", "INVALID_TYPE", "sObject type 'ScratchOrgInfo' is not supported"),
        ("SELECT Nope__c FROM Patient__c", "INVALID_FIELD", "No such column 'Nope__c' on entity 'Patient__c'"),
        ("SELECT Id FROM Patient__c WHERE Nope__c = 1", "INVALID_FIELD", "No such column"),
        ("SELECT Owner.Name FROM Patient__c", "INVALID_FIELD", "Didn't understand relationship 'Owner'"),
        ("SELECT Id, id FROM Patient__c", "INVALID_FIELD", "duplicate field selected"),
        ("SELECT Id FROM Patient__c WHERE SSN__c = '900-12-3456'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Patient__c WHERE Case_Notes__c != null", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Patient__c ORDER BY Case_Notes__c", "INVALID_FIELD", "can not be sorted"),
        ("SELECT Id FROM Patient__c WHERE SystemModstamp > '2026-11-24'", "INVALID_FIELD", "must be of type datetime"),
        ("SELECT Id FROM Patient__c WHERE SystemModstamp > 2026-11-24", "INVALID_FIELD", "must be of type datetime"),
        ("SELECT Id FROM Patient__c WHERE Ready_for_Fusion__c = 'true'", "INVALID_FIELD", "must be of type boolean"),
        ("SELECT Id FROM Patient__c WHERE Id = 'nonsense'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field"),
    ],
)
def test_a_query_the_org_would_refuse_is_refused(store: Store, text: str, code: str, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        names(store, text)
    assert (refused.value.code, words in refused.value.message) == (code, True)


def test_a_wrong_literal_is_refused_even_when_there_is_no_record() -> None:
    empty = Store(clinic_schema(lambda: NOON), lambda: NOON)
    with pytest.raises(ApiError, match="must be of type boolean"):
        names(empty, "SELECT Id FROM Patient__c WHERE Ready_for_Fusion__c = 1")


def test_literals_keep_their_type() -> None:
    query = parse("SELECT Id FROM X WHERE a = 2026-11-24 AND b = 2026-11-24T01:02:03.999Z AND c = -2 AND d = 1.5")
    operands = [part.operand for part in query.where.parts]  # type: ignore[union-attr]
    assert operands == [date(2026, 11, 24), datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC), -2, 1.5]
