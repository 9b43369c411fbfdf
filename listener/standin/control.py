"""The levers of the stand-in: records saved as a person would, faults, lost sessions, raw events.

As plain methods for a test in the same process, and as JSON under /__control/ on the same loopback socket for one in
another. Nothing here exists in a real org.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, fields
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from listener.standin import problems
from listener.standin.access import Access
from listener.standin.allowance import Allowance
from listener.standin.channels import Channel
from listener.standin.cometd import CometD
from listener.standin.deploys import Deploys, Result
from listener.standin.events import EventBus
from listener.standin.faults import CONTROL, Fault, Faults
from listener.standin.ledger import Ledger
from listener.standin.oauth import OAuth
from listener.standin.people import Person
from listener.standin.problems import ApiError
from listener.standin.rest_query import Queries
from listener.standin.schema import Sobject
from listener.standin.standard import ASSIGNMENT, PERMISSION_SET
from listener.standin.store import Store, record_id_of
from listener.standin.tokens import Tokens
from listener.standin.transaction import Transaction
from listener.standin.values import record_body

# What the guide's own samples show for a save in Lightning Experience.
LIGHTNING = "com/salesforce/api/soap/66.0;client=SfdcInternalAPI/"
Change = Mapping[str, Any]


class Control:
    """All levers of one org."""

    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        deploys: Deploys,
        bus: EventBus,
        cometd: CometD,
        tokens: Tokens,
        oauth: OAuth,
        queries: Queries,
        allowance: Allowance,
        faults: Faults,
        ledger: Ledger,
        people: Mapping[str, Person],
        channels: Mapping[str, Channel],
    ) -> None:
        self.allowance = allowance
        self.faults = faults
        self.ledger = ledger
        self._store = store
        self._access = access
        self._deploys = deploys
        self._bus = bus
        self._cometd = cometd
        self._tokens = tokens
        self._oauth = oauth
        self._queries = queries
        self._people = people
        self._channels = channels

    def save(
        self, *changes: Change, by: str = "intake", origin: str | None = LIGHTNING, automation: bool = True
    ) -> list[str]:
        """Saves changes in one transaction as the person whose short name is *by*; the ids, in order.

        Flows and validation rules run, unless *automation* is off: as for what was there before they were deployed.
        Rights and sharing do not count here: a lever may do what nobody in the org may.

        A change is `{"op": "create", "object": ..., "values": {...}}` or `{"op": "update" | "delete" | "undelete" |
        "purge", "id": ..., "values": {...}}`. Raises ApiError, with nothing saved, when one is refused.
        """
        person = self._people[by]
        permissions = self._access.custom_permissions(person)
        transaction = Transaction(self._store, person.id, origin, permissions=permissions, automation=automation)
        ids = []
        for change in changes:
            if change.get("op", "create") == "create":
                ids.append(transaction.create(self._object(change.get("object", "Patient__c")), change["values"]))
                continue
            sobject = self._object_of(change["id"])
            record_id = record_id_of(sobject, change["id"])
            match change["op"]:
                case "update":
                    transaction.update(sobject, record_id, change["values"])
                case "delete":
                    transaction.delete(sobject, record_id)
                case "undelete":
                    transaction.undelete(sobject, record_id)
                case "purge":
                    self._store.purge(sobject, record_id)
                case other:
                    raise ApiError("INVALID_OPERATION", f"no such op: {other}")
            ids.append(record_id)
        self.ledger.record("save", user=person.username, ids=ids, changes=[dict(c) for c in changes])
        transaction.commit()
        return ids

    def create(
        self,
        values: Mapping[str, object],
        *,
        by: str = "intake",
        object_name: str = "Patient__c",
        automation: bool = True,
    ) -> str:
        """The id of one new record."""
        change = {"op": "create", "object": object_name, "values": values}
        return self.save(change, by=by, automation=automation)[0]

    def update(
        self, record_id: str, values: Mapping[str, object], *, by: str = "intake", automation: bool = True
    ) -> None:
        self.save({"op": "update", "id": record_id, "values": values}, by=by, automation=automation)

    def delete(self, record_id: str, *, by: str = "intake") -> None:
        self.save({"op": "delete", "id": record_id}, by=by)

    def lock(self, *ids: str, times: int = 1) -> None:
        """Lets the next writes of clients find that somebody else is saving those records; saves from here go on."""
        self._store.locked.update(dict.fromkeys(ids, times))

    def records(self, object_name: str = "Patient__c", *, deleted: bool = False) -> list[dict[str, Any]]:
        """The object's records in clear, as REST would show them to an administrator."""
        sobject = self._object(object_name)
        rows = self._store.rows(sobject, deleted=deleted)
        return [record_body(sobject, row, None, version="66.0", clear=True) for row in rows]

    def record(self, record_id: str) -> dict[str, Any]:
        """One record in clear; NOT_FOUND or ENTITY_IS_DELETED otherwise."""
        sobject = self._object_of(record_id)
        row = self._store.get(sobject, record_id_of(sobject, record_id))
        return record_body(sobject, row, None, version="66.0", clear=True)

    def deploy(self, zipped: bytes, *, check_only: bool = False) -> Result:
        """Deploys metadata as the administrator; the DeployResult, with its details."""
        deploy_id = self._deploys.start(zipped, self._people["admin"], check_only=check_only)
        return self._deploys.result(deploy_id, details=True)

    def assign(self, person: str, *permission_sets: str) -> None:
        """Gives permission sets to a person, and whatever they had is taken away."""
        user_id = self._people[person].id
        transaction = Transaction(self._store, self._people["admin"].id, None)
        for row in [row for row in self._store.rows(ASSIGNMENT) if row["AssigneeId"] == user_id]:
            transaction.delete(ASSIGNMENT, str(row["Id"]))
        ids = {row["Name"]: row["Id"] for row in self._store.rows(PERMISSION_SET)}
        for name in permission_sets:
            transaction.create(ASSIGNMENT, {"AssigneeId": user_id, "PermissionSetId": ids[name]})
        transaction.commit()

    def expire_tokens(self) -> None:
        """Revokes every access token: 401 in REST, `401::Authentication invalid` on every stream."""
        self._tokens.revoke_all()

    def end_consents(self) -> int:
        """Takes back what people gave to apps in a browser, as an administrator may in Setup. How many there were."""
        return self._tokens.end_consents()

    def drop_sessions(self) -> int:
        """Forgets every stream client: `403::Unknown client` next. How many there were."""
        return self._cometd.drop_sessions()

    def stall(self, stalled: bool = True) -> None:
        """Lets clients poll and hear nothing, as after a backlog of the bus; what is held back comes at its end."""
        self._cometd.stalled = stalled
        self._cometd.wake_all()

    def expire_cursors(self) -> None:
        """Makes open query locators invalid."""
        self._queries.expire_cursors()

    def forget_events(self, before: int | None = None) -> int:
        """Purges stored events with a smaller replay id than *before* (all when None), as after 72 hours."""
        return self._bus.forget(before)

    def publish(self, payload: object, channels: Sequence[str] | None = None) -> int:
        """Sends a payload as it is, malformed or not, on the given channels (all of the org). The replay id it got."""
        return self._bus.publish_raw(payload, channels or tuple(self._channels))

    def publish_gap(self, kind: str, ids: Sequence[str] = (), *, by: str = "intake") -> int:
        """Tells of changes the bus could not follow: GAP_UPDATE and its like with record ids, GAP_OVERFLOW without."""
        sobject = self._object_of(ids[0]) if ids else self._object("Patient__c")
        return self._bus.publish_gap(kind, sobject, ids, self._people[by].id, tuple(self._channels))

    def auto_approve(self, person: str | None) -> None:
        """Lets the authorize page say Allow by itself as that person (None: shows its form again)."""
        self._oauth.auto_approve = self._people[person].username if person else None

    def stats(self) -> dict[str, Any]:
        return {
            "connected": self._cometd.connected,
            "allowance": asdict(self.allowance),
            "faults": [asdict(rule) for rule in self.faults.rules],
            "latency": self.faults.latency,
            "stalled": self._cometd.stalled,
            "ledger": len(self.ledger.entries),
        }

    def _object(self, name: str) -> Sobject:
        sobject = self._store.schema.find(name)
        if sobject is None:
            raise problems.unknown_object(name)
        return sobject

    def _object_of(self, record_id: object) -> Sobject:
        sobject = self._store.schema.of_id(str(record_id))
        if sobject is None:
            raise problems.malformed_id("Record", str(record_id))
        return sobject

    def routes(self) -> list[web.RouteDef]:
        """The same levers over HTTP: JSON in, JSON out."""

        async def save(body: dict[str, Any]) -> Any:
            how = {"by": body.get("as", "intake"), "origin": body.get("origin", LIGHTNING)}
            return {"ids": self.save(*body["changes"], **how, automation=body.get("automation", True))}

        async def records(body: dict[str, Any]) -> Any:
            return self.records(body.get("object", "Patient__c"), deleted=body.get("deleted") in {"true", True})

        async def lock(body: dict[str, Any]) -> Any:
            self.lock(*body["ids"], times=int(body.get("times", 1)))
            return self.stats()

        async def ledger(body: dict[str, Any]) -> Any:
            return self.ledger.since(int(body.get("since", 0)))

        async def add_fault(body: dict[str, Any]) -> Any:
            self.faults.add(Fault(**{f.name: body[f.name] for f in fields(Fault) if f.name in body}))
            return self.stats()

        async def clear_faults(body: dict[str, Any]) -> Any:
            self.faults.clear()
            return self.stats()

        async def latency(body: dict[str, Any]) -> Any:
            self.faults.latency = float(body["seconds"])
            return self.stats()

        async def allowance(body: dict[str, Any]) -> Any:
            for name in {f.name for f in fields(Allowance)} & set(body):
                setattr(self.allowance, name, int(body[name]))
            return self.stats()

        async def expire_tokens(body: dict[str, Any]) -> Any:
            self.expire_tokens()
            return self.stats()

        async def end_consents(body: dict[str, Any]) -> Any:
            return {"ended": self.end_consents()}

        async def drop_sessions(body: dict[str, Any]) -> Any:
            return {"dropped": self.drop_sessions()}

        async def stall(body: dict[str, Any]) -> Any:
            self.stall(bool(body.get("stalled", True)))
            return self.stats()

        async def expire_cursors(body: dict[str, Any]) -> Any:
            self.expire_cursors()
            return self.stats()

        async def forget_events(body: dict[str, Any]) -> Any:
            before = body.get("before")
            return {"forgotten": self.forget_events(int(before) if before is not None else None)}

        async def publish(body: dict[str, Any]) -> Any:
            return {"replayId": self.publish(body["payload"], body.get("channels"))}

        async def publish_gap(body: dict[str, Any]) -> Any:
            return {"replayId": self.publish_gap(body["kind"], body.get("ids", ()), by=body.get("as", "intake"))}

        async def authorize(body: dict[str, Any]) -> Any:
            self.auto_approve(body.get("as"))
            return self.stats()

        async def assign(body: dict[str, Any]) -> Any:
            self.assign(body["to"], *body["permission_sets"])
            return self.stats()

        async def stats(body: dict[str, Any]) -> Any:
            return self.stats()

        return [
            _lever("POST", "records", save),
            _lever("GET", "records", records),
            _lever("POST", "lock", lock),
            _lever("GET", "ledger", ledger),
            _lever("POST", "faults", add_fault),
            _lever("DELETE", "faults", clear_faults),
            _lever("POST", "latency", latency),
            _lever("POST", "allowance", allowance),
            _lever("POST", "expire-tokens", expire_tokens),
            _lever("POST", "end-consents", end_consents),
            _lever("POST", "drop-sessions", drop_sessions),
            _lever("POST", "stall", stall),
            _lever("POST", "expire-cursors", expire_cursors),
            _lever("POST", "forget-events", forget_events),
            _lever("POST", "publish", publish),
            _lever("POST", "publish-gap", publish_gap),
            _lever("POST", "auto-approve", authorize),
            _lever("POST", "assign", assign),
            _lever("GET", "stats", stats),
        ]


def _lever(method: str, name: str, pull: Callable[[dict[str, Any]], Awaitable[Any]]) -> web.RouteDef:
    async def handler(request: web.Request) -> web.Response:
        if not ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104  an address to refuse, not to bind
            return web.json_response({"error": "loopback only"}, status=403)
        try:
            body = json.loads(await request.text() or "{}")
            return web.json_response(await pull(dict(request.query) | body))
        except ApiError as refused:
            return web.json_response(refused.body(), status=refused.status)
        except (KeyError, TypeError, ValueError) as exc:
            return web.json_response({"error": f"{type(exc).__name__}: {exc}"}, status=400)

    return web.route(method, CONTROL + name, handler)
