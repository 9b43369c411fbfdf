"""Why a patient was not synced: a stable code, one plain sentence for people, and who fixes it how.

The codes are a promise to Salesforce reports (`Fusion_Sync_Error_Code__c`) and to ops queries: add, never rename.
"""

from __future__ import annotations

from enum import StrEnum

from listener.entry import ParkedReason


class Code(StrEnum):
    """A reason why a person must act. `sentence`, `fix` and `reason` come with each."""

    MISSING_FIELD = "missing_field"
    REJECTED_VALUE = "rejected_value"
    UNKNOWN_OPTION = "unknown_option"
    MASKED_SSN = "masked_ssn"
    AMBIGUOUS_MATCH = "ambiguous_match"
    DUPLICATE_WARNING = "duplicate_warning"
    LINKED_ELSEWHERE = "linked_elsewhere"
    DIFFERENT_PORTAL_ID = "different_portal_id"
    IDENTITY_MISMATCH = "identity_mismatch"
    CHART_NOT_FOUND = "chart_not_found"
    IN_DOUBT = "in_doubt"
    DELETED_IN_SALESFORCE = "deleted_in_salesforce"
    MERGED_IN_SALESFORCE = "merged_in_salesforce"
    PORTAL_CHANGED = "portal_changed"
    UNEXPECTED_PAGE = "unexpected_page"
    NOT_SAVED = "not_saved"
    GAVE_UP = "gave_up"
    NOT_TOLD = "not_told"

    def sentence(self, detail: str = "") -> str:
        """What happened and who acts how, for people, at most 255 characters.

        `detail` is a field's label, a kind of value, or ids; never a patient's value.
        """
        what = _TEXTS[self][0].format(detail=detail or "Something")
        return f"{what} {self.fix}" if len(what) + len(self.fix) < 255 else f"{what[: 253 - len(self.fix)]}… {self.fix}"

    @property
    def fix(self) -> str:
        """Who acts, and how."""
        return _TEXTS[self][1]

    @property
    def reason(self) -> ParkedReason:
        """What it means for later changes of the same record."""
        return _TEXTS[self][2]


_TEXTS: dict[Code, tuple[str, str, ParkedReason]] = {
    Code.MISSING_FIELD: ("{detail} is empty.", "Intake: fill it in; the next save tries again.", ParkedReason.BAD_DATA),
    Code.REJECTED_VALUE: (
        "This could not be used: {detail}.",
        "Intake: correct it; the next save tries again.",
        ParkedReason.BAD_DATA,
    ),
    Code.UNKNOWN_OPTION: (
        "{detail} has a value that the portal's list does not offer.",
        "Intake: choose another, or admin: add it to the mapping.",
        ParkedReason.BAD_DATA,
    ),
    Code.MASKED_SSN: (
        "The SSN can only be read masked.",
        "Admin: give the integration user View Encrypted Data.",
        ParkedReason.BAD_DATA,
    ),
    Code.AMBIGUOUS_MATCH: (
        "{detail} in the portal may be this patient, or not.",
        "Ops: compare the two and say which chart it is, or that it is new.",
        ParkedReason.AMBIGUOUS,
    ),
    Code.DUPLICATE_WARNING: (
        "The portal warns that this patient may already exist.",
        "Ops: compare with the charts in the portal and say which it is.",
        ParkedReason.AMBIGUOUS,
    ),
    Code.LINKED_ELSEWHERE: (
        "{detail} already belongs to another Salesforce record.",
        "Intake: these may be two records of one child; merge them or correct one.",
        ParkedReason.AMBIGUOUS,
    ),
    Code.DIFFERENT_PORTAL_ID: (
        "Salesforce holds another portal id than the one we linked.",
        "Ops: find the right chart, then relink.",
        ParkedReason.IDENTITY,
    ),
    Code.IDENTITY_MISMATCH: (
        "The linked chart shows another name or birth date.",
        "Ops: check in the portal whose chart it is.",
        ParkedReason.IDENTITY,
    ),
    Code.CHART_NOT_FOUND: (
        "The linked chart is not in the portal.",
        "Ops: find the chart, then relink.",
        ParkedReason.IDENTITY,
    ),
    Code.IN_DOUBT: (
        "A save was cut off and the portal does not show whether it went through.",
        "Ops: look for the chart in the portal and say what is there.",
        ParkedReason.IN_DOUBT,
    ),
    Code.DELETED_IN_SALESFORCE: (
        "The record was deleted in Salesforce; its chart was left alone.",
        "Ops: decide what to do with the chart in the portal.",
        ParkedReason.DELETED,
    ),
    Code.MERGED_IN_SALESFORCE: (
        "The record was merged into another in Salesforce: {detail}.",
        "Ops: decide in the portal which chart goes on, and what becomes of the other.",
        ParkedReason.DELETED,
    ),
    Code.PORTAL_CHANGED: (
        "The portal's page is not as we know it: {detail}.",
        "Developer: run `fusion-sync doctor --portal` and mend the pack.",
        ParkedReason.EXHAUSTED,
    ),
    Code.UNEXPECTED_PAGE: (
        "The portal showed something that we do not know: {detail}.",
        "Ops: open the portal as the robot's user and see what it asks.",
        ParkedReason.EXHAUSTED,
    ),
    Code.NOT_SAVED: (
        "The portal did not keep what was typed: {detail}.",
        "Ops: open the chart and see whether it can be saved by hand.",
        ParkedReason.EXHAUSTED,
    ),
    Code.GAVE_UP: (
        "It failed too often and needs a look.",
        "Ops: see the attempts of this entry, then retry.",
        ParkedReason.EXHAUSTED,
    ),
    Code.NOT_TOLD: (
        "The chart is right, but Salesforce would not take the answer: {detail}.",
        "Admin: check access and validation rules, then ask for a resync.",
        ParkedReason.NOT_TOLD,
    ),
}
