"""How a setting comes from the environment, `.env` or a secret's own file, and what is said when it does not.

The order: environment, `.env` of the working directory, `<NAME>_FILE`, default. An empty value counts as not set.
Whatever is wrong comes out as one `SetupError`, which names the variable and never quotes a secret.
"""

from __future__ import annotations

import ipaddress
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from listener.errors import SetupError

ENV_FILE = Path(".env")
MASK = "********"
_LIST = "`fusion-sync config` lists all settings"


class Part(BaseSettings):
    """Settings that share a prefix. A field's `hint` (in `json_schema_extra`) is what to do where it is missing.

    `.env` is read by `load` alone, so that a part made by hand depends on no file of the working directory.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """As in the module's docstring; what is handed in by hand wins."""
        return init_settings, env_settings, dotenv_settings, _SecretFiles(settings_cls, env_settings, dotenv_settings)


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets from the files that `<NAME>_FILE` names, as container platforms mount them."""

    def __init__(self, part: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(part)
        self._raw = [source.env_vars for source in sources if isinstance(source, EnvSettingsSource)]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The file's text without its ends; None where no file is named."""
        name = variable(self.settings_cls, field_name)
        path = self._given(f"{name}_FILE")
        if path is None or not is_secret(field):
            return None, field_name, False
        if self._given(name) is not None:
            raise SetupError(f"{name} and {name}_FILE are both set", hint="keep one of them")
        return _text_of(Path(path), f"{name}_FILE"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All that files give."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _given(self, name: str) -> str | None:
        for raw in self._raw:
            if value := raw.get(name.lower()):
                return value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as a person sees it; `value` is masked where it is a secret, None where it is not set."""

    name: str
    value: str | None
    origin: str
    meaning: str


P = TypeVar("P", bound=Part)


def load(part: type[P], *, env_file: Path | None = ENV_FILE) -> P:
    """The part, read and checked; raises `SetupError` with one sentence that names the setting, and the next move."""
    try:
        made: P = cast(Any, part)(
            _env_file=env_file
        )  # a type checker sees the fields alone, not pydantic's own argument
    except ValidationError as error:
        _tell(part, error)
    except (OSError, UnicodeDecodeError):
        raise SetupError(f"{env_file} cannot be read as text", hint="is it UTF-8, and may this user read it?") from None
    return made


def listed(part: type[Part], *, env_file: Path | None = ENV_FILE) -> list[Setting]:
    """Every setting of the part with where it came from, right or wrong, in the order of the class."""
    environment, dotenv = EnvSettingsSource(part), DotEnvSettingsSource(part, env_file=env_file)
    files = _SecretFiles(part, environment, dotenv)
    found: dict[str, tuple[Any, str]] = {}
    # The weakest first: each that comes after takes its place.
    found |= {name: (value, f"{variable(part, name)}_FILE") for name, value in _from_files(files).items()}
    for values, origin in ((dotenv(), str(env_file)), (environment(), "environment")):
        found |= {name: (values[name], origin) for name in part.model_fields if name in values}
    for name, field in part.model_fields.items():
        if name not in found:
            found[name] = (None, "not set") if field.is_required() else (field.default, "default")
    return [
        Setting(
            name=variable(part, name),
            value=_shown(field, found[name][0]),
            origin=found[name][1],
            meaning=field.description or "",
        )
        for name, field in part.model_fields.items()
    ]


def variable(part: type[BaseSettings], field_name: str) -> str:
    """The environment variable of a field."""
    return f"{part.model_config.get('env_prefix', '')}{field_name}".upper()


def is_secret(field: FieldInfo) -> bool:
    """Whether the value may be shown to nobody; then it can also be given as a file."""
    return SecretStr in (field.annotation, *typing.get_args(field.annotation)) or bool(_extra(field).get("secret"))


def unset(field_name: str, because: str) -> PydanticCustomError:
    """What a model validator raises where one setting asks for another: "X is not set, <because>"."""
    return PydanticCustomError("unset", "is not set", {"field": field_name, "because": because})


def wrong(field_name: str, what: str) -> PydanticCustomError:
    """What a model validator raises where a setting is wrong: "X <what>"; `what` quotes no secret."""
    return PydanticCustomError("wrong", "is wrong", {"field": field_name, "what": what})


def web_address(value: str) -> str:
    """The address without a slash at its end; ValueError unless it is https, or http on this machine."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://host.example")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be an address alone, without a user, a query or a fragment")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("uses plain http, which would send passwords in the clear; use https")
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text_of(path: Path, name: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SetupError(f"{name} names a file that cannot be read", hint="check its path and its rights") from None
    if not text:
        raise SetupError(f"{name} names an empty file", hint="put the secret into it, as its only line")
    return text


def _tell(part: type[Part], error: ValidationError) -> NoReturn:
    problems = error.errors(include_url=False, include_input=False)
    missing = [one for one in problems if one["type"] == "missing"]
    if missing:
        names = [str(one["loc"][0]) for one in missing]
        variables = [variable(part, name) for name in names]
        *first, last = variables
        text = f"{', '.join(first)} and {last} are not set" if first else f"{last} is not set"
        raise SetupError(text, hint=_hint(part, names[0])) from None
    field_name, text = _sentence(problems[0])
    raise SetupError(f"{variable(part, field_name)} {text}", hint=_hint(part, field_name)) from None


def _sentence(problem: ErrorDetails) -> tuple[str, str]:
    context: Mapping[str, Any] = problem.get("ctx", {})
    match problem["type"]:
        case "unset":
            return context["field"], f"is not set, {context['because']}"
        case "wrong":
            return context["field"], context["what"]
        case "value_error":
            return str(problem["loc"][0]), str(context["error"])
        case _:
            # Pydantic's own messages ("Input should be greater than 0") say what was expected, not what was found.
            return str(problem["loc"][0]), problem["msg"].replace("Input should", "should", 1)


def _hint(part: type[Part], field_name: str) -> str:
    field = part.model_fields[field_name]
    hint = str(_extra(field).get("hint", ""))
    return f"{hint}; {_LIST}" if hint else _LIST


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else types.MappingProxyType({})


def _from_files(files: _SecretFiles) -> dict[str, Any]:
    try:
        return files()
    except SetupError:
        return {}  # told by `load`; a listing shows what there is


def _shown(field: FieldInfo, value: Any) -> str | None:
    if value is None:
        return None
    if not is_secret(field):
        return str(value)
    if _extra(field).get("secret") != "address":
        return MASK
    # Of an address only what is surely none of its credentials.
    scheme, _, rest = str(value).partition("://")
    credentials, at, place = rest.rpartition("@")
    user = f"{credentials.partition(':')[0]}:{MASK}@" if at else ""
    return f"{scheme}://{user}{place.partition('?')[0]}" if rest else MASK
