"""Settings of the portal and of the work, and all parts joined. A command loads only the parts that it needs."""

from __future__ import annotations

import difflib
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from fusion.pace import Hours, windows
from fusion.totp import totp_of
from listener import environment
from listener.alarms import Expected
from listener.change import Heartbeat, long_id
from listener.environment import ENV_FILE, Part, Setting
from listener.errors import SetupError
from listener.sealed import MAKE_ONE, Sealed
from listener.settings import DatabaseSettings, SalesforceSettings, WebAddress

T = TypeVar("T")


class PortalSettings(Part):
    """Where the portal is, and as whom we work in it."""

    model_config = SettingsConfigDict(env_prefix="PORTAL_")

    url: WebAddress = Field(
        description="Address of the portal, as typed into a browser",
        json_schema_extra={"hint": "put the address of the clinic's portal into .env"},
    )
    username: str = Field(
        min_length=1,
        description="Log-in name of the portal user that belongs to this program alone",
        json_schema_extra={"hint": "make a portal user for this program alone and put its log-in name into .env"},
    )
    password: SecretStr = Field(
        min_length=1,
        description="Password of that portal user",
        json_schema_extra={"hint": "put the portal user's password into .env, or name its file"},
    )
    new_password: SecretStr | None = Field(
        default=None,
        description="The password that `portal rotate` changes it to; afterwards it becomes PORTAL_PASSWORD",
        json_schema_extra={"hint": "choose one that this user has not had, and put it into .env, or name its file"},
    )
    totp_secret: SecretStr | None = Field(
        default=None,
        description="Secret of the authenticator app of that user, in base32; only where the portal asks for its codes",
        json_schema_extra={"hint": "copy the secret that the portal shows beside the QR code"},
    )
    hours: str | None = Field(
        default=None,
        description="When the portal is worked in, as mon-fri 07:00-19:00, sat 08:00-12:00; default: always",
    )
    maintenance: str | None = Field(
        default=None, description="When it is left alone, as sun 02:00-04:00, 2026-12-05 22:00-02:00; default: never"
    )
    timezone: str | None = Field(
        default=None, description="Whose clock the hours go by, as America/New_York; default: this host's"
    )
    recycle_visits: int = Field(
        default=200, ge=1, le=100_000, description="After how many visits the browser's memory of them is thrown away"
    )
    recycle_mb: int = Field(
        default=1500, ge=200, le=100_000, description="From how many megabytes on the browser is started anew"
    )
    page_seconds: float = Field(default=30.0, gt=0, le=300, description="How long a page may take to load")
    action_seconds: float = Field(
        default=10.0, gt=0, le=120, description="How long a field, a button or a list may take to be there"
    )
    save_seconds: float = Field(
        default=30.0, gt=0, le=300, description="How long the portal may take to show that something was saved"
    )
    evidence_dir: Path = Field(
        default=Path("evidence"),
        description="Folder for what a page looked like that was not understood: structure and picture, no values",
    )
    evidence_days: int = Field(default=30, ge=1, le=3650, description="How many days the files in that folder are kept")

    @field_validator("hours", "maintenance")
    @classmethod
    def _are_ranges(cls, value: str | None) -> str | None:
        windows(value or "")
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError("names no time zone of this host; they look like America/New_York") from None
        return value

    @property
    def opening(self) -> Hours:
        """When the portal may be visited."""
        zone = ZoneInfo(self.timezone) if self.timezone else None
        return Hours(open=windows(self.hours or ""), maintenance=windows(self.maintenance or ""), zone=zone)

    @field_validator("totp_secret")
    @classmethod
    def _is_a_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            totp_of(value.get_secret_value())
        return value

    @property
    def holding(self) -> str:
        """What one process at a time holds: this log-in. The portal takes an address in any case, so one is one."""
        return f"portal login {self.username.strip().casefold()} at {str(self.url).rstrip('/').casefold()}"


class SyncSettings(Part):
    """How the work is done: what maps to what, how often, how long, and where one can look."""

    model_config = SettingsConfigDict(env_prefix="FUSION_SYNC_")

    mapping: Path | None = Field(
        default=None, description="Mapping of Salesforce fields to patient fields; default: mapping.toml of the package"
    )
    key: SecretStr | None = Field(
        default=None,
        description="Key to what is kept sealed; to change it, put the new one in front of the old one, with a comma",
        json_schema_extra={"hint": MAKE_ONE},
    )
    pack: str = Field(default="fusion_web", description="Portal pack: the selectors and labels of one portal")
    browser: str | None = Field(default=None, description="Path of the Chromium to use; default: the one found")
    headed: bool = Field(default=False, description="Whether the browser shows its window")
    start: Literal["retained", "now"] = Field(
        default="retained",
        description="Where the very first start begins: with all that is ready (retained), or with new changes (now)",
    )
    poll_seconds: float = Field(default=1.0, gt=0, le=60, description="How often the outbox is looked at")
    settle_seconds: float = Field(
        default=5.0, ge=0, le=300, description="How long a change waits for more of the same record: one visit for all"
    )
    sweep_minutes: float = Field(
        default=15.0, gt=0, le=1440, description="How often records are compared by time, for what the stream missed"
    )
    reconcile_hour: int = Field(
        default=3,
        ge=0,
        le=23,
        description="From which hour of this host's day all records and charts are compared, once",
    )
    heartbeat: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z]\w*/[A-Za-z0-9]{15}([A-Za-z0-9]{3})?/[A-Za-z]\w*$",
        description="A field (Object/record id/Field) that we write now and then to see that the stream tells of it",
    )
    heartbeat_minutes: float = Field(
        default=15.0, ge=1, le=1440, description="How often the heartbeat is written, and how late it may come back"
    )
    lease_seconds: float = Field(
        default=60.0, ge=1, le=600, description="How long a silent worker keeps a row from the next"
    )
    deadline_seconds: float = Field(
        default=180.0,
        ge=1,
        le=3600,
        description="How long one visit may take at most; a walk through the portal half of that",
    )
    portal_attempts: int = Field(
        default=6, ge=1, le=100, description="How often a row is tried in the portal before a person must look"
    )
    writeback_attempts: int = Field(
        default=25, ge=1, le=1000, description="How often Salesforce is told before a person must look"
    )
    visits_per_minute: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="How many charts a minute are visited at the most, on average; a few at a time come at once",
    )
    gate_seconds: float = Field(
        default=30.0, gt=0, le=900, description="How long a side that failed is left alone; doubles up to 15 minutes"
    )
    look_again_seconds: float = Field(
        default=5.0, ge=0, le=300, description="How long after a visit of unknown end the portal is looked at again"
    )
    tell_seconds: float = Field(
        default=30.0,
        ge=0,
        le=900,
        description="How long an answer waits for others while more visits are due, to be told to Salesforce together",
    )
    backfill_per_minute: float = Field(
        default=20.0, gt=0, le=600, description="How many patients a minute `backfill --preview` looks up in the portal"
    )
    keep_days: int = Field(
        default=90, ge=7, le=3650, description="How many days finished entries are kept, with changes and attempts"
    )
    ops_host: str = Field(default="127.0.0.1", description="Address that the health page listens on")
    ops_port: int = Field(default=8321, ge=0, le=65535, description="Port of the health page; 0: any that is free")
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="How log lines look; auto: for people in a terminal, else JSON"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important lines that are shown"
    )

    @property
    def heartbeat_record(self) -> Heartbeat | None:
        """What `FUSION_SYNC_HEARTBEAT` names."""
        if self.heartbeat is None:
            return None
        object_name, record_id, name = self.heartbeat.split("/")
        return Heartbeat(object_name=object_name, record_id=long_id(record_id), field=name)

    @property
    def expected(self) -> Expected:
        """How often things should happen, for the alarms."""
        echo = timedelta(minutes=self.heartbeat_minutes) if self.heartbeat else None
        return Expected(sweep=timedelta(minutes=self.sweep_minutes), echo=echo)

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                Sealed(keys_in(value))
            except SetupError:
                raise ValueError("holds something that is not a key") from None
        return value

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in `key`, the newest first."""
        return keys_in(self.key) if self.key else ()


def keys_in(value: SecretStr) -> tuple[str, ...]:
    """The keys of a list with commas between them."""
    return tuple(one.strip() for one in value.get_secret_value().split(",") if one.strip())


PARTS: tuple[type[Part], ...] = (SalesforceSettings, DatabaseSettings, PortalSettings, SyncSettings)


class Settings:
    """All parts of one process. Asking for a part that was not loaded is a mistake of ours and says so."""

    def __init__(
        self,
        *,
        database: DatabaseSettings,
        sync: SyncSettings,
        salesforce: SalesforceSettings | None = None,
        portal: PortalSettings | None = None,
    ) -> None:
        """A part that is None was not loaded, since the command at hand has no use for it."""
        self.database = database
        self.sync = sync
        self._salesforce = salesforce
        self._portal = portal

    @property
    def salesforce(self) -> SalesforceSettings:
        """How to reach the org."""
        return _loaded(self._salesforce, "salesforce")

    @property
    def portal(self) -> PortalSettings:
        """How to reach the portal."""
        return _loaded(self._portal, "portal")


def load(*, salesforce: bool = False, portal: bool = False, env_file: Path | None = ENV_FILE) -> Settings:
    """The settings of the database and the work, and of the sides that are asked for; raises `SetupError`."""
    check_names(env_file)
    settings = Settings(
        database=environment.load(DatabaseSettings, env_file=env_file),
        sync=environment.load(SyncSettings, env_file=env_file),
        salesforce=environment.load(SalesforceSettings, env_file=env_file) if salesforce else None,
        portal=environment.load(PortalSettings, env_file=env_file) if portal else None,
    )
    if salesforce and settings.salesforce.auth == "web" and not settings.sync.keys:
        raise SetupError("FUSION_SYNC_KEY is not set, and SALESFORCE_AUTH=web needs it", hint=MAKE_ONE)
    return settings


def listed(*, env_file: Path | None = ENV_FILE) -> list[Setting]:
    """Every setting there is, with its value (masked), its origin and its meaning."""
    return [setting for part in PARTS for setting in environment.listed(part, env_file=env_file)]


def known_names() -> frozenset[str]:
    """Every variable that we read, those that name a secret's file included."""
    return frozenset(
        name
        for part in PARTS
        for field_name, field in part.model_fields.items()
        for variable in [environment.variable(part, field_name)]
        for name in ([variable, f"{variable}_FILE"] if environment.is_secret(field) else [variable])
    )


def check_names(env_file: Path | None) -> None:
    """Raise `SetupError` for a misspelt name in `.env`; the environment at large may hold other programs' settings."""
    if env_file is None or not env_file.is_file():
        return
    prefixes = tuple(str(part.model_config.get("env_prefix")) for part in PARTS)
    known = known_names()
    for name in dotenv_values(env_file, interpolate=False):
        if name.upper().startswith(prefixes) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "`fusion-sync config` lists all settings"
            raise SetupError(f"{name} in {env_file} is no setting", hint=hint)


def _loaded(part: T | None, name: str) -> T:
    if part is None:
        raise LookupError(f"the {name} settings were not loaded by this command")
    return part
