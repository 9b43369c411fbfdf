"""Objects and fields: types with what they need and must not have, words for people, care for what is private."""

from collections.abc import Iterator

from tests.sfdx.package import Component, Finding, Project

_NO_LENGTH = {"TextArea", "Date", "DateTime", "Checkbox", "Phone", "Email", "Picklist", "Number"}
_UNIQUE = {"Text", "Number", "Email"}
_WORDS = {"label": 40, "inlineHelpText": 510, "description": 1000}
_PRIVATE = {"Confidential", "Restricted", "MissionCritical"}
MOST_TRACKED = 20  # fields with history, an object


def findings(project: Project) -> Iterator[Finding]:
    """All that an org would refuse, and what an admin would miss."""
    for one in project.of("CustomObject"):
        if one.text("sharingModel") != "Private" or one.text("externalSharingModel") != "Private":
            yield one.finding("is not Private, but holds patients")
        if not one.text("description"):
            yield one.finding("has no description")
    for name in project.objects:
        fields = [one for one in project.of("CustomField") if one.object_name == name]
        tracked = sum(one.text("trackHistory") == "true" for one in fields)
        found = project.find("CustomObject", name)
        if tracked > MOST_TRACKED:
            yield Finding(name, f"tracks the history of {tracked} fields; an object may track {MOST_TRACKED}")
        if tracked and found and found.text("enableHistory") != "true":
            yield Finding(name, "tracks the history of fields, but enableHistory is off")
    for one in project.of("CustomField"):
        yield from _words(one)
        yield from _type(one)
        if one.text("type") == "Picklist":
            yield from _values(one)


def _words(one: Component) -> Iterator[Finding]:
    for tag, most in _WORDS.items():
        if not one.text(tag):
            yield one.finding(f"has no {tag}")
        if len(one.text(tag)) > most:
            yield one.finding(f"has a {tag} of more than {most} characters")
    level = one.text("securityClassification")
    if not level:
        yield one.finding("has no securityClassification")
    if one.text("complianceGroup") and level not in _PRIVATE:
        yield one.finding(f"is {one.text('complianceGroup')}, but classified as {level}")


def _type(one: Component) -> Iterator[Finding]:
    kind, length = one.text("type"), int(one.text("length") or 0)
    formula, unique = one.xml.find("formula") is not None, one.text("unique") == "true"
    if kind in _NO_LENGTH and length:
        yield one.finding(f"is a {kind}, which takes no length")
    if kind == "Text" and not formula and not 1 <= length <= 255:
        yield one.finding("is a Text, which has a length of 1 to 255")
    if kind == "LongTextArea" and not (256 <= length <= 131072 and one.text("visibleLines")):
        yield one.finding("is a LongTextArea, which has a length of 256 to 131072 and visibleLines")
    if kind == "EncryptedText":
        if not 1 <= length <= 175:
            yield one.finding("is encrypted, so its length is 1 to 175")
        if unique or one.text("externalId") == "true" or one.text("defaultValue"):
            yield one.finding("is encrypted, so it can be neither unique nor an external id nor have a default")
        if one.text("trackHistory") == "true":
            yield one.finding("is encrypted; its history must not be kept")
        if not (one.text("maskType") and one.text("maskChar")):
            yield one.finding("is encrypted, but has no mask")
    if kind == "Checkbox" and not formula and one.text("defaultValue") not in ("true", "false"):
        yield one.finding("is a Checkbox without a default")
    if unique and kind not in _UNIQUE:
        yield one.finding(f"is a {kind}, which cannot be unique")
    if formula and ("true" in (one.text("required"), one.text("trackHistory")) or unique or one.text("defaultValue")):
        yield one.finding("is a formula, so it can be neither required nor unique nor tracked nor have a default")
    if kind == "Number" and not int(one.text("scale") or 0) <= int(one.text("precision") or 0) <= 18:
        yield one.finding("has more digits than 18, or more of them after the point than in all")


def _values(one: Component) -> Iterator[Finding]:
    values = one.texts("valueSet/valueSetDefinition/value/fullName")
    if not values:
        yield one.finding("offers no value")
    for value in sorted({value for value in values if values.count(value) > 1}):
        yield one.finding(f'offers "{value}" twice')
    if one.texts("valueSet/valueSetDefinition/value/default").count("true") > 1:
        yield one.finding("has two defaults")
