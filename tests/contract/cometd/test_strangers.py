"""The stand-in org's stream, heard by clients that others wrote: what they take for CometD, is."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.login import Login
from tests.contract.cometd.strangers import KINDS, received
from tests.org_rig import patient, settings_for, stand_in


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_of_others_hears_what_is_kept_and_what_comes_later_and_replays(tools: Path, kind: str) -> None:
    async with stand_in() as org:
        login = Login(settings_for(org))
        try:
            token = (await login.token()).access_token
        finally:
            await login.close()
        there = {"url": org.url, "token": token, "channel": org.channel}
        early = [org.control.create(patient()) for _ in range(3)]
        late: list[str] = []

        async def later() -> None:
            late.extend(org.control.create(patient()) for _ in range(2))

        heard = await received(tools, kind, **there, replay="-2", count=5, once_subscribed=later)
        assert heard["records"] == early + late
        position = str(heard["replayIds"][2])
        again = await received(tools, kind, **there, replay=position, count=2)
        assert again["records"] == late
        asked = [one["replay"] for one in org.ledger.of("subscribe")]
        assert asked == [-2, int(position)]
