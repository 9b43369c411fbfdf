"""The schema of Salesforce's metadata, made from the types that `@salesforce/types` publishes for TypeScript.

Salesforce publishes no XSD; its WSDL is behind a log-in. The types are made from the same WSDL, in its order, so they
say which elements a file may hold, in which order, how often, and of which values. What they cannot say (does the named
field exist?) is the business of the rules.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_SIMPLE = {"string": "xsd:string", "number": "xsd:double", "boolean": "xsd:boolean", "Date": "xsd:string"}
_ENUM = re.compile(r"^export type (\w+) = ((?:'(?:[^'\\]|\\.)*'(?: \| )?)+);$", re.M)
_ALIAS = re.compile(r"^export type (\w+) = (string|number|boolean|Date);$", re.M)
_COMPLEX = re.compile(r"^export type (\w+) = (?:(\w+) & )?\{\n(.*?)^\};", re.M | re.S)
_MANY = ' maxOccurs="unbounded"'
_MEMBER = re.compile(r"^ +(\w+)(\?)?: (\w+)(\[\])?;", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Types:
    """What the `.d.ts` declares: values by enumeration, simple types by alias, and (base, members) by complex type."""

    enums: dict[str, list[str]]
    aliases: dict[str, str]
    complex: dict[str, tuple[str, str]]

    def qualified(self, name: str) -> str:
        """The XSD name of a type; anything for what is not declared."""
        if name in self.complex or name in self.enums or name in self.aliases:
            return f"tns:{name}"
        return _SIMPLE.get(name, "xsd:anyType")


def types_in(declarations: str) -> Types:
    """The types of one `metadata.d.ts`."""
    declared = {m[1]: (m[2] or "", m[3]) for m in _COMPLEX.finditer(declarations) if m[1] != "ApiSchemaTypes"}
    declared.setdefault("Metadata", ("", "    fullName?: string;\n"))
    for folder in ("ReportFolder", "DashboardFolder"):  # declared as `= Folder;`
        declared.setdefault(folder, ("Folder", ""))
    return Types(
        enums={m[1]: re.findall(r"'((?:[^'\\]|\\.)*)'", m[2]) for m in _ENUM.finditer(declarations)},
        aliases={m[1]: m[2] for m in _ALIAS.finditer(declarations)},
        complex=declared,
    )


def schema_of(declarations: str) -> etree.XMLSchema:
    """The compiled schema; every type may be the root of a file. Takes about two seconds."""
    return etree.XMLSchema(etree.fromstring("".join(_lines(types_in(declarations))).encode()))


def _lines(types: Types) -> Iterator[str]:
    yield f'<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:tns="{NAMESPACE}" '
    yield f'targetNamespace="{NAMESPACE}" elementFormDefault="qualified">\n'
    for name, values in types.enums.items():
        allowed = "".join(f'<xsd:enumeration value="{value.replace("&", "&amp;")}"/>' for value in values)
        yield f'<xsd:simpleType name="{name}"><xsd:restriction base="xsd:string">{allowed}</xsd:restriction>'
        yield "</xsd:simpleType>\n"
    for name, base in types.aliases.items():
        yield f'<xsd:simpleType name="{name}"><xsd:restriction base="{_SIMPLE[base]}"/></xsd:simpleType>\n'
    for name, (base, members) in types.complex.items():
        yield _complex_type(types, name, base, members)
    yield "</xsd:schema>"


def _complex_type(types: Types, name: str, base: str, members: str) -> str:
    elements = "".join(
        f'<xsd:element name="{member}" type="{types.qualified(kind)}" minOccurs="{0 if optional or many else 1}"'
        f"{_MANY if many else ''}/>"
        for member, optional, kind, many in _MEMBER.findall(members)
    )
    body = f"<xsd:sequence>{elements}</xsd:sequence>"
    if base in types.complex:
        body = f'<xsd:complexContent><xsd:extension base="tns:{base}">{body}</xsd:extension></xsd:complexContent>'
    return f'<xsd:complexType name="{name}">{body}</xsd:complexType><xsd:element name="{name}" type="tns:{name}"/>\n'
