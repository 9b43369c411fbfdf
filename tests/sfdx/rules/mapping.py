"""The mapping and the package say the same: every field there is, of a fitting kind, with the same choices."""

from collections.abc import Iterator

from fusion.codes import Code
from fusion.mapping import Rule
from fusion.mapping_file import Transform
from fusion.writeback import Status
from tests.sfdx.package import FieldFacts, Finding, Project

_KINDS = {
    Transform.DATE: {"Date"},
    Transform.SSN: {"EncryptedText"},
    Transform.PHONE: {"Phone", "Text"},
    Transform.EMAIL: {"Email"},
    Transform.OPTION: {"Picklist"},
    Transform.MULTILINE: {"LongTextArea", "TextArea"},
}
_OWN_KINDS = {
    "portal_id": "Text",
    "status": "Picklist",
    "error_code": "Picklist",
    "error": "TextArea",
    "synced_at": "DateTime",
    "last_attempt_at": "DateTime",
    "attempts": "Number",
    "resync_requested": "Checkbox",
}


def findings(project: Project) -> Iterator[Finding]:
    """Fields that are mapped but missing or of another kind, and choices that only one side knows."""
    mapping = project.mapping
    fields = project.fields(mapping.object_name)

    def wrong(what: str) -> Finding:
        return Finding(project.mapping_file.name, what)

    if not fields:
        yield wrong(f"is about {mapping.object_name}, which the package neither makes nor adds to")
        return
    for rule in mapping.rules.values():
        for name in rule.sources:
            if facts := fields.get(name):
                yield from (wrong(what) for what in _unfit(rule, facts))
            else:
                yield wrong(f"reads {name}, which does not exist")
    gate = fields.get(mapping.ready_field)
    if gate is None or gate.kind != "Checkbox":
        yield wrong(f"waits for {mapping.ready_field}, which is no checkbox of the package")
    for key, kind in _OWN_KINDS.items():
        name = getattr(mapping.own, key)
        if name not in fields:
            yield wrong(f"writes {name}, which does not exist")
        elif fields[name].kind != kind:
            yield wrong(f"writes {name}, which is a {fields[name].kind} and no {kind}")
    yield from (wrong(what) for what in _unsaid(project, fields))


def _unfit(rule: Rule, facts: FieldFacts) -> Iterator[str]:
    kinds = _KINDS.get(rule.transform)
    if kinds and facts.kind not in kinds:
        yield f"reads {facts.name} by {rule.transform}, but it is a {facts.kind}"
    if rule.transform is Transform.OPTION and facts.kind == "Picklist":
        for value in sorted(set(facts.values) - rule.options.keys()):
            yield f'has no option for "{value}" of {facts.name}'
        for value in sorted(rule.options.keys() - set(facts.values)):
            yield f'has an option for "{value}", which {facts.name} does not offer'


def _unsaid(project: Project, fields: dict[str, FieldFacts]) -> Iterator[str]:
    own = project.mapping.own
    for name, said in ((own.status, {str(one) for one in Status}), (own.error_code, {str(one) for one in Code})):
        for value in sorted(said - set(fields[name].values if name in fields else ())):
            yield f'writes "{value}", which {name} does not offer'
    chart = project.find("CustomField", f"{project.mapping.object_name}.{own.portal_id}")
    if chart and {chart.text("unique"), chart.text("externalId")} != {"true"}:
        yield f"relies on {own.portal_id} to be unique and an external id"
    code = project.find("CustomField", f"{project.mapping.object_name}.{own.error_code}")
    if code and code.text("valueSet/restricted") == "true":
        yield f"writes {own.error_code}: restricted, it would refuse the codes of a newer fusion-sync"
