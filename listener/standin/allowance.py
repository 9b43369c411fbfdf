"""What the org still has to give today: API calls, delivered events, connected stream clients.

"API Request Limits and Allocations" and "Common Platform Event Allocations"; the defaults are those of a Developer
Edition except for the calls, which a demo must not run out of. All numbers may be lowered while the org runs.
"""

from dataclasses import dataclass

from listener.standin.problems import ApiError


@dataclass(slots=True, kw_only=True)
class Allowance:
    """Counters and their ceilings for one day."""

    calls_max: int = 100_000
    calls_used: int = 0
    events_max: int = 50_000
    events_used: int = 0
    clients_max: int = 20

    def spend_call(self) -> None:
        """Counts one API call; REQUEST_LIMIT_EXCEEDED when the day's calls are used up."""
        if self.calls_used >= self.calls_max:
            raise ApiError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        self.calls_used += 1

    @property
    def header(self) -> str:
        """The value of `Sforce-Limit-Info` ("Limit Info Header")."""
        return f"api-usage={self.calls_used}/{self.calls_max}"

    def body(self) -> dict[str, dict[str, int]]:
        """The answer of the limits resource, cut to what this org counts ("REST API: Limits")."""
        return {
            "DailyApiRequests": {"Max": self.calls_max, "Remaining": max(0, self.calls_max - self.calls_used)},
            "DailyDeliveredPlatformEvents": {
                "Max": self.events_max,
                "Remaining": max(0, self.events_max - self.events_used),
            },
            "DailyStreamingApiEvents": {
                "Max": self.events_max,
                "Remaining": max(0, self.events_max - self.events_used),
            },
        }
