"""simple-salesforce, made safe to leave alone: every call ends, a refused token is renewed once, and nothing is quoted.

The library blocks, so one daemon thread makes the calls, one at a time. Its errors hold addresses with queries in them
and bodies with values, so none leaves that thread: what comes out is an answer, a `Refusal`, or an `Outage`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from threading import Thread
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError

from listener.errors import Outage
from listener.login import Login
from listener.token_endpoint import Token, is_loopback

_BUSY = frozenset({"SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG", "QUERY_TIMEOUT", "API_CURRENTLY_DISABLED"})
_LIMIT = "REQUEST_LIMIT_EXCEEDED"
_UNAVAILABLE = 503
_NO_ANSWER = "is the network up, and Salesforce (https://status.salesforce.com)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer of the 4xx kind: its error code, and its words, which may quote values and must not be passed on."""

    status: int
    code: str
    words: str = field(default="", repr=False)


class Rest:
    """GET, PATCH and queries, relative to `/services/data/vXX.X/`. `usage`: calls made and allowed, in 24 hours.

    `answered_at`: when Salesforce gave its last answer, by its own clock (the Date header), to the second.
    """

    def __init__(
        self, login: Login, *, client: str, api_version: str, connect_seconds: float, read_seconds: float
    ) -> None:
        """`client` names us in `Sforce-Call-Options`; `read_seconds` may pass between two packets of an answer."""
        self.usage: tuple[int, int] | None = None
        self.answered_at: datetime | None = None
        self._login = login
        self._client = client
        self._api_version = api_version
        self._timeout = (connect_seconds, read_seconds)
        self._thread = _DaemonThread()
        self._connection: tuple[Token, Salesforce] | None = None

    async def get(self, path: str, **parameters: str) -> Any:
        """The JSON of the answer, or a `Refusal`."""
        return await self._call(lambda org: org.restful(path, params=parameters))

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The same; after an `Outage` the body may have been taken."""
        return await self._call(lambda org: org.restful(path, method="PATCH", json=body))

    async def query_all(self, soql: str, *, page: int) -> Any:
        """The first page, of records in the recycle bin too."""
        options = {"Sforce-Query-Options": f"batchSize={page}"}
        return await self._call(lambda org: org.query(soql, include_deleted=True, headers=options))

    async def query_more(self, next_records_url: str, *, page: int) -> Any:
        """The page at the `nextRecordsUrl` of the one before."""
        options = {"Sforce-Query-Options": f"batchSize={page}"}
        return await self._call(lambda org: org.query_more(next_records_url, identifier_is_url=True, headers=options))

    def close(self) -> None:
        """Closes the connections that are idle; a call that hangs keeps nobody waiting."""
        self._thread.shutdown(wait=False)
        if self._connection is not None:
            self._connection[1].session.close()
            self._connection = None

    async def _call(self, ask: Callable[[Salesforce], Any]) -> Any:
        """Raises `Outage` without any trace of what the library raised, since that quotes."""
        for _ in range(2):
            token = await self._login.token()
            answer = await self._in_thread(ask, self._connected(token))
            if not isinstance(answer, Refusal):
                break
            if answer.status != 401 and answer.code != "INVALID_SESSION_ID":
                break
            self._login.refuse(token)
        if isinstance(answer, Refusal):
            if _is_daily(answer) and self.usage is not None:
                self.usage = max(self.usage), self.usage[1]  # whatever the header said last, or did not say now
            outage = _outage(answer)
            if outage is not None:
                raise outage
        return answer

    async def _in_thread(self, ask: Callable[[Salesforce], Any], org: Salesforce) -> Any:
        # The time limits of `requests` are for one packet; an answer that drips would go on for ever.
        longest = self._timeout[0] + 2 * self._timeout[1]
        try:
            answer = await asyncio.wait_for(
                asyncio.get_running_loop().run_in_executor(self._thread, _answer, ask, org), longest
            )
        except TimeoutError:
            # The thread may hang for ever: leave it, and its connection, to themselves.
            self._thread.shutdown(wait=False)
            self._thread, self._connection = _DaemonThread(), None
            answer = _NoAnswer("TimeoutError")
        if isinstance(answer, _NoAnswer):
            raise Outage(f"Salesforce does not answer ({answer.what})", hint=_NO_ANSWER, suspect=answer.suspect)
        return answer

    def _connected(self, token: Token) -> Salesforce:
        """With a session id and an address of its own the library never logs in by itself."""
        if self._connection is not None and self._connection[0] == token:
            return self._connection[1]
        here = is_loopback(token.instance_url)
        session = requests.Session()
        session.trust_env = not here
        session.headers["Sforce-Call-Options"] = f"client={self._client}"
        session.mount("https://", _Wire(plain=here and token.instance_url.startswith("http:"), timeout=self._timeout))
        session.hooks["response"] += [self._note_usage, self._note_date]
        org = Salesforce(
            session_id=token.access_token,
            instance_url=token.instance_url,
            version=self._api_version,
            session=session,
            object_pairs_hook=dict,
        )
        if self._connection is not None:
            self._connection[1].session.close()
        self._connection = (token, org)
        return org

    def _note_usage(self, response: requests.Response, *_: Any, **__: Any) -> None:
        used = re.search(r"(?<!-)\bapi-usage=(\d+)/(\d+)", response.headers.get("Sforce-Limit-Info", ""))
        if used:
            self.usage = int(used[1]), int(used[2])

    def _note_date(self, response: requests.Response, *_: Any, **__: Any) -> None:
        with suppress(ValueError, TypeError):
            self.answered_at = parsedate_to_datetime(response.headers.get("Date", "")).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    """The name of what kept the answer away. `suspect`: as in `Outage`; who says 503 has not begun."""

    what: str
    suspect: bool = True


def _answer(ask: Callable[[Salesforce], Any], org: Salesforce) -> Any:
    """In the thread: what Salesforce said, or `_NoAnswer`."""
    try:
        return ask(org)
    except SalesforceError as error:
        return _refusal(error.status, error.content)
    except (requests.RequestException, ValueError, OSError) as error:
        return _NoAnswer(type(error).__name__)


def _refusal(status: int, content: Any) -> Refusal | _NoAnswer:
    first = content[0] if isinstance(content, list) and content else content
    code = first.get("errorCode") if isinstance(first, dict) else None
    if not isinstance(code, str) or not re.fullmatch(r"[A-Z0-9_]{1,80}", code):
        # A page of the load balancer, or of a maintenance window.
        return _NoAnswer(f"HTTP {status}", suspect=status != _UNAVAILABLE)
    if status >= 500:
        return _NoAnswer(f"HTTP {status} {code}", suspect=status != _UNAVAILABLE)
    return Refusal(status=status, code=code, words=str(first.get("message", "")))


def _outage(refusal: Refusal) -> Outage | None:
    """The outage that a refusal amounts to, if it is none of what was asked."""
    if _is_daily(refusal):
        # The 24 hours roll: there is no moment at which all is well again, and each look is a call that is refused.
        return Outage(
            "Salesforce's limit of API calls in 24 hours is used up",
            hint="`fusion-sync limits`: who else calls this org? It goes on when older calls leave the 24 hours",
            retry_after=900.0,
        )
    if refusal.code == _LIMIT:
        return Outage(
            "Salesforce's limit of API calls at a time is used up", hint="who else calls this org?", retry_after=60.0
        )
    if refusal.status == 401 or refusal.code == "INVALID_SESSION_ID":
        return Outage("Salesforce refuses a token that it has just given out", hint="may this user use the API?")
    if refusal.code in _BUSY:
        return Outage(f"Salesforce is busy ({refusal.code})", hint=_NO_ANSWER)
    return None


def _is_daily(refusal: Refusal) -> bool:
    """Whether the allowance of 24 hours is used up; else too many long calls run just now ("Concurrent")."""
    return refusal.code == _LIMIT and "concurrent" not in refusal.words.lower()


class _Wire(HTTPAdapter):
    """Puts an end to every call. `plain`: the org is a stand-in on this host; simple-salesforce knows https only."""

    def __init__(self, *, plain: bool, timeout: tuple[float, float]) -> None:
        super().__init__()
        self._plain = plain
        self._timeout = timeout

    def send(self, request: requests.PreparedRequest, *given: Any, **options: Any) -> requests.Response:
        if self._plain and request.url:
            request.url = request.url.replace("https:", "http:", 1)
        return super().send(request, *given, **options | {"timeout": options.get("timeout") or self._timeout})


class _DaemonThread(Executor):
    """One thread that does not keep the process alive: a hanging call must not stand in the way of an exit."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._run, name="salesforce-rest", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._work.put(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the thread after what is asked of it by now."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
