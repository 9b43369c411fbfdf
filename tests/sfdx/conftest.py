"""The projects as they are, copies to plant faults in, and Salesforce's tools where node is there."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from tests.node import packages
from tests.sfdx.package import Project
from tests.sfdx.xsd import schema_of

ROOT = Path(__file__).parents[2]
PROJECTS = {
    "patient": (ROOT / "sfdx", ROOT / "fusion" / "mapping.toml"),
    "contact": (ROOT / "sfdx" / "contact-app", ROOT / "sfdx" / "contact-app" / "mapping.toml"),
}


@pytest.fixture(scope="session")
def person_accounts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project for Person Accounts, as its script makes it."""
    folder = tmp_path_factory.mktemp("made") / "person-accounts"
    subprocess.run(["sh", ROOT / "sfdx/bin/person-accounts.sh", folder], check=True)
    return folder


@pytest.fixture(params=[*PROJECTS, "person account"])
def project(request: pytest.FixtureRequest, person_accounts: Path) -> Project:
    """Each of the projects, as an admin has it."""
    return Project.read(*PROJECTS.get(request.param, (person_accounts, person_accounts / "mapping.toml")))


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, Path]:
    """The patient project and its mapping, to be changed at will."""
    folder, mapping = PROJECTS["patient"]
    shutil.copytree(folder, tmp_path / "sfdx", ignore=shutil.ignore_patterns("contact-app"))
    shutil.copy(mapping, tmp_path)
    return tmp_path / "sfdx", tmp_path / mapping.name


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder with Salesforce's node packages; installs them if they are not there yet."""
    return packages("sfdx/ is NOT checked against Salesforce's own schema")


@pytest.fixture(scope="session")
def schema(tools: Path) -> etree.XMLSchema:
    """Salesforce's metadata types as an XSD."""
    return schema_of((tools / "node_modules/@salesforce/types/lib/metadata.d.ts").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def convert(
    tools: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Puts a source folder into the form that is deployed; stdout is its package.xml. Each folder once."""
    environment = {**os.environ, "NODE_PATH": str(tools / "node_modules")}
    script = Path(__file__).with_name("convert.cjs")

    @cache
    def run(source: Path) -> subprocess.CompletedProcess[str]:
        command = ["node", script, source, tmp_path_factory.mktemp("mdapi")]
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=30, check=False)

    return run
