"""Metadata made up in a test, in the form in which it is deployed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import PurePath

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"


def xml(kind: str, inner: str) -> str:
    """A file of the Metadata API."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{kind} xmlns="{NAMESPACE}">\n{inner}\n</{kind}>\n'


def zipped(files: Mapping[str, str], *, named: Mapping[str, str] | None = None) -> bytes:
    """A zip of these files; its package.xml asks for what *named* says, a name a kind."""
    types = "".join(
        f"<types><members>{name}</members><name>{kind}</name></types>" for kind, name in (named or {}).items()
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("package.xml", xml("Package", f"{types}<version>66.0</version>"))
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def custom_object(*fields: str, label: str = "Beat", inner: str = "") -> str:
    """An object that everybody may see, with these fields (`field`)."""
    head = (
        f"<deploymentStatus>Deployed</deploymentStatus><label>{label}</label>"
        "<nameField><displayFormat>N-{0000}</displayFormat><label>Number</label><type>AutoNumber</type></nameField>"
        f"<pluralLabel>{label}s</pluralLabel><sharingModel>ReadWrite</sharingModel>"
    )
    return xml("CustomObject", head + "\n" + "\n".join(fields) + inner)


def field(name: str, kind: str = "Text", *, length: int | None = 40, **more: str) -> str:
    """A field of an object's file."""
    given = {"label": name, "type": kind} | ({"length": str(length)} if length else {}) | more
    return f"<fields><fullName>{name}</fullName>{''.join(f'<{k}>{v}</{k}>' for k, v in given.items())}</fields>"


def permission_set(label: str, object_name: str, *fields: str, custom: str = "") -> str:
    """All rights on one object, and on these fields."""
    rights = "".join(
        f"<{one}>true</{one}>"
        for one in ("allowCreate", "allowDelete", "allowEdit", "allowRead", "modifyAllRecords", "viewAllRecords")
    )
    shown = "".join(
        f"<fieldPermissions><editable>true</editable><field>{object_name}.{one}</field><readable>true</readable>"
        "</fieldPermissions>"
        for one in fields
    )
    whole = f"<objectPermissions>{rights}<object>{object_name}</object></objectPermissions>"
    return xml("PermissionSet", f"{custom}{shown}<label>{label}</label>{whole}")


def changed(package: bytes, *changes: tuple[str, str, str], without: str = "") -> bytes:
    """The package with texts of its files changed (file, text, text in its place), and one file left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as was, zipfile.ZipFile(out, "w") as now:
        for name in was.namelist():
            text = was.read(name).decode()
            for file, old, new in changes:
                if file == name:
                    assert old in text, f"{name} does not say {old}"
                    text = text.replace(old, new)
            if without and name == "package.xml":
                text = text.replace(f"<members>{PurePath(without).stem}</members>", "")
            if name != without:
                now.writestr(name, text)
    return out.getvalue()
