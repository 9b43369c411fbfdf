"""Metadata as it travels: a project's folder packed into the zip that a deploy takes, and such a zip read.

The zip has the Metadata API's own form ("Metadata API Developer Guide: Working with the Zip File"): one file a
component, an object's parts inside the object's file, and package.xml, which names everything.
"""

import base64
import binascii
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET
from xml.parsers import expat

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
LINE = "line"  # the attribute that keeps where an element began; metadata has none of its own

#: Folder of the zip -> kind of the components in it.
FOLDERS = {
    "applications": "CustomApplication",
    "classes": "ApexClass",
    "customPermissions": "CustomPermission",
    "dashboards": "Dashboard",
    "externalClientApps": "ExternalClientApplication",
    "extlClntAppGlobalOauthSets": "ExtlClntAppGlobalOauthSettings",
    "extlClntAppOauthPolicies": "ExtlClntAppOauthConfigurablePolicies",
    "extlClntAppOauthSettings": "ExtlClntAppOauthSettings",
    "flexipages": "FlexiPage",
    "flows": "Flow",
    "groups": "Group",
    "layouts": "Layout",
    "notificationtypes": "CustomNotificationType",
    "objects": "CustomObject",
    "pathAssistants": "PathAssistant",
    "permissionsets": "PermissionSet",
    "platformEventChannelMembers": "PlatformEventChannelMember",
    "platformEventChannels": "PlatformEventChannel",
    "quickActions": "QuickAction",
    "reportTypes": "ReportType",
    "reports": "Report",
    "settings": "Settings",
    "sharingRules": "SharingRules",
    "tabs": "CustomTab",
    "triggers": "ApexTrigger",
}
#: Kind of a file -> element inside it -> kind of the part that it is.
PARTS = {
    "CustomObject": {
        "compactLayouts": "CompactLayout",
        "fields": "CustomField",
        "listViews": "ListView",
        "recordTypes": "RecordType",
        "validationRules": "ValidationRule",
    },
    "SharingRules": {"sharingOwnerRules": "SharingOwnerRule"},
}
_PART_ELEMENTS = {kind: element for element, kind in PARTS["CustomObject"].items()}


class BadArchive(Exception):
    """What was sent is no zip, or has no package.xml: the deploy fails as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component by kind and full name (`Patient__c.SSN__c`), with the file of the zip and the line it begins at.

    `problem` is why its file could not be read; `xml` is empty then.
    """

    kind: str
    name: str
    file: str
    xml: ET.Element = field(repr=False)
    line: int = 1
    column: int = 1
    problem: str | None = None

    @property
    def object_name(self) -> str:
        """The object whose part it is."""
        return self.name.partition(".")[0]

    @property
    def listed(self) -> tuple[str, str]:
        """Kind and name by which package.xml lists it: a folder is listed among what it holds."""
        is_folder = self.kind.endswith("Folder")
        return (self.kind.removesuffix("Folder"), f"{self.name}/") if is_folder else (self.kind, self.name)

    @property
    def short(self) -> str:
        """The name without the object's."""
        return self.name.rpartition(".")[2]

    def text(self, path: str) -> str:
        """Text of the first element at *path*; empty when there is none."""
        return (self.xml.findtext(path) or "").strip()

    def texts(self, path: str) -> list[str]:
        return [(one.text or "").strip() for one in self.xml.findall(path)]

    def yes(self, path: str) -> bool:
        return self.text(path) == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Everything in one zip, objects before their parts; `named` is what package.xml asks for, by kind."""

    components: tuple[Component, ...]
    named: Mapping[str, frozenset[str]]


def pack(project: Path, *directories: str) -> bytes:
    """The zip of a project in source format: of all its package directories, or of those named.

    What `sf project deploy start` makes of it; the tests hold one against the other.
    """
    listed = json.loads((project / "sfdx-project.json").read_text(encoding="utf-8"))
    wanted = directories or tuple(one["path"] for one in listed["packageDirectories"])
    files: dict[str, ET.Element] = {}
    parts: dict[str, list[ET.Element]] = {}
    for path in sorted(p for name in wanted for p in (project / name).rglob("*-meta.xml")):
        xml = read_xml(path.read_bytes())
        folders = path.parts
        if "objects" in folders:
            object_name = folders[folders.index("objects") + 1]
            if xml.tag == "CustomObject":
                files[f"objects/{object_name}.object"] = xml
            else:
                xml.tag = _PART_ELEMENTS[xml.tag]
                parts.setdefault(object_name, []).append(xml)
            continue
        at = next(i for i in reversed(range(len(folders) - 1)) if folders[i] in FOLDERS)
        name = path.name.removesuffix("-meta.xml")
        if len(folders) - at == 2 and name.endswith("Folder"):  # `Fusion_Sync.reportFolder` is a folder's own file
            name = name.rpartition(".")[0] + "-meta.xml"
        files["/".join((*folders[at:-1], name))] = xml
    for object_name, of_object in parts.items():
        files.setdefault(f"objects/{object_name}.object", ET.Element("CustomObject")).extend(of_object)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, xml in files.items():
            archive.writestr(file, _written(xml))
        components = [c for file, xml in files.items() for c in _components(file, xml)]
        archive.writestr("package.xml", _written(_package_xml(components, listed["sourceApiVersion"])))
    return out.getvalue()


@lru_cache(maxsize=8)  # the tests' orgs are made of one and the same zip
def unpack(zipped: bytes) -> Archive:
    """The components of a zip. Raises BadArchive; a component that is not XML says so itself, by its `problem`."""
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except zipfile.BadZipFile as exc:
        raise BadArchive("The zip file could not be read") from exc
    # A client may put everything below one folder ("singlePackage").
    root = next((name.removesuffix("package.xml") for name in files if PurePosixPath(name).name == "package.xml"), None)
    if root is None:
        raise BadArchive("No package.xml found")
    try:
        package = read_xml(files.pop(f"{root}package.xml"))
    except expat.ExpatError as exc:
        raise BadArchive(f"package.xml: {exc}") from exc
    named = {
        str(one.findtext("name")): frozenset(str(member.text) for member in one.findall("members"))
        for one in package.findall("types")
    }
    components: list[Component] = []
    for path, content in sorted(files.items()):
        file = path.removeprefix(root)
        try:
            components += _components(file, read_xml(content))
        except expat.ExpatError as exc:
            components += [
                Component(
                    kind=_kind_of(file),
                    name=_name_of(file),
                    file=file,
                    xml=ET.Element("none"),
                    line=exc.lineno,
                    column=exc.offset + 1,
                    problem=f"Error parsing file: {expat.ErrorString(exc.code)}",
                )
            ]
    return Archive(components=tuple(components), named=named)


def from_base64(text: str) -> bytes:
    """Raises BadArchive where *text* is no base64."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadArchive("The zip file is not base64") from exc


def _components(file: str, xml: ET.Element) -> Iterator[Component]:
    kind, name = _kind_of(file), _name_of(file)
    yield Component(kind=kind, name=name, file=file, xml=xml)
    kinds = PARTS.get(kind, {})
    for part in xml:
        if part.tag in kinds:
            yield Component(
                kind=kinds[part.tag],
                name=f"{name}.{part.findtext('fullName')}",
                file=file,
                xml=part,
                line=int(part.get(LINE, "1")),
                column=5,
            )


def _kind_of(file: str) -> str:
    kind = FOLDERS.get(file.partition("/")[0], file.partition("/")[0])
    return f"{kind}Folder" if file.endswith("-meta.xml") else kind


def _name_of(file: str) -> str:
    """`reports/Fusion_Sync/Synced.report` -> `Fusion_Sync/Synced`; a folder's own file is named `Fusion_Sync`."""
    inner = file.partition("/")[2]
    return inner.removesuffix("-meta.xml") if inner.endswith("-meta.xml") else inner.rpartition(".")[0]


def _package_xml(components: list[Component], version: str) -> ET.Element:
    package = ET.Element("Package")
    listed = sorted({one.listed for one in components})
    for kind in sorted({kind for kind, _ in listed}):
        types = ET.SubElement(package, "types")
        for name in (name for of, name in listed if of == kind):
            ET.SubElement(types, "members").text = name
        ET.SubElement(types, "name").text = kind
    ET.SubElement(package, "version").text = version
    return package


def _written(xml: ET.Element) -> bytes:
    copy = ET.fromstring(ET.tostring(xml))  # noqa: S314  what was written a moment ago
    for element in copy.iter():
        element.attrib.pop(LINE, None)
    copy.set("xmlns", NAMESPACE)
    return bytes(ET.tostring(copy, encoding="UTF-8", xml_declaration=True))


def read_xml(content: bytes) -> ET.Element:
    """The root element; tags without their namespace, each with its line. Raises expat.ExpatError.

    The standard library's own tree forgets lines, and an admin whose deploy fails looks for one.
    """
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag.rpartition("}")[2], {**attributes, LINE: str(parser.CurrentLineNumber)})

    def end(tag: str) -> None:
        builder.end(tag.rpartition("}")[2])

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.Parse(content, True)
    return builder.close()
