"""What no schema can say about a package: whether what it names exists, fits, and is what the sync needs."""

from collections.abc import Iterator

from tests.sfdx.package import Finding, Project
from tests.sfdx.rules import (
    access,
    channel,
    fields,
    flows,
    formulas,
    lists,
    mapping,
    pages,
    reports,
    samples,
    secrets,
    structure,
)

RULES = (structure, fields, formulas, access, channel, lists, pages, flows, reports, secrets, mapping, samples)


def findings(project: Project) -> Iterator[Finding]:
    """All that is wrong with a project; nothing where an admin may deploy it."""
    for rule in RULES:
        yield from rule.findings(project)
