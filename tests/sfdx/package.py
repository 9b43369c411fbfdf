"""A project of Salesforce metadata as data: every component by kind and name, its XML parsed once.

Names are those of the Metadata API: `Patient__c.SSN__c`, `Fusion_Sync/Synced_per_Day`. Tags have no namespace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from fusion.mapping import RecordMapping, load_mapping

_AUDIT = {
    "Id": "Id",
    "OwnerId": "Lookup",
    "CreatedDate": "DateTime",
    "CreatedById": "Lookup",
    "LastModifiedDate": "DateTime",
    "LastModifiedById": "Lookup",
}
STANDARD: Mapping[str, Mapping[str, str]] = {
    "Contact": {
        **_AUDIT,
        "Name": "Text",
        **dict.fromkeys(("FirstName", "LastName"), "Text"),
        "Birthdate": "Date",
    },
    # As a Person Account.
    "Account": {
        **_AUDIT,
        "Name": "Text",
        **dict.fromkeys(("FirstName", "LastName"), "Text"),
        "PersonBirthdate": "Date",
    },
}
"""Fields that standard objects bring along, as far as they are used, with the type that a custom one would have."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one component."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One file. `object_name` is set for what lies in an object's folder."""

    kind: str
    name: str
    path: Path
    xml: ET.Element = field(repr=False)
    object_name: str = ""

    @property
    def short(self) -> str:
        """The name without object or folder."""
        return self.name.removeprefix(f"{self.object_name}.").rpartition("/")[2]

    def text(self, path: str) -> str:
        """Text of the first element at *path*; empty if there is none."""
        return self.xml.findtext(path) or ""

    def texts(self, path: str) -> list[str]:
        return [one.text or "" for one in self.xml.findall(path)]

    def finding(self, what: str) -> Finding:
        return Finding(f"{self.kind} {self.name}", what)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFacts:
    """What rules ask of a field, custom or standard."""

    name: str
    kind: str
    required: bool = False
    formula: bool = False
    length: int = 0
    values: tuple[str, ...] = ()
    custom: bool = True

    @property
    def hidden_from_filters(self) -> bool:
        """Encrypted and long text take part in no filter, no formula and no enrichment."""
        return self.kind in ("EncryptedText", "LongTextArea")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A folder with `sfdx-project.json`, and the mapping by which fusion-sync reads its object."""

    folder: Path
    mapping_file: Path
    components: tuple[Component, ...] = field(repr=False)
    mapping: RecordMapping = field(repr=False)
    _fields: dict[str, dict[str, FieldFacts]] = field(repr=False, default_factory=dict)

    @classmethod
    def read(cls, folder: Path, mapping_file: Path) -> Project:
        """Everything in the package directories that `sfdx-project.json` names."""
        paths = [path for directory in _directories(folder) for path in files(directory)]
        components = tuple(_component(path) for path in paths if path.name.endswith("-meta.xml"))
        project = cls(
            folder=folder, mapping_file=mapping_file, components=components, mapping=load_mapping(mapping_file)
        )
        for one in project.objects | STANDARD.keys():
            project._fields[one] = {facts.name: facts for facts in project._facts(one)}
        return project

    @property
    def directories(self) -> list[Path]:
        """What is deployed, in this order."""
        return _directories(self.folder)

    @property
    def api_version(self) -> str:
        return str(_settings(self.folder)["sourceApiVersion"])

    def of(self, kind: str) -> list[Component]:
        return [one for one in self.components if one.kind == kind]

    def find(self, kind: str, name: str) -> Component | None:
        return next((one for one in self.of(kind) if one.name == name), None)

    @property
    def objects(self) -> set[str]:
        """Objects that the project makes or adds to."""
        return {one.object_name for one in self.components if one.object_name}

    def fields(self, object_name: str) -> Mapping[str, FieldFacts]:
        """By API name; empty for an object that is neither the project's nor standard."""
        return self._fields.get(object_name, {})

    def _facts(self, object_name: str) -> Iterator[FieldFacts]:
        for name, kind in STANDARD.get(object_name, {"Name": "AutoNumber", **_AUDIT}).items():
            yield FieldFacts(name=name, kind=kind, required=name == "LastName", custom=False)
        for one in self.of("CustomField"):
            if one.object_name == object_name:
                yield FieldFacts(
                    name=one.short,
                    kind=one.text("type"),
                    required=one.text("required") == "true",
                    formula=one.xml.find("formula") is not None,
                    length=int(one.text("length") or (255 if one.text("type") == "TextArea" else 0)),
                    values=tuple(one.texts("valueSet/valueSetDefinition/value/fullName")),
                )


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((folder / "sfdx-project.json").read_text())
    return settings


def _directories(folder: Path) -> list[Path]:
    return [folder / one["path"] for one in _settings(folder)["packageDirectories"]]


def files(folder: Path) -> list[Path]:
    """All files below, in one order everywhere."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _component(path: Path) -> Component:
    xml = ET.parse(path).getroot()
    for element in xml.iter():
        element.tag = element.tag.rpartition("}")[2]
    stem = path.name.removesuffix("-meta.xml").rpartition(".")[0]
    folders = path.parts
    object_name = folders[folders.index("objects") + 1] if "objects" in folders else ""
    if xml.tag in ("Report", "Dashboard"):
        name = f"{path.parent.name}/{stem}"
    else:
        name = f"{object_name}.{stem}" if object_name and xml.tag != "CustomObject" else stem
    return Component(kind=xml.tag, name=name, path=path, xml=xml, object_name=object_name)
