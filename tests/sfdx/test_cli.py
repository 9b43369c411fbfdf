"""The real Salesforce CLI puts the package into a stand-in org: `make test-sf`.

It needs 300 MB of node, so the other tests hand the org a zip of their own making. What was done is read in the org's
ledger; the CLI's own words are printed.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from listener.standin import Credentials, StandInOrg
from listener.standin.problems import ApiError
from tests.node import ROOT
from tests.org_rig import private_key

SFDX = ROOT / "sfdx"
SF = ROOT / ".make/node/sf/node_modules/.bin/sf"
ROBOT = "integration@clinic.example.com"

pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_SF"), reason="the real Salesforce CLI: make test-sf"),
    pytest.mark.timeout(900),  # each command starts node; on a busy machine that takes 20 s
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A shell of an admin whose home is empty; every command and what it said is printed."""

    org: StandInOrg
    home: Path
    folder: Path = field(default=SFDX)

    async def run(self, *command: str | Path, code: int = 0, **more: str) -> str:
        """What the command said. It must end with `code`."""
        environment = {
            "HOME": str(self.home),
            "PATH": f"{SF.parent}:{os.environ['PATH']}",
            "SF_DISABLE_TELEMETRY": "true",
            "SF_AUTOUPDATE_DISABLE": "true",
            "SF_DISABLE_AUTOUPDATE": "true",  # this one keeps the CLI from starting another of itself
            "SF_SKIP_NEW_VERSION_CHECK": "true",
            "SF_DISABLE_LOG_FILE": "true",
            "NO_COLOR": "1",
            "CI": "true",  # no progress that draws over itself
            **more,
        }
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        print(f"\n$ {' '.join(str(one).replace(str(ROOT), '.') for one in command)}\n{said}")
        assert process.returncode == code, said
        return said

    async def log_in(self) -> None:
        """By an access token, as the administrator."""
        token = await access_token(self.org, self.org.admin)
        url = f"http://127.0.0.1:{self.org.url.rpartition(':')[2]}"
        await self.run(
            "sf", "org", "login", "access-token", "--instance-url", url, "--alias", "clinic", "--no-prompt",
            SF_ACCESS_TOKEN=token,
        )  # fmt: skip


async def access_token(org: StandInOrg, who: Credentials) -> str:
    form = {"grant_type": "client_credentials", "client_id": who.client_id, "client_secret": who.client_secret}
    async with aiohttp.ClientSession() as http, http.post(f"{org.url}/services/oauth2/token", data=form) as answer:
        return str((await answer.json())["access_token"])


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with StandInOrg(package=None, private_key=private_key()) as org:
        yield Terminal(org=org, home=tmp_path)


async def test_the_package_is_deployed_assigned_filled_and_asked(terminal: Terminal) -> None:
    await terminal.log_in()
    said = await terminal.run("sf", "project", "deploy", "start", "--source-dir", "force-app", "--target-org", "clinic")
    assert "Patient__c.SSN__c" in said
    (deploy,) = terminal.org.ledger.of("deploy")
    assert (deploy["failures"], deploy["error"]) == ([], None)
    await terminal.run("sf", "org", "assign", "permset", "--name", "Fusion_Sync_Admin", "--target-org", "clinic")
    await terminal.run("sf", "data", "import", "tree", "--plan", "data/plan.json", "--target-org", "clinic")
    patients = terminal.org.control.records()
    assert len(patients) == 6
    soql = "SELECT Name, Full_Name__c, SSN__c, Fusion_Sync_Status__c FROM Patient__c ORDER BY Name"
    said = await terminal.run("sf", "data", "query", "--query", soql, "--target-org", "clinic")
    assert "Ada Alder" in said
    assert "XXX-XX-3401" in said
    assert not [one["SSN__c"] for one in patients if one["SSN__c"] and one["SSN__c"] in said]
    refused = await terminal.run(
        "sf", "data", "update", "record", "--sobject", "Patient__c", "--record-id", patients[0]["Id"],
        "--values", "Gender__c='Robot'", "--target-org", "clinic", code=1,
    )  # fmt: skip
    assert "bad value for restricted picklist field" in refused


async def test_a_broken_reference_fails_the_deploy_and_is_named(terminal: Terminal, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(SFDX, copy)
    permset = copy / "force-app/main/default/permissionsets/Fusion_Sync_Admin.permissionset-meta.xml"
    permset.write_text(permset.read_text().replace("Patient__c.Gender__c", "Patient__c.Sex__c"))
    there = Terminal(org=terminal.org, home=terminal.home, folder=copy)
    await there.log_in()
    said = await there.run(
        "sf", "project", "deploy", "start", "--source-dir", "force-app", "--target-org", "clinic", code=1
    )
    assert "no CustomField named Patient__c.Sex__c found" in " ".join(said.split())
    assert terminal.org.ledger.of("deploy")[0]["failures"][0]["name"] == "Fusion_Sync_Admin"
    with pytest.raises(ApiError, match="INVALID_TYPE"):  # nothing of it is in force
        terminal.org.control.records()


async def test_the_installer_sets_up_a_whole_org_and_may_be_run_again(terminal: Terminal) -> None:
    await terminal.log_in()
    install = ("sh", SFDX / "bin/install.sh", "clinic", ROBOT, "--sample-data", "--sandbox")
    said = await terminal.run(*install)
    assert f"SALESFORCE_USERNAME={ROBOT}" in said
    assert len(terminal.org.control.records()) == 6
    record_id = terminal.org.control.records()[0]["Id"]
    again = await terminal.run(*install)
    assert again.count("has it already") == 4  # of a licence the CLI says that it was given, again
    assert "is in it already" in again
    assert len(terminal.org.control.records()) == 6
    # What the installer made of the user is enough for the work: to write back to a record that another owns.
    url = f"{terminal.org.url}/services/data/v66.0/sobjects/Patient__c/{record_id}"
    headers = {"Authorization": f"Bearer {await access_token(terminal.org, terminal.org.integration)}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(url) as answer:
            assert (await answer.json())["SSN__c"][:4] == "900-"
        async with http.patch(url, json={"Fusion_Web_Id__c": "7"}) as answer:
            assert answer.status == 204


async def test_an_admin_may_log_in_with_a_key(terminal: Terminal, tmp_path: Path) -> None:
    key = tmp_path / "admin.key"
    key.write_text(terminal.org.admin.private_key)
    url = f"http://127.0.0.1:{terminal.org.url.rpartition(':')[2]}"
    await terminal.run(
        "sf", "org", "login", "jwt", "--client-id", terminal.org.admin.client_id, "--jwt-key-file", key,
        "--username", terminal.org.admin.username, "--instance-url", url, "--alias", "clinic",
    )  # fmt: skip
    said = await terminal.run("sf", "data", "query", "--query", "SELECT Username FROM User", "--target-org", "clinic")
    assert terminal.org.admin.username in said
