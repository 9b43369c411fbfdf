"""Both stand-ins on free loopback ports, with an environment in which `fusion-sync run` works against them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.standin.server import DEFAULT_USERS, Skin, StandInPortal
from listener.standin import StandInOrg

API_VERSION = "66.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Two running stand-ins. `folder` holds the private key and, unless told otherwise, the ledgers."""

    org: StandInOrg
    portal: StandInPortal
    folder: Path
    ledgers: Path

    @property
    def org_ledger(self) -> Path:
        """What was done to the org, and told by it, one JSON object a line."""
        return self.ledgers / "org.jsonl"

    @property
    def portal_ledger(self) -> Path:
        """What was done to the portal, one JSON object a line."""
        return self.ledgers / "portal.jsonl"

    def environment(self) -> dict[str, str]:
        """Every setting that the program needs to work against the two."""
        [(username, password)] = DEFAULT_USERS.items()
        return {
            "SALESFORCE_LOGIN_URL": self.org.url,
            "SALESFORCE_AUTH": "jwt",
            "SALESFORCE_CLIENT_ID": self.org.integration.client_id,
            "SALESFORCE_USERNAME": self.org.integration.username,
            "SALESFORCE_PRIVATE_KEY_FILE": str(self.folder / "private-key.pem"),
            "SALESFORCE_API_VERSION": API_VERSION,
            "SALESFORCE_CHANNEL": self.org.channel,
            "PORTAL_URL": self.portal.url,
            "PORTAL_USERNAME": username,
            "PORTAL_PASSWORD": password,
            "FUSION_SYNC_PACK": self.portal.skin,
        }

    def described(self) -> Mapping[str, Any]:
        """URLs, credentials, channel, ledgers and levers, as one JSON value."""
        org, environment = self.org, self.environment()
        return {
            "salesforce": {
                "login_url": org.url,
                "instance_url": org.url,
                "api_version": API_VERSION,
                "channel": org.channel,
                "username": org.integration.username,
                "client_id": org.integration.client_id,
                "client_secret": org.integration.client_secret,
                "private_key_file": environment["SALESFORCE_PRIVATE_KEY_FILE"],
            },
            "intake": {
                "username": org.intake.username,
                "client_id": org.intake.client_id,
                "client_secret": org.intake.client_secret,
            },
            "portal": {
                "url": self.portal.url,
                "username": environment["PORTAL_USERNAME"],
                "password": environment["PORTAL_PASSWORD"],
            },
            "ledgers": {"org": str(self.org_ledger), "portal": str(self.portal_ledger)},
            "control": {"org": org.control_url, "portal": f"{self.portal.url}/__control"},
            "environment": environment,
        }


@asynccontextmanager
async def sandbox(
    folder: Path,
    *,
    ledgers: Path | None = None,
    org_port: int = 0,
    portal_port: int = 0,
    latency_ms: float = 0,
    skin: Skin = "fusion_web",
    **org_knobs: Any,
) -> AsyncIterator[Sandbox]:
    """Start both, stop both. Port 0: a free one. `latency_ms` delays every answer of either."""
    ledgers = ledgers or folder
    for one in (folder, ledgers):
        one.mkdir(parents=True, exist_ok=True)
    org = StandInOrg(ledger=ledgers / "org.jsonl", port=org_port, **org_knobs)
    portal = StandInPortal(ledger_path=ledgers / "portal.jsonl", skin=skin)
    try:
        await org.start()
        await portal.start(port=portal_port)
        org.faults.latency = latency_ms / 1000
        portal.control.latency(latency_ms)
        made = Sandbox(org=org, portal=portal, folder=folder, ledgers=ledgers)
        _keep_private(folder / "private-key.pem", org.integration.private_key)
        yield made
    finally:
        await portal.close()
        await org.stop()


def _keep_private(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
