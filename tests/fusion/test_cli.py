"""The command line as a stranger meets it: quick help, one sentence when something is wrong, never a traceback."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from fusion import cli
from listener.errors import Outage, SetupError, SyncError

NAMES = [name for commands in cli.COMMANDS.values() for name in commands]
ROOT = Path(__file__).parents[2]


def fusion_sync(*args: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as it is started by a person."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment}
    code = "import sys; from fusion.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        cwd=folder,
        env=given,
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )


def test_help_lists_every_command_without_importing_any(tmp_path: Path) -> None:
    code = (
        "import sys; from fusion.cli import app\n"
        "try: app(['--help'])\n"
        "finally: print([one for one in ('pydantic', 'playwright', 'sqlalchemy', 'aiohttp') if one in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=30, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"
    assert all(f" {name} " in found.stdout for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_command_is_there_and_says_what_it_does(name: str) -> None:
    module = import_module(f"fusion.cli.{name.replace('-', '_')}")
    assert hasattr(module, "app") or module.command.__doc__


def test_every_command_that_is_there_is_listed() -> None:
    files = {one.stem.replace("_", "-"): one.read_text() for one in (ROOT / "fusion/cli").glob("*.py")}
    there = {name for name, text in files.items() if "\ndef command(" in text or "\napp = typer" in text}
    assert there - {"--init--"} == set(NAMES)


def test_listening_needs_no_browser() -> None:
    code = "import sys, fusion.app, fusion.cli.listen; print('playwright' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=30, check=False
    )
    assert found.stdout.strip() == "False", found.stderr


def test_a_missing_setting_ends_with_78_one_sentence_and_the_next_move(tmp_path: Path) -> None:
    found = fusion_sync("outbox", folder=tmp_path, DATABASE_URL="mysql://me:canary-Secret@h/d")
    assert found.returncode == 78
    assert found.stdout == ""
    assert found.stderr.splitlines()[0] == "DATABASE_URL must begin with sqlite:// or postgresql://."
    assert found.stderr.splitlines()[1].startswith("  → use sqlite:///FILE")
    assert "canary-Secret" not in found.stderr
    assert len(found.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (SetupError("no key", hint="make one"), 78, "no key.\n  → make one\n"),
        (Outage("the org is not answering"), 69, "the org is not answering.\n"),
        (SyncError("odd!"), 70, "odd!\n"),
    ],
)
def test_our_errors_end_in_their_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: SyncError, code: int, told: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert capsys.readouterr().err == told


def test_the_unforeseen_is_told_by_class_and_place_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        int("Canary Yellowbird")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 70
    told = capsys.readouterr().err
    assert "builtins.ValueError at " in told
    assert "Canary" not in told


def test_a_misspelt_command_is_met_with_the_right_one(tmp_path: Path) -> None:
    found = fusion_sync("outbx", folder=tmp_path)
    assert found.returncode == 2
    assert "Did you mean 'outbox'?" in found.stderr


def test_config_shows_what_is_set_and_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORTAL_URL=https://portal.example.com\nPORTAL_PASSWORD=canary-Secret\n")
    found = fusion_sync("config", "--json", folder=tmp_path, FUSION_SYNC_LOG_LEVEL="loud")
    assert found.returncode == 78, found.stderr
    told = json.loads(found.stdout)
    settings = {one["name"]: (one["value"], one["origin"]) for one in told["settings"]}
    assert settings["PORTAL_URL"] == ("https://portal.example.com", ".env")
    assert settings["PORTAL_PASSWORD"] == ("********", ".env")
    assert settings["SALESFORCE_AUTH"] == ("jwt", "default")
    assert [one["text"] for one in told["problems"]] == [
        "SALESFORCE_LOGIN_URL and SALESFORCE_CLIENT_ID are not set",
        "PORTAL_USERNAME is not set",
        "FUSION_SYNC_LOG_LEVEL should be 'debug', 'info', 'warning' or 'error'",
    ]
    for_people = fusion_sync("config", folder=tmp_path)
    assert "PORTAL_USERNAME is not set" in for_people.stderr
    assert "canary-Secret" not in found.stdout + for_people.stdout + for_people.stderr


def test_config_is_content_with_a_complete_set(tmp_path: Path) -> None:
    given = {
        "SALESFORCE_LOGIN_URL": "https://clinic.my.salesforce.com",
        "SALESFORCE_AUTH": "web",
        "SALESFORCE_CLIENT_ID": "key",
        "PORTAL_URL": "http://localhost:1",
        "PORTAL_USERNAME": "robot",
        "PORTAL_PASSWORD": "canary-Secret",
    }
    lacking = fusion_sync("config", folder=tmp_path, **given)
    assert lacking.returncode == 78
    assert "FUSION_SYNC_KEY is not set, and SALESFORCE_AUTH=web needs it" in lacking.stderr
    given["FUSION_SYNC_KEY"] = Fernet.generate_key().decode()
    found = fusion_sync("config", folder=tmp_path, **given)
    assert (found.returncode, found.stderr) == (0, "")
    assert given["FUSION_SYNC_KEY"] not in found.stdout
    assert "Log-in name of the portal user" in found.stdout
