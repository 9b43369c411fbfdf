"""`install.sh`, run by a real shell with a stand-in for the Salesforce CLI that keeps what it was asked."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from lxml import etree

from listener.settings import SalesforceSettings
from tests.sfdx.conftest import ROOT

SCRIPT = ROOT / "sfdx/bin/install.sh"
USER = "sync@example.com"

# It answers as the real one does as far as the script looks: by exit code, by the text on stdout, by files retrieved.
CLI = r"""#!/bin/sh
echo "$*" >>"$LEDGER"
case "$*" in
    *"$FAILS"*) [ -z "$FAILS" ] || { echo "${SAYS:-it went wrong}" >&2; exit 1; } ;;
esac
case "$*" in
    "org display"*) printf '"instanceUrl": "https://clinic.example.com",\n"username": "me@example.com"\n' ;;
    *IsSandbox*) printf 'IsSandbox,OrganizationType\n%s\n' "${ORG:-true,Enterprise Edition}" ;;
    *"FROM GroupMember"*) printf 'Id\n%s\n' "${MEMBER:-}" ;;
    *"FROM Group "*) printf 'Id\n00GHs0000000001MAA\n' ;;
    *"FROM User "*) printf 'Id\n005Hs0000000001IAA\n' ;;
    *Guardian_Email__c*) printf 'Id\n%s\n' "${SAMPLE:-}" ;;
    "project deploy"*) mkdir -p "$KEPT" && cp -R . "$KEPT/$(wc -l <"$LEDGER")" ;;
    "project retrieve"*)
        while [ "$1" != --target-metadata-dir ]; do shift; done
        mkdir -p "$2" && echo "<x><consumerKey>the.key</consumerKey></x>" >"$2/app.xml" ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run came to: the answer, the calls of the CLI in order, and the folders that were deployed."""

    code: int
    out: str
    err: str
    calls: list[str]
    home: Path
    deployed: Path

    def file(self, name: str) -> Path:
        """The file of that name as it was deployed last."""
        return max(self.deployed.rglob(name), key=lambda path: int(path.relative_to(self.deployed).parts[0]))


Install = Callable[..., Run]


@pytest.fixture
def install(request: pytest.FixtureRequest, tmp_path: Path) -> Install:
    """Runs the script, by `sh` if no test says otherwise; keyword arguments tell the CLI how to behave."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the PATH: the installer cannot make a key")
    cli = tmp_path / "bin" / "sf"
    cli.parent.mkdir()
    cli.write_text(CLI)
    cli.chmod(0o755)
    home, ledger, kept = tmp_path / "home", tmp_path / "ledger", tmp_path / "kept"
    home.mkdir()
    shell = getattr(request, "param", "sh")

    def run(*arguments: str, **behaviour: str) -> Run:
        ledger.write_text("")
        environment = {
            "PATH": f"{cli.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LEDGER": str(ledger),
            "KEPT": str(kept),
            "FAILS": "",
            **behaviour,
        }
        done = subprocess.run(
            [shell, str(SCRIPT), *arguments], env=environment, text=True, capture_output=True, check=False
        )
        calls = ledger.read_text().splitlines()
        return Run(code=done.returncode, out=done.stdout, err=done.stderr, calls=calls, home=home, deployed=kept)

    return run


@pytest.mark.parametrize("install", ["sh", "bash"], indirect=True)
def test_it_deploys_gives_access_makes_the_app_and_prints_the_settings(install: Install) -> None:
    run = install("clinic", USER, "--sample-data")
    assert run.code == 0, run.err
    assert [call.replace(" --target-org clinic", "").split(" --wait")[0] for call in run.calls][:8] == [
        "org display --json",
        "data query --result-format csv --query SELECT IsSandbox, OrganizationType FROM Organization",
        "project deploy start --source-dir force-app/main/default/settings",
        "project deploy start --source-dir force-app",
        f"org assign permsetlicense --name SalesforceAPIIntegrationPsl --on-behalf-of {USER}",
        f"org assign permset --name Fusion_Sync_Integration --on-behalf-of {USER}",
        f"org assign permset --name Fusion_Sync_Listener --on-behalf-of {USER}",
        f"org assign permset --name Fusion_Sync_Doctor --on-behalf-of {USER}",
    ]
    assert "project deploy start --source-dir eca --target-org clinic --wait 30" in run.calls
    assert "data import tree --plan data/plan.json --target-org clinic" in run.calls
    assert all("--target-org clinic" in call for call in run.calls)
    key = run.home / ".fusion-sync/clinic.key"
    settings = dict(line.split("=", 1) for line in run.out.splitlines() if line.startswith("SALESFORCE_"))
    assert settings == {
        "SALESFORCE_LOGIN_URL": "https://clinic.example.com",
        "SALESFORCE_AUTH": "jwt",
        "SALESFORCE_CLIENT_ID": "the.key",
        "SALESFORCE_USERNAME": USER,
        "SALESFORCE_PRIVATE_KEY_FILE": str(key),
    }
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_every_step_that_changes_something_says_how_to_undo_it(install: Install) -> None:
    lines = install("clinic", USER, "--sample-data").out.splitlines()
    steps = [number for number, line in enumerate(lines) if line[:1].isdigit()]
    silent = [lines[number] for number in steps if "Undo: " not in lines[number + 1]]
    assert len(steps) == 9
    assert [line.split(". ")[1][:4] for line in silent] == ["Look", "Read"]


def test_the_app_gets_the_certificate_of_the_key_that_stays_here(install: Install, schema: etree.XMLSchema) -> None:
    run = install("clinic", USER)
    app, policy = (
        run.file(f"Fusion_Sync_{name}-meta.xml") for name in ("glbloauth.ecaGlblOauth", "oauthPlcy.ecaOauthPlcy")
    )
    for path in (app, policy):
        assert schema.validate(etree.parse(path)), schema.error_log
        assert "@" not in path.read_text().replace(USER, "")
    certificate = run.home / ".fusion-sync/clinic.crt"
    assert ET.parse(app).findtext("{*}certificate") == certificate.read_text().strip()
    assert "PRIVATE KEY" not in app.read_text()
    assert ET.parse(policy).find("{*}clientCredentialsFlowUser") is None
    assert ET.parse(policy).findtext("{*}permittedUsersPolicyType") == "AdminApprovedPreAuthorized"


def test_the_app_calls_back_where_a_persons_login_waits() -> None:
    template = ROOT / "sfdx/templates/Fusion_Sync_glbloauth.ecaGlblOauth.xml"
    default = SalesforceSettings.model_fields["callback_url"].default
    assert ET.parse(template).findtext("{*}callbackUrl") == default


def test_with_a_secret_the_app_runs_as_the_integration_user(install: Install, schema: etree.XMLSchema) -> None:
    run = install("clinic", "a&b@example.com", "--client-credentials")
    app, policy = (
        run.file(f"Fusion_Sync_{name}-meta.xml") for name in ("glbloauth.ecaGlblOauth", "oauthPlcy.ecaOauthPlcy")
    )
    assert all(schema.validate(etree.parse(path)) for path in (app, policy)), schema.error_log
    assert ET.parse(app).find("{*}certificate") is None
    assert ET.parse(app).findtext("{*}isClientCredentialsFlowEnabled") == "true"
    assert ET.parse(policy).findtext("{*}clientCredentialsFlowUser") == "a&b@example.com"
    assert not (run.home / ".fusion-sync").exists()
    assert "SALESFORCE_AUTH=client_credentials" in run.out


def test_again_it_keeps_the_key_takes_access_as_given_and_imports_nothing_twice(install: Install) -> None:
    first = install("clinic", USER, "--sample-data")
    key = (first.home / ".fusion-sync/clinic.key").read_bytes()
    again = install(
        "clinic",
        USER,
        "--sample-data",
        FAILS="org assign",
        SAYS="Duplicate PermissionSetAssignment",
        SAMPLE="a0P000000000001AAA",
    )
    assert again.code == 0, again.err
    assert (again.home / ".fusion-sync/clinic.key").read_bytes() == key
    assert again.out.count("has it already") == 5
    assert not [call for call in again.calls if call.startswith("data import")]


def test_who_works_is_put_into_the_group_once(install: Install) -> None:
    first = install("clinic", USER)
    made = [call for call in first.calls if call.startswith("data create record")]
    assert len(made) == 1
    assert "GroupId=00GHs0000000001MAA UserOrGroupId=005Hs0000000001IAA" in made[0]
    again = install("clinic", USER, MEMBER="011Hs0000000001AAA")
    assert "is in it already" in again.out
    assert not [call for call in again.calls if call.startswith("data create record")]


def test_without_the_integration_licence_it_goes_on(install: Install) -> None:
    run = install("clinic", USER, FAILS="permsetlicense", SAYS="Permission set license not found")
    assert run.code == 0
    assert "Without that licence: fine" in run.out


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        ("org display", "not logged in to clinic"),
        ("--source-dir force-app --", "the deploy failed"),
        ("permset --name Fusion_Sync_Integration", "Fusion_Sync_Integration could not be given"),
        ("extlClntAppOauthPolicies", "the deploy failed"),
        ("import tree", "the import failed"),
    ],
)
def test_it_stops_where_something_fails_and_says_what(install: Install, fails: str, says: str) -> None:
    run = install("clinic", USER, "--sample-data", FAILS=fails)
    assert run.code == 1
    assert says in run.err
    assert "run the same command again" in run.err
    assert fails in run.calls[-1]


def test_a_production_org_is_not_taken_for_a_sandbox(install: Install) -> None:
    run = install("clinic", USER, "--sandbox", ORG="false,Enterprise Edition")
    assert run.code == 1
    assert "is a production org" in run.err
    assert not [call for call in run.calls if "deploy" in call]


@pytest.mark.parametrize("org", ["true,Enterprise Edition", "false,Developer Edition"])
def test_a_sandbox_and_a_developer_edition_pass(install: Install, org: str) -> None:
    assert install("clinic", USER, "--sandbox", ORG=org).code == 0


def test_the_listener_may_be_a_user_of_its_own(install: Install) -> None:
    run = install("clinic", USER, "--listener", "ear@example.com")
    given = [call.split("--name ")[1].split(" --target")[0] for call in run.calls if "assign permset " in call]
    assert given == [
        f"Fusion_Sync_Integration --on-behalf-of {USER}",
        "Fusion_Sync_Listener --on-behalf-of ear@example.com",
        f"Fusion_Sync_Doctor --on-behalf-of {USER}",
        "Fusion_Sync_Doctor --on-behalf-of ear@example.com",
    ]


def test_a_licence_without_the_doctors_right_ends_nothing(install: Install) -> None:
    run = install("clinic", USER, FAILS="Fusion_Sync_Doctor")
    assert run.code == 0, run.err
    assert f"fusion-sync doctor cannot look at channel and rights as {USER}, and says so." in run.out


def test_a_folder_that_is_no_project_is_told_before_anything_is_done(install: Install, tmp_path: Path) -> None:
    run = install("clinic", USER, "--project", str(tmp_path))
    assert (run.code, run.calls) == (1, [])
    assert "holds no project" in run.err


def test_for_contacts_the_other_package_and_its_mapping_are_used(install: Install) -> None:
    run = install("clinic", USER, "--project", str(ROOT / "sfdx/contact-app"))
    assert run.code == 0, run.err
    assert run.file("FusionSync_chn_ContactChangeEvent.platformEventChannelMember-meta.xml").exists()
    assert not [call for call in run.calls if "default/settings" in call]
    assert f"FUSION_SYNC_MAPPING={ROOT / 'sfdx/contact-app/mapping.toml'}" in run.out


@pytest.mark.parametrize(
    "arguments", [(), ("clinic",), ("clinic", USER, "more"), ("clinic", USER, "--what"), ("clinic", USER, "--listener")]
)
def test_a_command_that_is_not_understood_changes_nothing(install: Install, arguments: tuple[str, ...]) -> None:
    run = install(*arguments)
    assert (run.code, run.calls) == (64, [])
    assert run.err.startswith("usage: install.sh ORG INTEGRATION_USERNAME")
