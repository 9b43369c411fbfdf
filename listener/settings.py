"""Settings of the Salesforce side and of the database: names, meanings, and what must come together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from listener.environment import Part, unset, web_address, wrong

WebAddress = Annotated[str, AfterValidator(web_address)]
"""https, or http on this machine; without a slash at its end."""

_SCHEMES = ("sqlite", "sqlite+aiosqlite", "postgresql", "postgres", "postgresql+psycopg")


class SalesforceSettings(Part):
    """How to reach the org, as whom, and which channel to listen to."""

    model_config = SettingsConfigDict(env_prefix="SALESFORCE_")

    login_url: WebAddress = Field(
        description="Where to ask for a token: the org's My Domain, or login./test.salesforce.com for jwt",
        json_schema_extra={"hint": "put the org's My Domain address (https://….my.salesforce.com) into .env"},
    )
    auth: Literal["jwt", "client_credentials", "web"] = Field(
        default="jwt",
        description="How to log in: jwt (a signed assertion), client_credentials (a secret), web (a person, once)",
    )
    client_id: str = Field(
        description="Consumer key of the External Client App",
        json_schema_extra={"hint": "copy the consumer key of the External Client App into .env"},
    )
    client_secret: SecretStr | None = Field(
        default=None,
        description="Consumer secret of the External Client App; for client_credentials, and for web if the app asks",
        json_schema_extra={"hint": "copy the consumer secret of the External Client App into .env, or name its file"},
    )
    username: str | None = Field(
        default=None,
        description="User name of the integration user; for jwt",
        json_schema_extra={"hint": "put the integration user's user name (it looks like a mail address) into .env"},
    )
    private_key_file: Path | None = Field(
        default=None,
        description="PEM file of the RSA key whose certificate the External Client App holds; for jwt",
        json_schema_extra={"hint": "name the PEM file whose certificate was uploaded to the External Client App"},
    )
    callback_url: WebAddress = Field(
        default="http://localhost:1717/OauthRedirect",
        description="Callback URL of the External Client App, letter by letter; for web. On this host, or none of ours",
        json_schema_extra={"hint": "copy the callback URL of the External Client App into .env"},
    )
    api_version: str = Field(
        default="66.0", pattern=r"^[4-9]\d\.0$", description="Version of the REST and streaming interfaces"
    )
    channel: str = Field(
        default="/data/FusionSync__chn",
        pattern=r"^/data/\w+$",
        description="Change Data Capture channel to listen to",
    )

    @model_validator(mode="after")
    def _what_the_flow_needs(self) -> Self:
        because = f"and SALESFORCE_AUTH={self.auth} needs it"
        if self.auth == "jwt":
            if not self.username:
                raise unset("username", because)
            if self.private_key_file is None:
                raise unset("private_key_file", because)
            _check_key(self.private_key_file)
        if self.auth == "client_credentials" and self.client_secret is None:
            raise unset("client_secret", because)
        return self


class DatabaseSettings(Part):
    """Where the outbox lives."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    url: str = Field(
        default="sqlite:///fusion-sync.db",
        repr=False,
        description="The outbox: sqlite:///FILE on one host, or postgresql://USER:PASSWORD@HOST/NAME",
        json_schema_extra={"secret": "address", "hint": "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"},
    )

    @field_validator("url")
    @classmethod
    def _is_one_of_two(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in _SCHEMES:
            raise ValueError("must begin with sqlite:// or postgresql://")
        if scheme.startswith("sqlite") and not re.fullmatch(r"/[^?]+(\?.*)?", rest):
            raise ValueError("names no file; three slashes and its name, four before an absolute path")
        if scheme.startswith("sqlite") and rest.startswith("/:memory:"):
            raise ValueError("is in memory; the outbox must outlive the process, so name a file")
        return value


def _check_key(path: Path) -> None:
    try:
        load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise wrong("private_key_file", f"names a file that cannot be read ({error.strerror})") from None
    except TypeError:
        raise wrong("private_key_file", "names a key with a passphrase; it must have none") from None
    except (ValueError, UnsupportedAlgorithm):
        raise wrong("private_key_file", "names a file that holds no private key in PEM form") from None
