"""Sample records: an org that has the package would take them, and nobody in them is real or sent anywhere."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date

from tests.sfdx.package import FieldFacts, Finding, Project

_TEXT = {"Text", "TextArea", "LongTextArea", "EncryptedText", "Phone", "Email", "Picklist", "Date", "DateTime"}


def findings(project: Project) -> Iterator[Finding]:
    """Every record of every file that `data/plan.json` names."""
    data = project.folder / "data"
    for step in json.loads((data / "plan.json").read_text()) if (data / "plan.json").exists() else []:
        fields = project.fields(step["sobject"])
        for name in step["files"]:
            if not (data / name).is_file():
                yield Finding("plan.json", f"names {name}, which does not exist")
                continue
            records = json.loads((data / name).read_text())["records"]
            known = [record["attributes"]["referenceId"] for record in records]
            if len(set(known)) != len(known):
                yield Finding(name, "uses a referenceId twice")
            for record in records:
                where = f"{name} {record['attributes']['referenceId']}"
                yield from (Finding(where, what) for what in _record(project, record, fields))


def _record(project: Project, record: Mapping[str, object], fields: Mapping[str, FieldFacts]) -> Iterator[str]:
    for name, facts in fields.items():
        if facts.required and not record.get(name):
            yield f"leaves out {name}, which is required"
    for name, value in record.items():
        facts = fields.get(name)
        if name == "attributes":
            continue
        if facts is None:
            yield f"fills {name}, which does not exist"
        elif facts.formula or not isinstance(value, str if facts.kind in _TEXT else bool | int | float):
            yield f"fills {name}, a {'formula' if facts.formula else facts.kind}, with {type(value).__name__}"
        elif facts.kind == "Picklist" and value not in facts.values:
            yield f'fills {name} with "{value}", which it does not offer'
        elif facts.length and len(str(value)) > facts.length:
            yield f"fills {name} with more than {facts.length} characters"
        elif facts.kind == "EncryptedText" and not re.fullmatch(r"9\d\d-\d\d-\d{4}", str(value)):
            yield f"fills {name} with a number that may be somebody's"
        elif facts.kind == "Date" and not _is_past(str(value)):
            yield f"fills {name} with something else than a day that is past"
    if record.get(project.mapping.ready_field) is not False:
        yield "is ready, so importing it would send it to the portal"


def _is_past(value: str) -> bool:
    try:
        return date.fromisoformat(value) < date(2026, 1, 1)
    except ValueError:
        return False
