"""What tests, the demo and a curious person do to the portal from outside, under /__control/ and as plain methods.

No log-in: the server listens on loopback only. Nothing here counts as a request of a user.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from aiohttp import web

from fusion.standin import staff
from fusion.standin.charts import Chart, NoSuchRow
from fusion.standin.clinic import Clinic, Invalid
from fusion.standin.doorway import Doorway
from fusion.standin.faults import BadRule, Faults, fault_from
from fusion.standin.ledger import Caller
from fusion.standin.look import Look
from fusion.standin.session import Sessions
from fusion.standin.wire import Wire

Body = Mapping[str, object]

_SWITCHES: dict[str, object] = {
    "codes": "off",
    "terms": False,
    "captcha": False,
    "blocked": False,
    "one_session": False,
    "window_bound": False,
    "maintenance": 0,
    "maintenance_text": 0.0,
}


class Control:
    """The controls of one portal."""

    def __init__(
        self,
        *,
        clinic: Clinic,
        sessions: Sessions,
        doorway: Doorway,
        faults: Faults,
        wire: Wire,
        clock: Callable[[], datetime],
    ) -> None:
        self._clinic = clinic
        self._sessions = sessions
        self._doorway = doorway
        self._faults = faults
        self._wire = wire
        self._clock = clock
        self._since = clock()

    def patients(self) -> list[dict[str, object]]:
        """All charts, keyed by the portal's labels."""
        return [chart.as_json() for chart in self._clinic.charts]

    def put_patient(self, wanted: Body, *, unchecked: bool = False) -> Chart:
        """Staff puts in or edits a chart; see `staff.put`."""
        return staff.put(self._clinic, wanted, caller=Caller(user="staff"), unchecked=unchecked)

    def clear_patients(self) -> None:
        """A clinic without a chart, as on its first day; sessions, ledger and ids go on."""
        self._clinic.charts.clear()
        self._clinic.index.clear()

    def ledger(self, since: int = 0) -> list[dict[str, object]]:
        """Ledger lines after number *since*."""
        return [asdict(line) for line in self._clinic.ledger.lines(since=since)]

    def lock(self, after: int | None = None) -> int:
        """Lock the screens now, or right before the *after*-th next request of a session; how many were locked now."""
        locked = self._sessions.lock(after=after)
        if after is None:
            self._clinic.ledger.append("lock", Caller(user="control"), cause="on demand", sessions=locked)
        return locked

    def end_sessions(self) -> int:
        """End all sessions, as a portal's restart does; how many there were."""
        ended = self._sessions.end()
        self._clinic.ledger.append("end", Caller(user="control"), sessions=ended)
        return ended

    def fault(self, **rule: object) -> None:
        """Put a fault in force; see `faults.Fault` for its keys. Raises BadRule."""
        self._faults.add(fault_from(rule))

    def clear_faults(self) -> None:
        """Drop all faults."""
        self._faults.clear()

    def latency(self, ms: float) -> None:
        """Delay every request, of pages too, by so many milliseconds."""
        self._wire.latency = timedelta(milliseconds=ms)

    def search_lag(self, seconds: float) -> None:
        """Let changes from now on show up in the search only so many seconds later."""
        self._clinic.index.lag = timedelta(seconds=seconds)

    def idle_lock(self, seconds: float) -> None:
        """Lock sessions after so many idle seconds."""
        self._sessions.idle = timedelta(seconds=seconds)

    def password(self, email: str, password: str, *, keep_sessions: bool = False) -> int:
        """Reset a password, open the account if locked, and end its sessions; how many. LookupError if unknown."""
        ended = self._sessions.set_password(email, password, keep_sessions=keep_sessions)
        self._clinic.ledger.append("password", Caller(user="control"), account=email, sessions=ended)
        return ended

    def door(self, **switches: object) -> dict[str, object]:
        """Set what a log-in meets: `codes` (off, email, totp), `terms`, `captcha`, `blocked`, `one_session`,
        `window_bound` (true or false), `maintenance` (a status, 0: none), `maintenance_text` (seconds until the text of
        that page follows its head). Raises BadRule; gives all as they are now.
        """
        for name, value in switches.items():
            if name not in _SWITCHES or type(value) is not type(_SWITCHES[name]):
                raise BadRule(f"{name}: no such switch, or not of its type")
            if name == "codes" and value not in ("off", "email", "totp"):
                raise BadRule("codes: off, email or totp")
            setattr(self._doorway, name, value)
        if switches:
            self._clinic.ledger.append("door", Caller(user="control"), switches=switches)
        return {name: getattr(self._doorway, name) for name in _SWITCHES}

    def expire_password(self, email: str) -> None:
        """Let the account's 90 days be over."""
        self._doorway.expired.add(email.casefold())
        self._clinic.ledger.append("expire", Caller(user="control"), account=email)

    def forget_devices(self) -> None:
        """Ask every browser for a code again."""
        self._doorway.forget_devices()

    def code(self, email: str) -> str | None:
        """The code that the user would read in the mailbox or the app just now."""
        return self._doorway.code_for(email)

    def labels(self, labels: Mapping[str, str]) -> None:
        """Show fields under other labels (name -> label) from the next page load on; {} brings the usual ones back."""
        self.look(labels=labels)

    def hide(self, *names: str) -> None:
        """Leave fields out of charts and forms from the next page load on; without any all are back."""
        self.look(hidden=names)

    def look(self, **changed: object) -> None:
        """Draw pages otherwise from the next page load on; see `look.Look` for what can be changed. Raises BadRule."""
        self._wire.look = self._wire.look.but(**changed)

    def refuse_stale(self, refuse: bool) -> None:
        """Whether a save is refused if the chart was saved since the page read it; usually the last one wins."""
        self._wire.refuse_stale = refuse

    def saved_filter(self, location: str) -> None:
        """Let the search show only those who are seen there, as somebody has left it; "" takes the filter away."""
        self._wire.saved_filter = location

    def usual_look(self) -> None:
        """Draw pages as they are usually drawn."""
        self._wire.look = Look()

    def stats(self) -> dict[str, object]:
        """Requests by kind, answers by status, ledger lines by kind, and how much of everything there is."""
        return {
            "requests": dict(self._wire.requests),
            "api_requests": sum(n for kind, n in self._wire.requests.items() if kind != "page"),
            "statuses": {str(status): n for status, n in self._wire.statuses.items()},
            "ledger": self._clinic.ledger.counts(),
            "patients": len(self._clinic.charts),
            "sessions": len(self._sessions),
            "door": self.door(),
            "faults": [rule.as_json() for rule in self._faults.rules()],
            "since": self._since.isoformat(),
        }

    def routes(self) -> list[web.RouteDef]:
        """The same over HTTP."""
        return [
            web.get("/__control/patients", _answering(self._get_patients)),
            web.post("/__control/patients", _answering(self._post_patients)),
            web.delete("/__control/patients", _answering(self._delete_patients)),
            web.get("/__control/ledger", _answering(self._get_ledger)),
            web.post("/__control/lock", _answering(self._post_lock)),
            web.post("/__control/end-sessions", _answering(self._post_end_sessions)),
            web.post("/__control/faults", _answering(self._post_faults)),
            web.delete("/__control/faults", _answering(self._delete_faults)),
            web.post("/__control/latency", _answering(self._post_latency)),
            web.post("/__control/search-lag", _answering(self._post_search_lag)),
            web.post("/__control/idle-lock", _answering(self._post_idle_lock)),
            web.post("/__control/password", _answering(self._post_password)),
            web.post("/__control/door", _answering(self._post_door)),
            web.post("/__control/expire-password", _answering(self._post_expire_password)),
            web.get("/__control/code", _answering(self._get_code)),
            web.post("/__control/labels", _answering(self._post_labels)),
            web.post("/__control/hidden", _answering(self._post_hidden)),
            web.post("/__control/refuse-stale", _answering(self._post_refuse_stale)),
            web.post("/__control/saved-filter", _answering(self._post_saved_filter)),
            web.post("/__control/look", _answering(self._post_look)),
            web.get("/__control/stats", _answering(self._get_stats)),
        ]

    async def _get_patients(self, _: web.Request) -> Body:
        return {"patients": self.patients()}

    async def _post_patients(self, request: web.Request) -> Body:
        body = dict(await _body(request))
        unchecked = body.pop("unchecked", False) is True
        return self.put_patient(body, unchecked=unchecked).as_json()

    async def _delete_patients(self, _: web.Request) -> Body:
        self.clear_patients()
        return {"patients": []}

    async def _get_ledger(self, request: web.Request) -> Body:
        return {"lines": self.ledger(int(request.query.get("since", "0")))}

    async def _post_lock(self, request: web.Request) -> Body:
        body = await _body(request)
        return {"locked": self.lock(int(_number(body, "after")) if "after" in body else None)}

    async def _post_end_sessions(self, _: web.Request) -> Body:
        return {"ended": self.end_sessions()}

    async def _post_faults(self, request: web.Request) -> Body:
        body = await _body(request)
        rules = body.get("rules", [body])
        if not isinstance(rules, list):
            raise BadRule("rules: a list")
        faults = [fault_from(rule) for rule in rules]
        for fault in faults:
            self._faults.add(fault)
        return {"faults": [rule.as_json() for rule in self._faults.rules()]}

    async def _delete_faults(self, _: web.Request) -> Body:
        self.clear_faults()
        return {"faults": []}

    async def _post_latency(self, request: web.Request) -> Body:
        self.latency(_number(await _body(request), "ms"))
        return {}

    async def _post_search_lag(self, request: web.Request) -> Body:
        self.search_lag(_number(await _body(request), "seconds"))
        return {}

    async def _post_idle_lock(self, request: web.Request) -> Body:
        self.idle_lock(_number(await _body(request), "seconds"))
        return {}

    async def _post_password(self, request: web.Request) -> Body:
        body = await _body(request)
        keep = body.get("keep_sessions") is True
        return {"ended": self.password(_text(body, "email"), _text(body, "password"), keep_sessions=keep)}

    async def _post_door(self, request: web.Request) -> Body:
        return self.door(**await _body(request))

    async def _post_expire_password(self, request: web.Request) -> Body:
        self.expire_password(_text(await _body(request), "email"))
        return {}

    async def _get_code(self, request: web.Request) -> Body:
        return {"code": self.code(request.query.get("email", ""))}

    async def _post_labels(self, request: web.Request) -> Body:
        body = await _body(request)
        self.labels({name: _text(body, name) for name in body})
        return {}

    async def _post_hidden(self, request: web.Request) -> Body:
        names = (await _body(request)).get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadRule("names: a list of texts")
        self.hide(*names)
        return {}

    async def _post_refuse_stale(self, request: web.Request) -> Body:
        self.refuse_stale((await _body(request)).get("refuse") is True)
        return {}

    async def _post_saved_filter(self, request: web.Request) -> Body:
        location = (await _body(request)).get("location", "")
        self.saved_filter(location if isinstance(location, str) else "")
        return {}

    async def _post_look(self, request: web.Request) -> Body:
        body = await _body(request)
        self._wire.look = (self._wire.look if body else Look()).but(**body)
        return {}

    async def _get_stats(self, _: web.Request) -> Body:
        return self.stats()


def _answering(act: Callable[[web.Request], Awaitable[Body]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler of *act*: what it returns as JSON, what it can't read as 400 with the reason."""

    async def handler(request: web.Request) -> web.Response:
        try:
            return web.json_response(await act(request))
        except Invalid as refused:
            return web.json_response({"error": str(refused), "problems": refused.problems}, status=400)
        except (ValueError, NoSuchRow, LookupError) as bad:
            return web.json_response({"error": str(bad)}, status=400)

    return handler


async def _body(request: web.Request) -> Body:
    if not request.can_read_body:
        return {}
    body = await request.json()
    if not isinstance(body, dict):
        raise BadRule("an object was expected")
    return body


def _number(body: Body, key: str) -> float:
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise BadRule(f"{key}: a number from 0 up")
    return float(value)


def _text(body: Body, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise BadRule(f"{key}: a text")
    return value
