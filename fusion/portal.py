"""The seam to the portal: what any portal must promise, and the one way in which it says no.

Implementations raise `Refused`, `Outage`, `EntryError` (or what `about_to_save` raises) and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from fusion.codes import Code
from fusion.patient import Edit, Hit, Identity, Patient, Section, Shown
from listener.errors import EntryError, SyncError

AboutToSave = Callable[[], Awaitable[None]]
"""Called right before *every* click that saves. It commits our intent and checks that the lease still holds; when it
raises, the click must not happen and the exception must come out unchanged."""


class Refused(SyncError):
    """A person must act: the record, the chart or the match is such that going on could do harm.

    `detail` names a field's label or a class of message, never a patient's value. `evidence` is a file's path.
    """

    def __init__(self, code: Code, detail: str = "", *, evidence: str | None = None) -> None:
        super().__init__(f"{code.value}: {detail}" if detail else code.value, hint=code.fix)
        self.code = code
        self.detail = detail
        self.evidence = evidence


class Overtaken(EntryError):
    """Somebody else changed the chart between our reading and our save, so what was to be typed may be wrong by now.

    Nothing was written on what is known to be old; `saved`: something else of the visit was. Whoever gets this reads
    the chart anew. `labels`: fields that the form shows otherwise than the chart did.
    """

    def __init__(self, what: str, *, saved: bool = False, labels: tuple[str, ...] = ()) -> None:
        super().__init__(what, hint="the chart is read again")
        self.saved = saved
        self.labels = labels


class Portal(Protocol):
    """One portal user's way to the charts. Calls are made one at a time."""

    async def find(self, patient: Patient) -> Sequence[Hit]:
        """Every search result that could be this child: by name, by birth date and by phone, without doubles.

        Reads past paging. Not graded: `matching` decides. An empty answer means that the search really found nothing.
        """
        ...

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        """The chart with that id, from a fresh page load; None if the portal says that there is none.

        *wary*: sections that are known to have changed; whichever of them cannot be read is `unread` in what is shown.
        """
        ...

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        """The portal's id of a new chart that holds the values of section Patient; rows are added by `update`.

        After any error the chart may or may not exist. A duplicate warning is answered with Cancel and refused as
        `DUPLICATE_WARNING`, never with "create anyway".
        """
        ...

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        """The chart, read again from a fresh page load after the edits were saved one form at a time.

        Before the first keystroke the page must show `portal_id` and agree with `expect`, else `IDENTITY_MISMATCH`.
        Only the fields in the edits are typed; each is read back before Save, and each Save is awaited by its own
        evidence. After any error some edits may have been saved. `Overtaken` where the chart, or a form, no longer
        shows what the edits are based on (`Edit.seen`), or if somebody else is seen to have saved in between.
        """
        ...
