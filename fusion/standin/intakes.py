"""Made-up children for the demo and the tests: what the front desk types, and what a right chart then shows.

Both sides are written out here by hand-made rules of their own, so that whoever compares a chart with them does not ask
the code under test. Nobody is real: SSNs begin with 9 (never issued), phones are 555-01xx, mails @example.com.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

Record = Mapping[str, object]

_FIRST = (
    "Ada Ben Chloe Dev Elena Finn Grace Hugo Ines Jonah Kira Liam Maya Noor Oscar Priya Quinn Rosa Sam Tessa"
).split()
_LAST = ("Alder Birch Cedar Dogwood Elm Fir Gum Hazel Ironwood Juniper Kapok Larch Maple Nutmeg Oak Pine").split()
_MIDDLE = ["", "June", "Lee", "Rae", "Tom", ""]
_GUARDIANS = ["Pat", "Robin", "Alex", "Jordan", "Casey", "Morgan", "Taylor", "Jamie"]
_STREETS = ["12 Willow Lane", "404 Mill Road", "7 Station Street", "88 Orchard Avenue", "3 Harbor Court"]
_CITIES = [("Durham", "NC", "27701"), ("Raleigh", "NC", "27601"), ("Cary", "NC", "27511"), ("Danville", "VA", "24540")]
_PAYERS = ["Blue Ridge Health", "Carolina Medicaid", "TriState Employers", "Piedmont Community Plan"]
_CONCERNS = [
    "Late talker; about twenty words at two years.",
    "Toe walking, trips often on stairs.",
    "Avoids textures; three accepted foods.",
    "Speech is hard to understand outside the family.",
]
# Salesforce's value -> the portal's option, as an admin would have agreed with the clinic.
_GENDER = {"Female": "Female", "Male": "Male", "Nonbinary": "Non-binary", "Unknown": "Unknown"}
_LOCATION = {"Main Clinic": "Main", "North Clinic": "North", "Telehealth": "Telehealth"}
_RELATION = {"Mother": "Mother", "Father": "Father", "Legal Guardian": "Guardian", "Foster Parent": "Foster Parent"}
_INSURANCE = {"Commercial": "Commercial", "Medicaid": "Medicaid", "TRICARE": "Tricare", "Self Pay": "Self-Pay"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One child. `key` names the intake in the story; it is no part of any record."""

    key: str
    record: Record = field(repr=False)

    def but(self, **changed: object) -> Intake:
        """The same intake with these Salesforce fields changed."""
        return replace(self, record={**self.record, **changed})

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.record['First_Name__c']} {self.record['Last_Name__c']}"


def intakes(seed: int) -> Iterator[Intake]:
    """Children without end, each with a name and a birth date of its own; the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - made-up people, no secret
    number = 0
    while True:
        number += 1
        first, last = _FIRST[number % len(_FIRST)], _LAST[(number * 7 + number // len(_FIRST)) % len(_LAST)]
        born = date(2016, 1, 1) + timedelta(days=rng.randrange(2900))
        city, state, postal = rng.choice(_CITIES)
        guardian = rng.choice(_GUARDIANS)
        yield Intake(
            key=f"child {number}",
            record={
                "First_Name__c": first,
                "Middle_Name__c": rng.choice(_MIDDLE) or None,
                "Last_Name__c": last,
                "Preferred_Name__c": first[:3] if rng.random() < 0.3 else None,
                "Date_of_Birth__c": born.isoformat(),
                "SSN__c": f"9{rng.randrange(10, 99)}-{rng.randrange(10, 69)}-{rng.randrange(1000, 9999)}",
                "Gender__c": rng.choice(list(_GENDER)),
                "Location__c": rng.choice(list(_LOCATION)),
                "Guardian_First_Name__c": guardian,
                "Guardian_Last_Name__c": last,
                "Guardian_Relationship__c": rng.choice(list(_RELATION)),
                "Guardian_Street__c": rng.choice(_STREETS),
                "Guardian_City__c": city,
                "Guardian_State__c": state,
                "Guardian_Postal_Code__c": postal,
                "Guardian_Phone__c": f"({rng.choice([919, 984, 336])}) 555-01{rng.randrange(100):02}",
                "Guardian_Email__c": f"{guardian.lower()}.{last.lower()}{number}@example.com",
                "Insurance_Type__c": rng.choice(list(_INSURANCE)),
                "Insurance_Payer__c": rng.choice(_PAYERS),
                "Insurance_Id_Number__c": f"M{rng.randrange(10**7, 10**8)}",
                "Presenting_Concerns__c": rng.choice(_CONCERNS),
                "Case_Notes__c": f"Referred by the pediatrician.\nFirst visit wanted in {rng.choice(['May', 'June'])}.",
                "Ready_for_Fusion__c": True,
            },
        )


def chart_of(record: Record, record_id: str) -> dict[str, object]:
    """What a right chart shows for this record, by the portal's labels; rows without their ids."""

    def says(name: str) -> str:
        return str(record.get(name) or "")

    born = says("Date_of_Birth__c")
    contact = {
        "Name": f"{says('Guardian_First_Name__c')} {says('Guardian_Last_Name__c')}".strip(),
        "Relationship": _RELATION.get(says("Guardian_Relationship__c"), ""),
        "Street": says("Guardian_Street__c"),
        "City": says("Guardian_City__c"),
        "State": says("Guardian_State__c"),
        "Zip": says("Guardian_Postal_Code__c"),
        "Phone": says("Guardian_Phone__c"),
        "Email": says("Guardian_Email__c"),
    }
    payer = {
        "Insurance Type": _INSURANCE.get(says("Insurance_Type__c"), ""),
        "Payer": says("Insurance_Payer__c"),
        "ID Number": says("Insurance_Id_Number__c"),
    }
    note = says("Case_Notes__c")
    concerns = says("Presenting_Concerns__c")
    return {
        "Patient": {
            "First Name": says("First_Name__c"),
            "Middle Name": says("Middle_Name__c"),
            "Last Name": says("Last_Name__c"),
            "Nickname": says("Preferred_Name__c"),
            "Birthdate": f"{born[5:7]}/{born[8:10]}/{born[:4]}" if born else "",
            "SSN": says("SSN__c"),
            "Gender": _GENDER.get(says("Gender__c"), ""),
            "Location": _LOCATION.get(says("Location__c"), ""),
        },
        "Contacts": [contact] if contact["Name"] else [],
        "Cases": [{"Case": "Evaluation", "Presenting Concerns": concerns}] if concerns else [],
        "Payers": [payer] if payer["Payer"] else [],
        "Notes": [{"Note": f"{note}\n[Salesforce intake {record_id}]"}] if note else [],
    }
