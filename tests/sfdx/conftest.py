"""The projects as they are, copies to plant faults in, and Salesforce's tools where node is there."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from tests.sfdx.package import Project
from tests.sfdx.xsd import schema_of

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".make" / "node"
PROJECTS = {
    "patient": (ROOT / "sfdx", ROOT / "fusion" / "mapping.toml"),
    "contact": (ROOT / "sfdx" / "contact-app", ROOT / "sfdx" / "contact-app" / "mapping.toml"),
}


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest) -> Project:
    """Each of the projects, as it is in the repository."""
    return Project.read(*PROJECTS[request.param])


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, Path]:
    """The patient project and its mapping, to be changed at will."""
    folder, mapping = PROJECTS["patient"]
    shutil.copytree(folder, tmp_path / "sfdx")
    shutil.copy(mapping, tmp_path)
    return tmp_path / "sfdx", tmp_path / mapping.name


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder with Salesforce's node packages; installs them if they are not there yet."""
    if shutil.which("npm") is None:
        pytest.skip("node and npm are not on the PATH: sfdx/ is NOT checked against Salesforce's own schema")
    TOOLS.parent.mkdir(exist_ok=True)
    with (TOOLS.parent / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of the tests may be at it
        subprocess.run([ROOT / ".ci" / "set-up-node"], check=True)
    return TOOLS


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
