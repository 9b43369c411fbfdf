"""The story that the demo tells: intakes as the front desk would make them, and troubles as a day brings them.

Each case says what a right end looks like; `verdict` holds that against the ledgers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fusion.standin.intakes import Intake, Record, chart_of, intakes
from fusion.standin.sandbox import Sandbox
from listener.standin.faults import Fault

TOLD = "/services/data/v66.0/composite/sobjects"
"""Where write-backs go; the only PATCH there is on this path."""


@dataclass(slots=True, kw_only=True)
class Case:
    """One child's part in the story.

    `creates`: charts that the robot makes for it. `saves`: forms that it saves after those that belong to the making,
    None if that is not what the case is about. `code`: why it must end with a person, if it must.
    """

    title: str
    intake: Intake
    record_id: str = ""
    creates: int = 1
    saves: int | None = None
    code: str | None = None
    act: Callable[[Case, Sandbox], None] | None = None
    acted: bool = False
    since: int = 0

    def change(self, box: Sandbox, **values: object) -> None:
        """The front desk saves these fields."""
        self.intake = self.intake.but(**values)
        box.org.control.update(self.record_id, values)


@dataclass(slots=True, kw_only=True)
class Story:
    """The cases in the order in which they begin. `second` ones act again once their first part is through."""

    cases: list[Case] = field(default_factory=list)

    @property
    def second(self) -> list[Case]:
        """Cases with a second part that was not played yet."""
        return [case for case in self.cases if case.act is not None and not case.acted]


def story(*, patients: int, seed: int) -> Story:
    """At least the twelve cases that the demo is about, and as many more new patients as were asked for."""
    child = intakes(seed)
    cases = [Case(title="a new patient", intake=next(child)) for _ in range(2)]
    cases += _twins(child)
    cases.append(Case(title="the portal has this chart already", intake=next(child), creates=0))
    cases.append(Case(title="one field is corrected later", intake=next(child), saves=1, act=_correct_the_phone))
    cases.append(
        Case(title="complete only later", intake=next(child).but(Ready_for_Fusion__c=False), act=_make_complete)
    )
    cases.append(
        Case(
            title="a site that the portal lacks",
            intake=next(child).but(Location__c="South Clinic"),
            creates=0,
            code="unknown_option",
        )
    )
    cases.append(Case(title="two edits in one second", intake=next(child), saves=1, act=_edit_twice))
    cases.append(Case(title="the portal locks its screen", intake=next(child), act=_lock_the_screen))
    cases.append(Case(title="Salesforce answers 503 for a while", intake=next(child), saves=1, act=_salesforce_is_out))
    cases.append(Case(title="a new patient by telehealth", intake=next(child).but(Location__c="Telehealth")))
    while len(cases) < patients:
        cases.append(Case(title="a new patient", intake=next(child)))
    return Story(cases=cases)


def begin(told: Story, box: Sandbox) -> None:
    """Staff puts in the chart that is there already; then the front desk saves all intakes, each in its own save."""
    for case in told.cases:
        if case.title == "the portal has this chart already":
            box.portal.control.put_patient(_chart_by_hand(case.intake.record))
    for case in told.cases:
        case.record_id = box.org.control.create(case.intake.record)


def _twins(child: Iterator[Intake]) -> list[Case]:
    one = next(child)
    other = one.but(First_Name__c="Juniper", Preferred_Name__c=None, SSN__c="987-65-4321")
    return [Case(title="twins: the first", intake=one), Case(title="twins: the second", intake=other)]


def _chart_by_hand(record: Record) -> dict[str, object]:
    """The child as staff typed it from a phone call: no SSN, no insurance, one contact."""
    whole = chart_of(record, "")
    patient = {label: whole["Patient"][label] for label in ("First Name", "Last Name", "Birthdate", "Gender")}  # type: ignore[index]
    contact = {label: whole["Contacts"][0][label] for label in ("Name", "Relationship", "Phone")}  # type: ignore[index]
    return {"Patient": patient, "Contacts": [contact]}


def _correct_the_phone(case: Case, box: Sandbox) -> None:
    case.change(box, Guardian_Phone__c="(919) 555-0199")


def _make_complete(case: Case, box: Sandbox) -> None:
    case.change(box, Ready_for_Fusion__c=True)


def _edit_twice(case: Case, box: Sandbox) -> None:
    case.change(box, Guardian_Street__c="1 New Street")
    case.change(box, Guardian_Postal_Code__c="27705")


def _lock_the_screen(case: Case, box: Sandbox) -> None:
    box.portal.control.lock(after=3)
    case.change(box, Preferred_Name__c="Bean")


def _salesforce_is_out(case: Case, box: Sandbox) -> None:
    body = "<html><body>Service Unavailable</body></html>"
    box.org.faults.add(Fault(path=TOLD, method="PATCH", contains=case.record_id, times=2, status=503, body=body))
    case.change(box, Guardian_Email__c="new.address@example.com")
