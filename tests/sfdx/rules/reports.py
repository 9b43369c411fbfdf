"""Report types, reports and dashboards: columns exist in the report type, and are not grouped by as well."""

from collections.abc import Iterator

from tests.sfdx.package import Component, Finding, Project
from tests.sfdx.rules.lists import offers

_OWN_NAMES = {"Owner": "OwnerId"}  # a lookup is a column by its relationship's name


def findings(project: Project) -> Iterator[Finding]:
    """Of every report type, report and dashboard: names, groupings and values."""
    for one in project.of("ReportType"):
        fields = project.fields(one.text("baseObject"))
        if not fields:
            yield one.finding(f"is about {one.text('baseObject')}, which does not exist")
        for name in one.texts("sections/columns/field"):
            facts = fields.get(_OWN_NAMES.get(name, name))
            if facts is None:
                yield one.finding(f"has the column {name}, which does not exist")
            elif facts.kind == "EncryptedText":
                yield one.finding(f"has the column {name}, but encrypted text cannot be reported on")
    for one in project.of("Report"):
        yield from _report(project, one)
    for one in project.of("Dashboard"):
        yield from _dashboard(project, one)


def _report(project: Project, one: Component) -> Iterator[Finding]:
    kind = project.find("ReportType", one.text("reportType").removesuffix("__c"))
    if kind is None or not one.text("reportType").endswith("__c"):
        yield one.finding(f"is of the type {one.text('reportType')}, which does not exist")
        return
    base = kind.text("baseObject")
    columns = {f"{base}${name}" for name in kind.texts("sections/columns/field")}
    shown, grouped = (
        one.texts("columns/field"),
        [*one.texts("groupingsDown/field"), *one.texts("groupingsAcross/field")],
    )
    filtered = [(part.findtext("column") or "", part.findtext("value") or "") for part in one.xml.iter("criteriaItems")]
    for name in [*shown, *grouped, *(name for name, _ in filtered), *one.texts("timeFrameFilter/dateColumn")]:
        if name not in columns:
            yield one.finding(f"uses {name}, which its report type does not have")
    for name in sorted(set(shown) & set(grouped)):
        yield one.finding(f"groups by {name} and has it as a column, too")
    for name, value in filtered:
        if not offers(project.fields(base).get(name.partition("$")[2]), value):
            yield one.finding(f'filters by {name} = "{value}", which it does not offer')


def _dashboard(project: Project, one: Component) -> Iterator[Finding]:
    for part in one.xml.iter("dashboardComponent"):
        report = project.find("Report", part.findtext("report") or "")
        if report is None:
            yield one.finding(f"shows the report {part.findtext('report')}, which does not exist")
            continue
        for column in part.findall("groupingColumn"):
            if column.text not in report.texts("groupingsDown/field"):
                yield one.finding(f"groups {report.name} by {column.text}, which the report does not")
    if one.text("dashboardType") != "LoggedInUser":
        yield one.finding("shows everyone what one user may see")
