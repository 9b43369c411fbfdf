"""Salesforce and database settings: read from four places, and told about in one sentence."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from listener.environment import MASK, listed, load, web_address
from listener.errors import SetupError
from listener.settings import DatabaseSettings, SalesforceSettings

SECRET = "canary-Secret-77"


def a_key(path: Path, *, encryption: KeySerializationEncryption | None = None) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return path


@pytest.fixture(autouse=True)
def complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which nothing is missing, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    given = {
        "SALESFORCE_LOGIN_URL": "https://clinic.my.salesforce.com/",
        "SALESFORCE_CLIENT_ID": "3MVG9consumer",
        "SALESFORCE_USERNAME": "sync@example.com",
        "SALESFORCE_PRIVATE_KEY_FILE": str(a_key(tmp_path / "key.pem")),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)


def refusal(part: Any = SalesforceSettings) -> SetupError:
    with pytest.raises(SetupError) as caught:
        load(part)
    assert SECRET not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_is_not_said_has_a_documented_default() -> None:
    settings = load(SalesforceSettings)
    assert (settings.auth, settings.api_version, settings.channel) == ("jwt", "66.0", "/data/FusionSync__chn")
    assert settings.login_url == "https://clinic.my.salesforce.com"
    assert load(DatabaseSettings).url == "sqlite:///fusion-sync.db"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text('SALESFORCE_API_VERSION="64.0"\nSALESFORCE_CHANNEL=/data/Other__chn\n')
    monkeypatch.setenv("SALESFORCE_API_VERSION", "65.0")
    settings = load(SalesforceSettings)
    assert (settings.api_version, settings.channel) == ("65.0", "/data/Other__chn")


def test_a_part_made_by_hand_reads_no_file() -> None:
    Path(".env").write_text("SALESFORCE_CHANNEL=/data/Other__chn\n")
    assert SalesforceSettings().channel == "/data/FusionSync__chn"


def test_everything_that_is_missing_is_named_with_the_next_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALESFORCE_CLIENT_ID")
    assert str(refusal()) == "SALESFORCE_CLIENT_ID is not set"
    assert refusal().hint.startswith("copy the consumer key of the External Client App into .env")
    monkeypatch.setenv("SALESFORCE_LOGIN_URL", "")
    assert str(refusal()) == "SALESFORCE_LOGIN_URL and SALESFORCE_CLIENT_ID are not set"


@pytest.mark.parametrize(
    ("auth", "without", "told"),
    [
        ("jwt", "SALESFORCE_USERNAME", "SALESFORCE_USERNAME is not set, and SALESFORCE_AUTH=jwt needs it"),
        ("jwt", "SALESFORCE_PRIVATE_KEY_FILE", "SALESFORCE_PRIVATE_KEY_FILE is not set, and SALESFORCE_AUTH=jwt"),
        ("client_credentials", None, "SALESFORCE_CLIENT_SECRET is not set, and SALESFORCE_AUTH=client_credentials"),
    ],
)
def test_each_flow_asks_for_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, auth: str, without: str | None, told: str
) -> None:
    monkeypatch.setenv("SALESFORCE_AUTH", auth)
    if without:
        monkeypatch.delenv(without)
    assert str(refusal()).startswith(told)


def test_the_web_flow_needs_neither_key_nor_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESFORCE_AUTH", "web")
    monkeypatch.delenv("SALESFORCE_USERNAME")
    monkeypatch.delenv("SALESFORCE_PRIVATE_KEY_FILE")
    assert load(SalesforceSettings).auth == "web"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SALESFORCE_AUTH", SECRET, "SALESFORCE_AUTH should be 'jwt', 'client_credentials' or 'web'"),
        ("SALESFORCE_API_VERSION", SECRET, "SALESFORCE_API_VERSION"),
        ("SALESFORCE_CHANNEL", SECRET, "SALESFORCE_CHANNEL"),
        ("SALESFORCE_LOGIN_URL", "clinic", "SALESFORCE_LOGIN_URL must be an address such as https://"),
        ("SALESFORCE_LOGIN_URL", "http://clinic.example.com", "SALESFORCE_LOGIN_URL uses plain http"),
        ("SALESFORCE_LOGIN_URL", f"https://me:{SECRET}@a.example.com", "SALESFORCE_LOGIN_URL must be an address alone"),
        ("SALESFORCE_PRIVATE_KEY_FILE", "nowhere.pem", "SALESFORCE_PRIVATE_KEY_FILE names a file that cannot be read"),
    ],
)
def test_a_wrong_value_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    assert str(refusal()).startswith(told)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8080", "http://127.8.9.1", "http://[::1]:80", "http://localhost:1"]
)
def test_plain_http_is_for_this_machine(address: str) -> None:
    assert web_address(address) == address


@pytest.mark.parametrize("address", ["http://localhost.example.com", "http://128.0.0.1", "http://10.0.0.1"])
def test_plain_http_is_for_no_other_machine(address: str) -> None:
    with pytest.raises(ValueError, match="plain http"):
        web_address(address)


def test_a_key_that_is_none_is_told_apart_from_one_with_a_passphrase(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "text.pem").write_text(SECRET)
    monkeypatch.setenv("SALESFORCE_PRIVATE_KEY_FILE", "text.pem")
    assert "no private key in PEM form" in str(refusal())
    a_key(tmp_path / "locked.pem", encryption=BestAvailableEncryption(b"pass"))
    monkeypatch.setenv("SALESFORCE_PRIVATE_KEY_FILE", "locked.pem")
    assert "passphrase" in str(refusal())


def test_a_secret_may_lie_in_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESFORCE_AUTH", "client_credentials")
    Path("secret").write_text(f"  {SECRET}\n")
    Path(".env").write_text("SALESFORCE_CLIENT_SECRET_FILE=secret\n")
    settings = load(SalesforceSettings)
    assert settings.client_secret is not None
    assert settings.client_secret.get_secret_value() == SECRET
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "names a file that cannot be read"), ("\n", "names an empty file")]
)
def test_a_secret_file_that_gives_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, content: str | None, told: str
) -> None:
    if content is not None:
        Path("secret").write_text(content)
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET_FILE", "secret")
    assert str(refusal()) == f"SALESFORCE_CLIENT_SECRET_FILE {told}"


def test_a_secret_in_both_places_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text(SECRET)
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET_FILE", "secret")
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", SECRET)
    assert str(refusal()) == "SALESFORCE_CLIENT_SECRET and SALESFORCE_CLIENT_SECRET_FILE are both set"


def test_a_file_of_settings_that_is_no_text_is_told() -> None:
    Path(".env").write_bytes(b"SALESFORCE_CHANNEL=\xff\xfe\n")
    assert str(refusal()) == ".env cannot be read as text"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///a.db",
        "sqlite:////var/lib/a.db",
        "sqlite+aiosqlite:///a.db",
        "postgresql://u:p@h/d",
        "postgres://h/d",
        "postgresql+psycopg:///d?host=/run",
    ],
)
def test_these_are_databases(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert load(DatabaseSettings).url == url


@pytest.mark.parametrize(
    "url",
    [f"mysql://u:{SECRET}@h/d", f"{SECRET}.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///?x=1"],
)
def test_these_are_none(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    told = refusal(DatabaseSettings)
    assert str(told).startswith("DATABASE_URL ")
    assert told.hint.startswith("use sqlite:///FILE or postgresql://")


def test_a_listing_tells_where_each_value_came_from_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text(SECRET)
    Path(".env").write_text("SALESFORCE_CLIENT_SECRET_FILE=secret\nSALESFORCE_API_VERSION=61.0\n")
    monkeypatch.delenv("SALESFORCE_LOGIN_URL")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://sync:{SECRET}@db.example.com/fusion?password={SECRET}")
    found = {one.name: one for part in (SalesforceSettings, DatabaseSettings) for one in listed(part)}
    assert (found["SALESFORCE_CLIENT_SECRET"].value, found["SALESFORCE_CLIENT_SECRET"].origin) == (
        MASK,
        "SALESFORCE_CLIENT_SECRET_FILE",
    )
    assert (found["SALESFORCE_API_VERSION"].value, found["SALESFORCE_API_VERSION"].origin) == ("61.0", ".env")
    assert (found["SALESFORCE_LOGIN_URL"].value, found["SALESFORCE_LOGIN_URL"].origin) == (None, "not set")
    assert (found["SALESFORCE_CLIENT_ID"].value, found["SALESFORCE_CLIENT_ID"].origin) == (
        "3MVG9consumer",
        "environment",
    )
    assert found["SALESFORCE_AUTH"].origin == "default"
    assert found["DATABASE_URL"].value == f"postgresql://sync:{MASK}@db.example.com/fusion"
    assert SECRET not in repr(found)
    assert all(one.meaning for one in found.values())
