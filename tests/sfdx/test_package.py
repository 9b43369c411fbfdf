"""The projects as they are in the repository: nothing is wrong with them, by our rules and by Salesforce's tools."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

from lxml import etree

from fusion.mapping import load_mapping
from listener.standin.metadata.archive import pack, unpack
from tests.sfdx.conftest import PROJECTS, ROOT
from tests.sfdx.package import STANDARD, Project, files
from tests.sfdx.rules import findings

Convert = Callable[[Path], "subprocess.CompletedProcess[str]"]
SFDX = ROOT / "sfdx"


def test_no_rule_finds_anything(project: Project) -> None:
    assert [str(one) for one in findings(project)] == []


def test_no_code_of_ours_runs_in_the_org() -> None:
    code = (".cls", ".trigger", ".page", ".component", ".cmp", ".js", ".resource")
    assert [str(path) for path in files(SFDX) if path.name.removesuffix("-meta.xml").endswith(code)] == []


def test_all_that_an_admin_expects_is_there() -> None:
    project = Project.read(*PROJECTS["patient"])
    counts = {kind: len(project.of(kind)) for kind in {one.kind for one in project.components}}
    assert counts["Report"] == 4
    assert counts["PermissionSet"] == 5
    assert counts["ListView"] == 5
    assert counts["Flow"] == 2
    for kind in (
        "CompactLayout",
        "CustomApplication",
        "CustomNotificationType",
        "CustomPermission",
        "CustomTab",
        "Dashboard",
        "ExternalClientApplication",
        "FlexiPage",
        "Layout",
        "PathAssistant",
        "PlatformEventChannel",
        "PlatformEventChannelMember",
        "QuickAction",
        "ReportType",
    ):
        assert counts[kind] == 1, kind


def test_the_mapping_for_contacts_sends_what_the_other_sends_but_the_middle_name() -> None:
    patient, contact = (load_mapping(mapping).rules.keys() for _, mapping in PROJECTS.values())
    assert {str(one) for one in patient ^ contact} == {"middle_name"}


def test_every_file_is_valid_by_salesforces_schema(project: Project, schema: etree.XMLSchema) -> None:
    wrong = []
    for one in project.components:
        if not schema.validate(etree.parse(one.path)):
            wrong += [f"{one.path.name}:{error.line} {error.message}" for error in schema.error_log]
    assert wrong == []


def test_salesforces_own_library_takes_every_file(project: Project, convert: Convert) -> None:
    members: set[tuple[str | None, str | None]] = set()
    for directory in project.directories:
        made = convert(directory)
        assert made.returncode == 0, made.stderr
        for part in ET.fromstring(made.stdout).findall("{*}types"):
            members |= {(part.findtext("{*}name"), member.text) for member in part.findall("{*}members")}
    # A folder is listed among what it holds, and settings by their name.
    kinds = {"ReportFolder": "Report", "DashboardFolder": "Dashboard", "PathAssistantSettings": "Settings"}
    expected = {
        (kinds.get(one.kind, one.kind), one.name + "/" if one.kind.endswith("Folder") else one.name)
        for one in project.components
    }
    expected |= {
        ("SharingOwnerRule", f"{one.name}.{rule}")
        for one in project.of("SharingRules")
        for rule in one.texts("sharingOwnerRules/fullName")
    }
    # The fields of a standard object come with the object's name, which has no file of its own.
    assert members - {("CustomObject", name) for name in STANDARD} == expected


def test_what_the_stand_in_org_is_made_of_is_what_the_cli_would_send(convert: Convert) -> None:
    """Our own packing in Python, by which orgs are made without node, against Salesforce's library."""
    made = convert(SFDX / "force-app")
    ours = unpack(pack(SFDX, "force-app"))
    listed = {
        (part.findtext("{*}name"), member.text)
        for part in ET.fromstring(made.stdout).findall("{*}types")
        for member in part.findall("{*}members")
    }
    assert {one.listed for one in ours.components} == listed
    assert {(kind, name) for kind, names in ours.named.items() for name in names} == listed


def test_the_manifest_names_what_is_there(convert: Convert) -> None:
    made = convert(SFDX / "force-app")
    assert made.stdout.strip() == (SFDX / "manifest" / "package.xml").read_text().strip()


def test_an_uninstall_leaves_nothing_behind() -> None:
    """What belongs to the object goes with it; settings are the org's own and stay."""

    def members(name: str) -> set[tuple[str, str]]:
        manifest = ET.parse(SFDX / "manifest" / name).getroot()
        return {
            (part.findtext("{*}name") or "", (member.text or "").rstrip("/"))
            for part in manifest.findall("{*}types")
            for member in part.findall("{*}members")
        }

    left = members("package.xml") - members("uninstall/destructiveChanges.xml")
    assert {one for one in left if not one[1].startswith(("Patient__c.", "Patient__c-"))} == {
        ("Settings", "PathAssistant"),
        ("SharingRules", "Patient__c"),
    }
    assert members("uninstall/destructiveChanges.xml") <= members("package.xml")
    assert members("uninstall/package.xml") == set()


def test_a_kind_that_salesforce_does_not_know_is_refused(convert: Convert, tmp_path: Path) -> None:
    """Guards the tool itself: a conversion that takes everything would prove nothing."""
    shutil.copytree(SFDX / "eca", tmp_path / "eca")
    one = tmp_path / "eca/main/default/externalClientApps/Fusion_Sync.eca-meta.xml"
    one.rename(one.with_name("Fusion_Sync.ecaGlobalOauth-meta.xml"))
    made = convert(tmp_path / "eca")
    assert made.returncode != 0 or "ExternalClientApplication" not in made.stdout
