"""The stand-in portal drawn with widgets of other kits, and a pack that names their gestures."""

from typing import Any

from portal_people import PACK

from fusion.pages.pack import Pack
from fusion.patient import Field

BIRTHDATE: dict[str, Any] = {
    "gesture": "calendar",
    "clear": {"css": ".month-picker button", "text": "Clear"},
    "calendar": {
        "panel": {"css": ".month-picker"},
        "month": {"css": ".month"},
        "written": "%B %Y",
        "day": {"css": ".day:not(.other)"},
        "earlier": {"role": "button", "name": "Previous month"},
        "later": {"role": "button", "name": "Next month"},
        "year_earlier": {"role": "button", "name": "Previous year"},
        "year_later": {"role": "button", "name": "Next year"},
    },
}
GENDER: dict[str, Any] = {
    "gesture": "checks",
    "option": {"role": "checkbox"},
    "chosen": {"css": "[role=checkbox][aria-checked=true]"},
}
STATE: dict[str, Any] = {
    "gesture": "choose",
    "menu": {"role": "listbox", "name": "State Options"},
    "option": {"role": "option"},
    "nothing": {"text": "No options"},
    "chosen": {"css": "[data-field=State] .picked"},
    "clear": {"css": "[data-field=State] .clear"},
}
OTHER_KITS = {
    "Birthdate": "picker",
    "SSN": "slow",
    "Gender": "checks",
    "First Name": "forgetful",
    "State": "keys",
    "Phone": "slow",
}


def pack_with(**changed: dict[str, Any]) -> Pack:
    """The built-in pack with these keys of fields changed, checked like any pack."""
    data = PACK.model_dump(by_alias=True)
    for name, keys in changed.items():
        data["sections"][Field(name).section]["fields"][Field(name)] |= keys
    return Pack.model_validate(data)


OTHER_PACK = pack_with(birth_date=BIRTHDATE, gender=GENDER, state=STATE)
"""For a portal that is drawn as `OTHER_KITS` say."""
