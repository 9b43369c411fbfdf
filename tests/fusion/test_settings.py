"""Portal and work settings, and the parts joined: a command is asked only for what it needs."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from fusion import settings
from fusion.settings import PARTS, listed, load
from listener.errors import SetupError

PORTAL = "PORTAL_URL=https://portal.example.com\nPORTAL_USERNAME=robot\nPORTAL_PASSWORD=canary-Secret-77\n"


@pytest.fixture(autouse=True)
def a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_command_is_asked_only_for_what_it_needs() -> None:
    Path(".env").write_text(PORTAL)
    both = load(portal=True)
    assert both.portal.password.get_secret_value() == "canary-Secret-77"
    assert both.sync.ops_port == 8321
    assert both.database.url == "sqlite:///fusion-sync.db"
    with pytest.raises(LookupError, match="salesforce"):
        _ = both.salesforce
    with pytest.raises(SetupError, match="SALESFORCE_LOGIN_URL and SALESFORCE_CLIENT_ID are not set"):
        load(salesforce=True)


def test_a_misspelt_name_in_the_file_is_told_with_the_right_one() -> None:
    Path(".env").write_text("PORTAL_PASWORD=canary-Secret-77\n")
    with pytest.raises(SetupError, match=r"^PORTAL_PASWORD in \.env is no setting$") as caught:
        load()
    assert caught.value.hint == "did you mean PORTAL_PASSWORD?"


def test_other_programs_may_keep_their_settings_in_the_same_file() -> None:
    Path(".env").write_text("COMPOSE_PROJECT_NAME=clinic\n" + PORTAL)
    assert load(portal=True).portal.username == "robot"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FUSION_SYNC_POLL_SECONDS", "soon", "FUSION_SYNC_POLL_SECONDS should be a valid number"),
        ("FUSION_SYNC_POLL_SECONDS", "0", "FUSION_SYNC_POLL_SECONDS should be greater than 0"),
        ("FUSION_SYNC_OPS_PORT", "99999", "FUSION_SYNC_OPS_PORT should be less than or equal to 65535"),
        ("FUSION_SYNC_START", "yesterday", "FUSION_SYNC_START should be 'retained' or 'now'"),
        ("FUSION_SYNC_KEY", "canary", "FUSION_SYNC_KEY holds something that is not a key"),
        ("FUSION_SYNC_HEADED", "perhaps", "FUSION_SYNC_HEADED should be a valid boolean"),
    ],
)
def test_a_wrong_value_is_told_by_what_it_should_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError) as caught:
        load()
    assert str(caught.value).startswith(told)
    assert value not in str(caught.value).replace(told, "")


def test_web_needs_a_key_and_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "SALESFORCE_AUTH=web\nSALESFORCE_LOGIN_URL=https://clinic.my.salesforce.com\nSALESFORCE_CLIENT_ID=x\n"
    )
    with pytest.raises(SetupError, match="FUSION_SYNC_KEY is not set, and SALESFORCE_AUTH=web") as caught:
        load(salesforce=True)
    assert "generate_key" in caught.value.hint
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    monkeypatch.setenv("FUSION_SYNC_KEY", f"{new}, {old}")
    found = load(salesforce=True)
    assert found.sync.keys == (new, old)
    assert new not in repr(found.sync)


def test_every_setting_says_what_it_means() -> None:
    found = listed()
    assert all(one.meaning for one in found)
    assert len({one.name for one in found}) == len(found)
    assert len(found) == sum(len(part.model_fields) for part in PARTS)


def test_the_names_that_people_rely_on_stay() -> None:
    assert settings.known_names() >= {
        "SALESFORCE_LOGIN_URL",
        "SALESFORCE_AUTH",
        "SALESFORCE_CLIENT_ID",
        "SALESFORCE_CLIENT_SECRET",
        "SALESFORCE_CLIENT_SECRET_FILE",
        "SALESFORCE_USERNAME",
        "SALESFORCE_PRIVATE_KEY_FILE",
        "SALESFORCE_API_VERSION",
        "SALESFORCE_CHANNEL",
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "PORTAL_URL",
        "PORTAL_USERNAME",
        "PORTAL_PASSWORD",
        "PORTAL_PASSWORD_FILE",
        "FUSION_SYNC_MAPPING",
        "FUSION_SYNC_PACK",
        "FUSION_SYNC_BROWSER",
    }
