"""What went wrong, sorted by what the worker does about it.

Every error carries `hint`, the operator's next move. Messages name ids and settings, never patients: they are logged.
"""

from __future__ import annotations


class SyncError(Exception):
    """Base of the three kinds; raise one of them, never this."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def whole(self) -> str:
        """What went wrong, and the next move, in one line."""
        return f"{self}: {self.hint}" if self.hint else str(self)


class SetupError(SyncError):
    """The installation is wrong: the process stops with exit code 78 (EX_CONFIG) and one sentence."""


class Outage(SyncError):
    """The other side is not there: the lane's gate shuts, the attempt is given back, the row waits."""

    lane: str | None = None
    """Whose outage it is, `portal` or `salesforce`, put in by who called; None: the database's."""

    def __init__(
        self, message: str, *, hint: str = "", retry_after: float | None = None, suspect: bool = False
    ) -> None:
        """`retry_after`: seconds that the other side asked us to wait, where it did.

        `suspect`: it may be for what was asked that there was no answer, and what was asked may have been done.
        """
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.suspect = suspect


class EntryError(SyncError):
    """This row could not be worked now: it is tried again later, and the attempt is charged."""


class LeaseLost(SyncError):
    """Another worker holds the row by now: write nothing, anywhere, and stop working on it."""


class Conflict(SyncError):
    """Somebody else was first, and a rule of the tables said so: nothing of the transaction was written. Look again."""
