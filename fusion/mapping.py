"""The mapping: which Salesforce fields become which values of a chart, and how each may be written.

It is data (`mapping.toml`), so a clinic changes it without code; so all that could be wrong with it is said when it is
read, with its line, and not when the first patient comes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fusion.differences import Policy
from fusion.mapping_file import ALWAYS_REQUIRED, MappingFile, Transform, contradictions, shape_faults
from fusion.patient import Field
from fusion.toml_lines import line_in, line_of
from listener.errors import SetupError

MERGED_INTO = "MasterRecordId"
"""Names the record that went on, on one that was merged away. These objects can be merged, custom ones cannot
("SOAP API Developer Guide: merge()"); what a tool calls a merge of theirs is a delete to us."""
_MERGEABLE = frozenset({"Account", "Case", "Contact", "Lead"})

DEFAULT = Path(__file__).with_name("mapping.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Where one value comes from: `sources`, or always `value`. `options`: Salesforce's value to the portal's."""

    sources: tuple[str, ...]
    value: str
    transform: Transform
    options: Mapping[str, str]
    alone_is_nothing: frozenset[str]
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFields:
    """The fields of the Salesforce object that we write; people only tick `resync_requested`."""

    portal_id: str
    status: str
    error_code: str
    error: str
    synced_at: str
    last_attempt_at: str
    attempts: str
    resync_requested: str

    def names(self) -> tuple[str, ...]:
        """All of them, in a fixed order."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMapping:
    """A checked mapping. `ready_field` is the gate: a checkbox without which a record stays in Salesforce."""

    object_name: str
    ready_field: str
    own: OwnFields
    rules: Mapping[Field, Rule]

    @property
    def mapped(self) -> frozenset[str]:
        """Salesforce fields that a value comes from."""
        return frozenset(source for rule in self.rules.values() for source in rule.sources)

    @property
    def watched(self) -> frozenset[str]:
        """Salesforce fields a person's change of which asks for a visit: the mapped ones, the gate, resync, the id."""
        return self.mapped | {self.ready_field, self.own.resync_requested, self.own.portal_id}

    @property
    def reads(self) -> tuple[str, ...]:
        """All fields to read of a record: the gate, ours, the mapped ones, and into what it was merged; each once.

        `Id` is not among them.
        """
        sources = (source for rule in self.rules.values() for source in rule.sources)
        merged = (MERGED_INTO,) if self.object_name in _MERGEABLE else ()
        return tuple(dict.fromkeys((self.ready_field, *self.own.names(), *sources, *merged)))

    @property
    def policy(self) -> Mapping[Field, Policy]:
        """How each mapped field may be written."""
        return {field: rule.policy for field, rule in self.rules.items()}


def load_mapping(path: Path | None) -> RecordMapping:
    """The mapping in that file, or our own for None. `SetupError` names the file, the line and what is wrong there."""
    shown = str(path) if path else DEFAULT.name
    try:
        text = (path or DEFAULT).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise SetupError(
            f"{shown} cannot be read", hint="FUSION_SYNC_MAPPING names a TOML file in UTF-8; unset it to use our own"
        ) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(shown, line_in(error, text), f"not TOML: {str(error).partition(' (at ')[0]}") from None
    try:
        file = MappingFile.model_validate(data)
    except ValidationError as error:
        faults = list(shape_faults(error))
    else:
        faults = list(contradictions(file))
        if not faults:
            return _mapping(file)
    # One at a time, from the top: what follows is often the same slip seen again.
    line, message = min((line_of(keys, text) or 0, message) for keys, message in faults)
    raise _wrong(shown, line, message)


def _mapping(file: MappingFile) -> RecordMapping:
    rules = {
        field: Rule(
            sources=given.from_,
            value=given.value or "",
            transform=given.transform,
            options=given.options,
            alone_is_nothing=frozenset(given.alone_is_nothing),
            policy=Policy(
                label=given.label,
                required=given.required or field in ALWAYS_REQUIRED,
                may_clear=given.may_clear,
                create_only=given.create_only,
            ),
        )
        for field, given in file.patient.items()
    }
    return RecordMapping(
        object_name=file.salesforce.object,
        ready_field=file.salesforce.ready,
        own=OwnFields(**dict(file.salesforce.own)),
        rules={field: rules[field] for field in Field if field in rules},
    )


def _wrong(shown: str, line: int, message: str) -> SetupError:
    place = f"{shown} line {line}" if line else shown
    return SetupError(f"{place}: {message}", hint="correct that line; the comments in our own mapping.toml explain it")
