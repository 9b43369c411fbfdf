"""What a person can do about a row that waits for one, as commands to be typed."""

from __future__ import annotations

from listener.change import RecordId
from listener.entry import BLOCKING, ParkedReason

_ANSWERS = {
    ParkedReason.BAD_DATA: "correct the record in Salesforce: its next save is a new try",
    ParkedReason.EXHAUSTED: "when what failed is mended: `fusion-sync retry {entry} --reason …`",
    ParkedReason.NOT_TOLD: "when Salesforce would take it: `fusion-sync retry {entry} --reason …`",
    ParkedReason.DELETED: "when the portal is as it should be: `fusion-sync resolve {entry} --done --reason …`",
    ParkedReason.AMBIGUOUS: "`fusion-sync resolve {entry} --chart N --reason …`, or `--new` if it is none of them",
    ParkedReason.IDENTITY: "when the record and the chart name one child: `fusion-sync retry {entry} --reason …`; "
    "if another chart is the patient's: `fusion-sync relink {entry} --chart N --reason …`",
    ParkedReason.IN_DOUBT: "`fusion-sync resolve {entry} --chart N --reason …`, or `--new` if there is none",
    ParkedReason.HELD: "`fusion-sync release {entry} --reason …`",
}


def look(record_id: RecordId, reason: ParkedReason) -> str | None:
    """The command that shows what is asked; None where nothing about a chart is."""
    asks = reason in BLOCKING and reason is not ParkedReason.HELD
    return f"`fusion-sync preview {record_id}` shows the record beside the charts" if asks else None


def answer(entry: int, reason: ParkedReason) -> str:
    """The command that answers it."""
    return _ANSWERS[reason].format(entry=entry)
