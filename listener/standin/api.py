"""What all REST resources share: who calls, in which version, and how an answer or a refusal is written.

"REST API Developer Guide": "Status Codes and Error Responses", "Limit Info Header", "Call Options Header".
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime

from aiohttp import web

from listener.standin import problems
from listener.standin.access import Access
from listener.standin.allowance import Allowance
from listener.standin.ledger import Ledger
from listener.standin.problems import ApiError
from listener.standin.schema import Row, Sobject
from listener.standin.store import Store
from listener.standin.tokens import Session, Tokens, bearer
from listener.standin.transaction import Transaction
from listener.standin.values import record_body, rest_form

OLDEST, NEWEST = 31, 68
#: A client that keeps the slash at the end of its instance URL asks for `//services`: the org does not mind, and `sf`
#: log-ins by access token do.
SERVICES = "/{slashes:/*}services"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated request."""

    request: web.Request
    session: Session
    version: str

    def part(self, name: str) -> str:
        """A named part of the path."""
        return self.request.match_info[name]

    async def json(self) -> object:
        """The body as JSON; JSON_PARSER_ERROR when it is none."""
        try:
            return json.loads(await self.request.text())
        except ValueError as exc:
            raise problems.json_parser_error(f"Unexpected character or end of input: {type(exc).__name__}") from None

    async def json_object(self) -> dict[str, object]:
        body = await self.json()
        if not isinstance(body, dict):
            raise problems.json_parser_error("Cannot deserialize an sObject from this value")
        return body

    @property
    def client_option(self) -> str | None:
        """`Sforce-Call-Options: client=NAME, defaultNamespace=...` -> NAME."""
        for option in self.request.headers.get("Sforce-Call-Options", "").split(","):
            name, _, value = option.strip().partition("=")
            if name == "client":
                return value
        return None

    def origin(self, *, with_client: bool = True) -> str:
        """The `changeOrigin` of what this call saves."""
        origin = f"com/salesforce/api/rest/{self.version}"
        return f"{origin};client={self.client_option}" if with_client and self.client_option else origin


Endpoint = Callable[[Call], Awaitable[web.StreamResponse]]


class Api:
    """Authentication, the day's allowance, error bodies and the ledger, around every endpoint."""

    def __init__(self, *, store: Store, access: Access, tokens: Tokens, allowance: Allowance, ledger: Ledger) -> None:
        self.store = store
        self.access = access
        self._tokens = tokens
        self._allowance = allowance
        self._ledger = ledger

    def route(self, method: str, path: str, endpoint: Endpoint) -> web.RouteDef:
        """A route under /services/data/vXX.0; a trailing slash is tolerated, as the org does."""

        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                response = await endpoint(self._call(request))
            except ApiError as refused:
                response = web.json_response(refused.body(), status=refused.status)
            response.headers["Sforce-Limit-Info"] = self._allowance.header
            response.headers["Date"] = format_datetime(self.store.now(), usegmt=True)
            return response

        return web.route(method, rf"{SERVICES}/data/v{{version:\d+\.0}}{path}{{slash:/?}}", handler)

    def missing(self) -> web.RouteDef:
        """Whatever else is asked below a version: NOT_FOUND, but only to those who are logged in."""

        async def endpoint(call: Call) -> web.Response:
            raise problems.not_found()

        return self.route("*", "/{rest:.*}", endpoint)

    def _call(self, request: web.Request) -> Call:
        version = request.match_info["version"]
        if not OLDEST <= float(version) <= NEWEST:
            raise problems.not_found()
        session = self._tokens.check(bearer(request) or "")
        if session is None:
            raise problems.invalid_session()
        self._allowance.spend_call()
        return Call(request=request, session=session, version=version)

    def sobject(self, call: Call, name: str) -> Sobject:
        """The object of a path, as the caller sees it. REST says NOT_FOUND where SOQL says INVALID_TYPE."""
        sobject = self.access.sobject(call.session.person, name)
        if sobject is None:
            raise problems.not_found()
        return sobject

    def begin(self, call: Call, *, with_client: bool = True) -> Transaction:
        """A transaction in the caller's name."""
        return self.access.begin(call.session.person, call.origin(with_client=with_client))

    def body(self, call: Call, sobject: Sobject, row: Row, names: list[str] | None) -> dict[str, object]:
        """A record as the caller may read it: the asked fields, all that they see when *names* is None."""
        clear = self.access.views_encrypted(call.session.person)
        return record_body(sobject, row, names, version=call.version, clear=clear)

    def note_write(
        self,
        call: Call,
        *,
        operation: str,
        object_name: str,
        record_id: str | None,
        status: int,
        values: Mapping[str, object] | None = None,
        before: Row | None = None,
        error: ApiError | None = None,
    ) -> None:
        """Puts one REST write, done or refused, into the ledger."""
        given = {k: v for k, v in (values or {}).items() if k.lower() not in {"attributes", "id"}}
        self._ledger.record(
            "write",
            user=call.session.person.username,
            client_id=call.session.client.id,
            client=call.client_option,
            method=call.request.method,
            path=call.request.path,
            operation=operation,
            object=object_name,
            id=record_id,
            before={k: rest_form(before.get(k)) for k in given} if before is not None else None,
            after=given or None,
            status=status,
            error=error.code if error else None,
        )

    def note_read(self, call: Call, *, object_name: str, rows: int = 1, record_id: str | None = None) -> None:
        """Puts one read into the ledger: who looked at what."""
        self._ledger.record(
            "read",
            user=call.session.person.username,
            object=object_name,
            id=record_id,
            rows=rows,
            path=call.request.path,
            soql=call.request.query.get("q"),
        )
