"""Each thing that can be wrong with the integration user, the package or the channel, and the next move for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from org_rig import settings_for, stand_in

from fusion.cli.doctor import needs_of
from fusion.mapping import load_mapping
from listener.checkup import Finding, Verdict
from listener.login import Login
from listener.org import FieldDescription, SalesforceOrg
from listener.org_checkup import LISTENS, WORKS, examine_org
from listener.settings import SalesforceSettings
from listener.standin import StandInOrg
from listener.standin.faults import Fault

NEEDS = needs_of(load_mapping(None))
STATUS = "Fusion_Sync_Status__c"


class Granted(SalesforceOrg):
    """The adapter before an org whose permission sets, fields and limits a test may say."""

    sets: frozenset[str] = frozenset({WORKS, LISTENS})
    hidden: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    without_options: frozenset[str] = frozenset()
    used_up: float = 0.1

    async def permission_sets(self, user_id: str, names: Sequence[str]) -> frozenset[str]:
        return self.sets & frozenset(names)

    async def describe(self, object_name: str) -> dict[str, FieldDescription]:
        said: dict[str, Any] = dict(NEEDS.says)
        return {
            name: replace(
                field,
                updateable=field.updateable and name not in self.read_only,
                options=tuple(option for option in said.get(name, field.options) if option not in self.without_options),
            )
            for name, field in (await super().describe(object_name)).items()
            if name not in self.hidden
        }

    async def limits(self) -> dict[str, tuple[int, int]]:
        return {name: (round(most * self.used_up), most) for name, (_, most) in (await super().limits()).items()}


@pytest.fixture
async def standing() -> AsyncIterator[StandInOrg]:
    async with stand_in() as one:
        yield one


@pytest.fixture
async def login(standing: StandInOrg) -> AsyncIterator[Login]:
    one = Login(settings_for(standing))
    yield one
    await one.close()


@pytest.fixture
async def org(login: Login) -> AsyncIterator[Granted]:
    one = Granted(login, api_version="66.0")
    yield one
    await one.close()


@pytest.fixture
def settings(standing: StandInOrg) -> SalesforceSettings:
    return settings_for(standing)


async def bad(org: SalesforceOrg, login: Login, settings: SalesforceSettings, **more: Any) -> list[Finding]:
    """What is not right."""
    return [one for one in await examine_org(org, login, settings, NEEDS, **more) if one.verdict is not Verdict.OK]


async def test_where_all_is_right_every_question_has_its_answer(
    org: Granted, login: Login, settings: SalesforceSettings
) -> None:
    findings = await examine_org(org, login, settings, NEEDS)
    assert {one.verdict for one in findings} == {Verdict.OK}
    assert [one.check for one in findings] == [
        *("user", "view all", "clock", "fields", "package", "package", "stream", "limits", "limits"),
    ]


async def test_the_wrong_user_is_found(org: Granted, login: Login, settings: SalesforceSettings) -> None:
    org.sets = frozenset({LISTENS})
    (one,) = await bad(org, login, settings)
    assert (one.check, one.verdict) == ("user", Verdict.WRONG)
    assert "integration user" in one.move


async def test_a_missing_view_all_is_found(org: Granted, login: Login, settings: SalesforceSettings) -> None:
    org.sets = frozenset({WORKS})
    (one,) = await bad(org, login, settings)
    assert (one.check, one.verdict) == ("view all", Verdict.WRONG)
    assert "View All" in one.said


async def test_a_field_that_is_not_seen_is_named_as_people_know_it(
    org: Granted, login: Login, settings: SalesforceSettings
) -> None:
    org.hidden = frozenset({"Date_of_Birth__c"})
    (one,) = await bad(org, login, settings)
    assert (one.check, one.verdict) == ("fields", Verdict.WRONG)
    assert "Date of birth (Date_of_Birth__c)" in one.said


async def test_a_field_of_ours_that_may_not_be_written_is_named(
    org: Granted, login: Login, settings: SalesforceSettings
) -> None:
    org.read_only = frozenset({STATUS})
    (one,) = await bad(org, login, settings)
    assert f"may not write Fusion Sync Status ({STATUS})" in one.said


@pytest.mark.parametrize(("value", "verdict"), [("Retrying", Verdict.WRONG), ("not_told", Verdict.WARNING)])
async def test_a_package_that_is_older_than_the_program_is_found(
    org: Granted, login: Login, settings: SalesforceSettings, value: str, verdict: Verdict
) -> None:
    org.without_options = frozenset({value})
    (one,) = await bad(org, login, settings)
    assert (one.check, one.verdict) == ("package", verdict)
    assert value in one.said
    assert "older" in one.said


async def test_a_channel_that_is_not_there_is_found(org: Granted, login: Login, settings: SalesforceSettings) -> None:
    elsewhere = settings.model_copy(update={"channel": "/data/Nothing__chn"})
    (one,) = await bad(org, login, elsewhere)
    assert (one.check, one.verdict) == ("stream", Verdict.WRONG)
    assert "Change Data Capture" in one.move


@pytest.mark.parametrize(("skew", "verdict"), [(60, Verdict.WARNING), (-400, Verdict.WRONG)])
async def test_a_clock_that_is_wrong_is_found(
    org: Granted, login: Login, settings: SalesforceSettings, skew: int, verdict: Verdict
) -> None:
    (one,) = await bad(org, login, settings, clock=lambda: datetime.now(UTC) + timedelta(seconds=skew))
    assert (one.check, one.verdict) == ("clock", verdict)
    assert "NTP" in one.move


async def test_a_limit_that_is_near_is_found(org: Granted, login: Login, settings: SalesforceSettings) -> None:
    org.used_up = 0.9
    assert [(one.check, one.verdict) for one in await bad(org, login, settings)] == [("limits", Verdict.WARNING)] * 2


async def test_salesforce_away_is_said_once(
    standing: StandInOrg, org: Granted, login: Login, settings: SalesforceSettings
) -> None:
    await login.token()
    standing.control.faults.add(Fault(path="/services/data", status=503, times=None))
    (one,) = await bad(org, login, settings)
    assert (one.check, one.verdict) == ("clock", Verdict.WRONG)


async def test_a_log_in_that_is_refused_ends_the_round(standing: StandInOrg, settings: SalesforceSettings) -> None:
    wrong = settings.model_copy(update={"client_id": "nobody"})
    login = Login(wrong)
    org = SalesforceOrg(login, api_version="66.0")
    findings = await examine_org(org, login, wrong, NEEDS)
    await org.close()
    await login.close()
    assert [(one.check, one.verdict) for one in findings] == [("log-in", Verdict.WRONG)]
