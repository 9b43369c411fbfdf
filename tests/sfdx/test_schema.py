"""The schema made from Salesforce's types refuses what an org refuses."""

import pytest
from lxml import etree

from tests.sfdx.conftest import ROOT
from tests.sfdx.xsd import schema_of

FIELDS = ROOT / "sfdx/force-app/main/default/objects/Patient__c/fields"
SSN = (FIELDS / "SSN__c.field-meta.xml").read_text()
FLOW = (ROOT / "sfdx/force-app/main/default/flows/Fusion_Queue_Patient.flow-meta.xml").read_text()


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        pytest.param(SSN, "<length>11</length>", "<size>11</size>", id="an element that does not exist"),
        pytest.param(SSN, "<maskType>ssn<", "<maskType>SSN<", id="a value that is not offered"),
        pytest.param(SSN, "<required>false<", "<required>no<", id="a boolean that is none"),
        pytest.param(SSN, "<length>11<", "<length>eleven<", id="a number that is none"),
        pytest.param(SSN, "<label>SSN</label>\n", "<label>SSN</label>\n<label>SSN</label>\n", id="one element twice"),
        pytest.param(SSN, "soap.sforce.com/2006/04/metadata", "soap.sforce.com/2006/08/apex", id="another namespace"),
        pytest.param(SSN, "<CustomField ", "<Customfield ", id="a root that does not exist"),
        pytest.param(FLOW, "<label>Fusion Queue Patient</label>", "", id="a required element is missing"),
        pytest.param(FLOW, "RecordBeforeSave", "BeforeSave", id="a trigger that does not exist"),
    ],
)
def test_it_refuses(schema: etree.XMLSchema, text: str, old: str, new: str) -> None:
    assert schema.validate(etree.fromstring(text.encode()))
    spoilt = text.replace(old, new).replace(
        "</CustomField>", "</Customfield>" if "<Customfield" in new else "</CustomField>"
    )
    assert spoilt != text
    assert not schema.validate(etree.fromstring(spoilt.encode()))


def test_types_become_a_schema_with_bases_enumerations_and_lists() -> None:
    made = schema_of(
        "export type Colour = 'red' | 'blue & green';\n"
        "export type Metadata = {\n    fullName?: string;\n};\n"
        "export type Thing = Metadata & {\n    colour: Colour;\n    sizes: number[];\n};\n"
    )
    head = '<Thing xmlns="http://soap.sforce.com/2006/04/metadata">'
    right = f"{head}<fullName>a</fullName><colour>blue &amp; green</colour><sizes>1</sizes><sizes>2.5</sizes></Thing>"
    assert made.validate(etree.fromstring(right))
    assert not made.validate(etree.fromstring(f"{head}<sizes>1</sizes></Thing>"))
