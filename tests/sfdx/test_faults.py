"""Each fault that somebody could make, planted in a copy: the rules find it, and say which it is."""

from pathlib import Path

import pytest

from tests.sfdx import faults_data, faults_screens
from tests.sfdx.planting import ACTION, LISTENER, MEMBER, field, found_after, replacing

FAULTS = {**faults_data.FAULTS, **faults_screens.FAULTS}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_metadata_is_found(name: str, copy: tuple[Path, Path]) -> None:
    where, old, new, expected = FAULTS[name]
    assert expected in found_after(copy, copy[0] / "force-app/main/default" / where, replacing(old, new))


MAPPING_FAULTS = {
    "the mapping reads a missing field": ('"Gender__c"', '"Sex__c"', "reads Sex__c, which does not exist"),
    "the mapping knows a value that Salesforce does not": (
        'Telehealth = "Telehealth"',
        'Telehealth = "Telehealth"\nHome = "Main"',
        'has an option for "Home"',
    ),
    "Salesforce knows a value that the mapping does not": (
        'Telehealth = "Telehealth"\n',
        "",
        'has no option for "Telehealth"',
    ),
    "the mapping writes a missing field": (
        '"Fusion_Synced_At__c"',
        '"Synced_At__c"',
        "writes Synced_At__c, which does not exist",
    ),
    "the mapping writes a field of another kind": (
        '"Fusion_Sync_Attempts__c"',
        '"Fusion_Queued_At__c"',
        "writes Fusion_Queued_At__c, which is a DateTime and no Number",
    ),
    "the mapping takes text for a choice": (
        'from = "Location__c"',
        'from = "Full_Name__c"',
        "reads Full_Name__c by option, but it is a Text",
    ),
    "the mapping waits for no checkbox": (
        'ready = "Ready_for_Fusion__c"',
        'ready = "Fusion_Queued_At__c"',
        "waits for Fusion_Queued_At__c",
    ),
    "the mapping is about another object": ('object = "Patient__c"', 'object = "Client__c"', "is about Client__c"),
}


@pytest.mark.parametrize("name", MAPPING_FAULTS)
def test_a_fault_in_the_mapping_is_found(name: str, copy: tuple[Path, Path]) -> None:
    old, new, expected = MAPPING_FAULTS[name]
    assert expected in found_after(copy, copy[1], replacing(old, new))


SAMPLE_FAULTS = {
    "a sample leaves out a name": ('"First_Name__c": "Ada",', "", "leaves out First_Name__c"),
    "a sample has a value that is not offered": (
        '"Gender__c": "Female"',
        '"Gender__c": "F"',
        'fills Gender__c with "F"',
    ),
    "a sample has a real number": ('"SSN__c": "900', '"SSN__c": "666', "may be somebody's"),
    "a sample fills a missing field": (
        '"Preferred_Name__c"',
        '"Nickname__c"',
        "fills Nickname__c, which does not exist",
    ),
    "a sample would be sent": (
        '"Ready_for_Fusion__c": false',
        '"Ready_for_Fusion__c": true',
        "would send it to the portal",
    ),
    "a sample is born tomorrow": ('"2019-03-14"', '"2119-03-14"', "something else than a day that is past"),
    "two samples share a reference": ('"referenceId": "Ben"', '"referenceId": "Ada"', "uses a referenceId twice"),
}


@pytest.mark.parametrize("name", SAMPLE_FAULTS)
def test_a_fault_in_a_sample_is_found(name: str, copy: tuple[Path, Path]) -> None:
    old, new, expected = SAMPLE_FAULTS[name]
    assert expected in found_after(copy, copy[0] / "data/Patient__c.json", replacing(old, new))


@pytest.mark.parametrize("where", ["classes/A.cls", "triggers/A.trigger", "lwc/a/a.js", "aura/a/a.cmp", "pages/a.page"])
def test_code_in_the_org_is_found(where: str, copy: tuple[Path, Path]) -> None:
    def write(path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.write_text("// a line of code\n")

    expected = f"is code of ours in the org ({where.partition('/')[0]})"
    assert expected in found_after(copy, copy[0] / "force-app/main/default" / where, write)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (ACTION, "offers the action Patient__c.Resync_to_Fusion, which does not exist"),
        (field("Guardian_Email__c"), "reads Guardian_Email__c, which does not exist"),
        ("reports/Fusion_Sync.reportFolder-meta.xml", "which has no ReportFolder"),
        ("platformEventChannels/FusionSync__chn.platformEventChannel-meta.xml", "SALESFORCE_CHANNEL names it"),
        (MEMBER, "no member puts it on the channel"),
        (LISTENER, "Fusion_Sync_Listener: does not exist"),
    ],
)
def test_a_lost_file_is_found(where: str, expected: str, copy: tuple[Path, Path]) -> None:
    assert expected in found_after(copy, copy[0] / "force-app/main/default" / where, Path.unlink)


@pytest.mark.parametrize(
    ("where", "old", "new", "expected"),
    [
        (MEMBER, "_chn_", "__chn_", "must be called FusionSync_chn_Patient_ChangeEvent"),
        (ACTION, ".quickAction-", ".action-", "has the suffix .action"),
    ],
)
def test_a_wrong_file_name_is_found(where: str, old: str, new: str, expected: str, copy: tuple[Path, Path]) -> None:
    path = copy[0] / "force-app/main/default" / where
    assert expected in found_after(copy, path, lambda path: path.rename(path.with_name(path.name.replace(old, new))))


def test_a_field_that_nobody_may_see_is_found(copy: tuple[Path, Path]) -> None:
    old, new = (copy[0] / "force-app/main/default" / field(name) for name in ("Preferred_Name__c", "Called__c"))
    text = old.read_text().replace("Preferred_Name__c", "Called__c")
    assert "has Called__c, which no permission set shows" in found_after(copy, new, lambda path: path.write_text(text))
