"""What may stand in a mapping file, and what is wrong with one. Pure.

Names in it go into SOQL, so nothing but API names of Salesforce gets through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictBool, StrictStr, ValidationError
from pydantic import Field as Setting

from fusion.patient import Field, Section
from fusion.toml_lines import Keys

ALWAYS_REQUIRED = (Field.FIRST_NAME, Field.LAST_NAME, Field.BIRTH_DATE)
"""Who the chart belongs to: never missing, never cleared, never a constant, whatever a mapping says."""

ROW_KEYS: Mapping[Section, tuple[Field, ...]] = {
    Section.CONTACTS: (Field.GUARDIAN_NAME,),
    Section.CASES: (Field.CASE_TYPE,),
    Section.PAYERS: (Field.PAYER, Field.MEMBER_ID),
    Section.NOTES: (Field.NOTE,),
}
"""The values by which our row of a section is found again; without them each visit would add one."""


class Transform(StrEnum):
    """A named way from a Salesforce value to a canonical one; `transforms` has them."""

    TEXT = "text"
    MULTILINE = "multiline"
    DATE = "date"
    PHONE = "phone"
    SSN = "ssn"
    EMAIL = "email"
    STATE = "state"
    ZIP = "zip"
    UPPER = "upper"
    JOIN = "join"
    OPTION = "option"


FIXED: Mapping[Field, Transform] = {
    Field.BIRTH_DATE: Transform.DATE,
    Field.SSN: Transform.SSN,
    Field.PHONE: Transform.PHONE,
}
"""Values that are compared or refused by their form, so no other transform will do: `text` would let a mask through."""


def _api_name(name: str) -> str:
    """A Salesforce API name: letter first, single underscores, maybe a namespace, maybe a suffix (`__c`, `__pc`)."""
    if not re.fullmatch(r"([a-zA-Z][a-zA-Z0-9]{0,14}__)?[a-zA-Z][a-zA-Z0-9]*(_[a-zA-Z0-9]+)*(__(c|pc))?", name):
        raise ValueError(f'"{name}" cannot be the API name of a Salesforce object or field')
    return name


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("it must not be empty")
    return value


_ApiName = Annotated[StrictStr, AfterValidator(_api_name)]
_Filled = Annotated[StrictStr, AfterValidator(_filled)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Own(_Table):
    portal_id: _ApiName
    status: _ApiName
    error_code: _ApiName
    error: _ApiName
    synced_at: _ApiName
    last_attempt_at: _ApiName
    attempts: _ApiName
    resync_requested: _ApiName


class _Salesforce(_Table):
    object: _ApiName
    ready: _ApiName
    own: _Own


class Source(_Table):
    """`[patient.<field>]`: where one value comes from and how it may be written."""

    label: _Filled
    from_: Annotated[
        tuple[_ApiName, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
    ] = Setting(default=(), alias="from")
    value: _Filled | None = None
    transform: Transform = Transform.TEXT
    options: dict[str, _Filled] = {}
    alone_is_nothing: tuple[StrictStr, ...] = ()
    required: StrictBool = False
    may_clear: StrictBool = False
    create_only: StrictBool = False


class MappingFile(_Table):
    """The whole file, each value of the right kind; `contradictions` tells what they do not agree on."""

    salesforce: _Salesforce
    patient: dict[Field, Source]


def contradictions(file: MappingFile) -> Iterator[tuple[Keys, str]]:
    """What no single value shows to be wrong: the path of keys it is about, and the sentence."""
    for field in ALWAYS_REQUIRED:
        if field not in file.patient:
            yield ("patient",), f"[patient.{field}] is missing: a chart is never made or changed without it"
    yield from _doubles(file)
    for field, given in file.patient.items():
        at = ("patient", field.value)
        yield from (((*at, key), message) for key, message in _contradictions_in(field, given))
        missing = [key for key in ROW_KEYS.get(field.section, ()) if key not in file.patient]
        if missing:
            yield at, f"[patient.{missing[0]}] is missing: without it our row in {field.section} is not found again"


def _doubles(file: MappingFile) -> Iterator[tuple[Keys, str]]:
    """Salesforce fields that stand in two places; to Salesforce, names that differ in case alone are one."""
    places: list[tuple[Keys, str]] = [(("salesforce", "ready"), file.salesforce.ready)]
    places += [(("salesforce", "own", key), name) for key, name in file.salesforce.own]
    places += [(("patient", field, "from"), name) for field, given in file.patient.items() for name in given.from_]
    taken: dict[str, Keys] = {}
    for keys, name in places:
        first = taken.setdefault(name.casefold(), keys)
        if first is not keys:
            yield keys, f"{name} is used twice; [{'.'.join(first[:-1])}] has it already"


def _contradictions_in(field: Field, given: Source) -> Iterator[tuple[str, str]]:
    if given.value is not None:
        if field in (*ALWAYS_REQUIRED, Field.SSN):
            yield "value", f"{field} is never the same for all patients"
        for key in ("from", "transform", "options", "alone_is_nothing"):
            if {"from": "from_"}.get(key, key) in given.model_fields_set:
                yield key, f"a constant `value` takes no `{key}`"
    elif not given.from_:
        yield "from" if "from_" in given.model_fields_set else "", "it needs `from` or `value`"
    if given.value is None and (fixed := FIXED.get(field, given.transform)) is not given.transform:
        yield "transform", f'{field} needs the transform "{fixed}"'
    if len(given.from_) > 1 and given.transform is not Transform.JOIN:
        yield "from", 'several sources need the transform "join"'
    if (given.transform is Transform.OPTION) != bool(given.options) and given.value is None:
        yield "transform", 'the transform "option" and a table of `options` go together'
    folded = [option.strip().casefold() for option in given.options]
    if len(set(folded)) < len(folded):
        yield "options", "two options differ only in case or spaces"
    if unknown := [one for one in given.alone_is_nothing if given.options and one not in given.options]:
        yield "alone_is_nothing", f'"{unknown[0]}" is not among the options'
    if given.required and given.may_clear:
        yield "may_clear", "what is required is never empty, so it is never cleared"
    if field in (*ALWAYS_REQUIRED, Field.SSN) and given.may_clear:
        yield "may_clear", f"{field} is never cleared"


def shape_faults(error: ValidationError) -> Iterator[tuple[Keys, str]]:
    """What pydantic found, in our words: the path of keys it is about, and what is wrong there."""
    for one in error.errors(include_url=False):
        yield _keys_of(one["loc"]), _said(one)


def _said(error: Any) -> str:
    key, given = error["loc"][-1], error["input"]
    match error["type"]:
        case "enum" if key == "transform":
            said = f'unknown transform "{given}"; known are {", ".join(Transform)}'
        case "enum":
            said = f'unknown field "{given}"; known are {", ".join(Field)}'
        case "extra_forbidden":
            said = f'unknown key "{key}"'
        case "missing":
            said = f'"{key}" is missing'
        case "string_type":
            said = f'"{_keys_of(error["loc"])[-1]}" must be text in quotes'
        case "bool_type":
            said = f'"{key}" must be true or false'
        case "value_error":
            said = str(error["ctx"]["error"])
        case _:
            said = f'"{key}": {error["msg"]}'
    return said


def _keys_of(loc: tuple[int | str, ...]) -> Keys:
    return tuple(part for part in loc if isinstance(part, str) and part != "[key]")
