"""Deploys by wire: the Metadata API as SOAP, which `sf project deploy start` speaks, and its REST form.

"Metadata API Developer Guide": deploy(), checkDeployStatus(), DeployResult, DeployMessage; "Deploy Metadata with REST".
A deploy is done at once here; that is told at the first look, as an org does for a small one. Nothing is ever half in
force: what an org does in production ("rollbackOnError ... must be true"), this one does always.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

from aiohttp import web

from listener.standin import problems
from listener.standin.api import SERVICES, Api, Call
from listener.standin.ids import mint
from listener.standin.ledger import Ledger
from listener.standin.metadata.archive import (
    NAMESPACE,
    Archive,
    BadArchive,
    Component,
    from_base64,
    read_xml,
    unpack,
)
from listener.standin.metadata.setup import Deployed, Failure, Setup
from listener.standin.people import Person
from listener.standin.problems import ApiError
from listener.standin.tokens import Tokens

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """One deploy that was asked for."""

    id: str
    at: datetime
    by: Person
    check_only: bool
    deployed: Deployed
    error: str | None = None


class Deploys:
    """Takes zips of metadata, and tells what became of each."""

    def __init__(self, setup: Setup, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._setup = setup
        self._ledger = ledger
        self._clock = clock
        self._ids = mint("0Af")
        self._done: dict[str, _Done] = {}

    def start(self, zipped: bytes, person: Person, *, check_only: bool = False) -> str:
        """The id of the deploy. INSUFFICIENT_ACCESS for a user who may not "Modify Metadata"."""
        if not person.administrator:
            message = "use of the Metadata API requires a user with the ModifyAllData or ModifyMetadata permissions"
            raise ApiError("INSUFFICIENT_ACCESS", message, status=403)
        error = None
        try:
            archive = unpack(zipped)
        except BadArchive as exc:
            archive, error = Archive(components=(), named={}), str(exc)
        deployed = self._setup.deploy(archive, check_only=check_only or error is not None)
        done = _Done(
            id=next(self._ids), at=self._clock(), by=person, check_only=check_only, deployed=deployed, error=error
        )
        self._done[done.id] = done
        self._ledger.record(
            "deploy",
            id=done.id,
            user=person.username,
            check_only=check_only,
            components=len(deployed.components),
            failures=[
                {"type": f.component.kind, "name": f.component.name, "problem": f.problem} for f in deployed.failures
            ],
            error=error,
        )
        return done.id

    def result(self, deploy_id: str, *, details: bool) -> Result:
        """DeployResult. INVALID_CROSS_REFERENCE_KEY for an id that no deploy has."""
        done = self._done.get(deploy_id)
        if done is None:
            raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", status=404)
        deployed, at = done.deployed, done.at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        success = deployed.success and done.error is None
        result: dict[str, Any] = {
            "checkOnly": done.check_only,
            "completedDate": at,
            "createdBy": done.by.id,
            "createdByName": done.by.name,
            "createdDate": at,
            "done": True,
            "id": done.id,
            "ignoreWarnings": False,
            "lastModifiedDate": at,
            "numberComponentErrors": len({(f.component.kind, f.component.name) for f in deployed.failures}),
            "numberComponentsDeployed": len(deployed.components) if success else 0,
            "numberComponentsTotal": len(deployed.components),
            "numberTestErrors": 0,
            "numberTestsCompleted": 0,
            "numberTestsTotal": 0,
            "rollbackOnError": True,
            "runTestsEnabled": False,
            "startDate": at,
            "status": "Succeeded" if success else "Failed",
            "success": success,
        }
        if done.error is not None:
            result |= {"errorMessage": done.error, "errorStatusCode": "INVALID_ZIP_FILE"}
        if details:
            result["details"] = _details(deployed, at)
        return result


def _details(deployed: Deployed, at: str) -> Result:
    failed = {(f.component.kind, f.component.name) for f in deployed.failures}
    fine = [c for c in deployed.components if (c.kind, c.name) not in failed]
    return {
        "componentFailures": [_failure(one, at) for one in deployed.failures],
        "componentSuccesses": [
            _message(one, at) | {"created": (one.kind, one.name) in deployed.created, "success": True} for one in fine
        ],
        "runTestResult": {"numFailures": 0, "numTestsRun": 0, "totalTime": 0.0},
    }


def _failure(failure: Failure, at: str) -> dict[str, Any]:
    where = {"lineNumber": failure.component.line, "columnNumber": failure.component.column}
    said = {"problem": failure.problem, "problemType": "Error", "created": False, "success": False}
    return _message(failure.component, at) | where | said


def _message(component: Component, at: str) -> dict[str, Any]:
    return {
        "changed": component.problem is None,
        "componentType": component.kind,
        "createdDate": at,
        "deleted": False,
        "fileName": component.file,
        "fullName": component.name,
        "warning": False,
    }


class DeployRoutes:
    """Both forms of the Metadata API's deploy, over HTTP."""

    def __init__(self, deploys: Deploys, api: Api, tokens: Tokens) -> None:
        self._deploys = deploys
        self._api = api
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(SERVICES + r"/Soap/m/{version:\d+\.0}{org:(?:/\w+)?}", self.soap),
            self._api.route("POST", "/metadata/deployRequest", self.deploy),
            self._api.route("GET", "/metadata/deployRequest/{id}", self.status),
        ]

    async def deploy(self, call: Call) -> web.Response:
        """Multipart: a part `json` with deployOptions, a part `file` with the zip."""
        parts = {}
        reader = await call.request.multipart()
        async for part in reader:
            parts[getattr(part, "name", None)] = await part.read(decode=True)  # type: ignore[union-attr]
        if "json" not in parts or "file" not in parts:
            raise ApiError("MISSING_ARGUMENT", "The request needs the parts json and file")
        options = json.loads(bytes(parts["json"])).get("deployOptions", {})
        check_only = options.get("checkOnly") is True
        deploy_id = self._deploys.start(bytes(parts["file"]), call.session.person, check_only=check_only)
        body = {
            "id": deploy_id,
            "deployOptions": options,
            "deployResult": self._deploys.result(deploy_id, details=False),
        }
        return web.json_response(body, status=201)

    async def status(self, call: Call) -> web.Response:
        deploy_id, details = call.part("id"), call.request.query.get("includeDetails") == "true"
        return web.json_response({"id": deploy_id, "deployResult": self._deploys.result(deploy_id, details=details)})

    async def soap(self, request: web.Request) -> web.Response:
        """One SOAP call; a refusal is a fault with status 500 ("API Fault Element")."""
        try:
            envelope = read_xml(await request.read())
            session = self._tokens.check((envelope.findtext("Header/SessionHeader/sessionId") or "").strip())
            if session is None:
                raise problems.invalid_session()
            asked = next(iter(envelope.find("Body") or ()), ET.Element("nothing"))
            return _envelope(f"{asked.tag}Response", "result", self._answer(asked, session.person))
        except (BadArchive, expat.ExpatError) as exc:
            return _fault("INVALID_ZIP_FILE" if isinstance(exc, BadArchive) else "UNKNOWN_EXCEPTION", str(exc))
        except ApiError as refused:
            return _fault(refused.code, refused.message)

    def _answer(self, asked: ET.Element, person: Person) -> Result:
        match asked.tag:
            case "deploy":
                zipped = from_base64(asked.findtext("ZipFile") or "")
                check_only = asked.findtext("DeployOptions/checkOnly") == "true"
                return {
                    "done": False,
                    "id": self._deploys.start(zipped, person, check_only=check_only),
                    "state": "Queued",
                }
            case "checkDeployStatus":
                details = asked.findtext("includeDetails") == "true"
                return self._deploys.result((asked.findtext("asyncProcessId") or "").strip(), details=details)
            case other:
                raise ApiError("INVALID_OPERATION", f"No operation available for request {other}")


def _envelope(name: str, inner: str, result: Result, *, status: int = 200) -> web.Response:
    envelope = ET.Element("soapenv:Envelope", {"xmlns:soapenv": ENVELOPE, "xmlns": NAMESPACE})
    answer = ET.SubElement(ET.SubElement(envelope, "soapenv:Body"), name)
    _fill(ET.SubElement(answer, inner) if inner else answer, result)
    return web.Response(body=ET.tostring(envelope, encoding="UTF-8"), content_type="text/xml", status=status)


def _fault(code: str, message: str) -> web.Response:
    return _envelope("soapenv:Fault", "", {"faultcode": f"sf:{code}", "faultstring": f"{code}: {message}"}, status=500)


def _fill(element: ET.Element, result: Result) -> None:
    for name, value in result.items():
        for one in value if isinstance(value, list) else [value]:
            child = ET.SubElement(element, name)
            if isinstance(one, Mapping):
                _fill(child, one)
            else:
                child.text = str(one).lower() if isinstance(one, bool) else str(one)
