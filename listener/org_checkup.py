"""Can this user do in Salesforce what it is there for? One finding a question. Reads only, and listens for a moment.

What has to be seen is seen as the integration user sees it, so that its rights are what is examined. Where Salesforce
does not let it look (its own permission sets, in some orgs), the finding says so, and who can look.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from listener.allowance import Limit, Usage
from listener.bayeux import SessionTimes
from listener.checkup import Finding, Verdict
from listener.endings import SessionOver, Why
from listener.errors import EntryError, Outage, SetupError
from listener.login import Login
from listener.org import FieldDescription
from listener.org_setup import Member, OrgSetup, entity_of
from listener.session import Session
from listener.settings import SalesforceSettings

WORKS, LISTENS, LOOKS = "Fusion_Sync_Integration", "Fusion_Sync_Listener", "Fusion_Sync_Doctor"
"""The package's permission sets: to read and write our fields; to hear of all records; to look at what is set up."""
_AJAR, _WRONG = timedelta(seconds=30), timedelta(minutes=3)
"""Clocks that differ by three minutes make an assertion that Salesforce refuses ("OAuth 2.0 JWT Bearer Flow")."""
_ASSIGN = "run `sfdx/bin/install.sh` for this user, or assign the permission set"
_LET_LOOK = f"assign {LOOKS} to this user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What is needed. `reads`: fields by API name, with the names that people know; `writes`: those that we write.

    `says`: the values that we write into a picklist, by its field. `ready`: the checkbox without which no change is to
    come down the channel. `told_along`: fields that each event of the channel is to carry.
    """

    object_name: str
    reads: Mapping[str, str]
    writes: Collection[str]
    says: Mapping[str, Sequence[str]]
    ready: str
    told_along: Collection[str]


async def examine_org(
    org: OrgSetup,
    login: Login,
    settings: SalesforceSettings,
    needs: Needs,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Finding]:
    """Every finding about Salesforce, in the order in which one would look; never raises what it can tell."""
    findings: list[Finding] = []
    asks: tuple[tuple[str, AsyncIterator[Finding]], ...] = (
        ("log-in", _user(org)),
        ("view all", _view_all(org, needs.object_name)),
        ("clock", _clock(org, clock)),
        ("fields", _fields(org, needs)),
        ("encrypted", _encrypted(org, needs)),
        ("sharing", _sharing(org, needs)),
        ("stream", _stream(login, settings)),
        ("channel", _channel(org, settings.channel, needs)),
        ("limits", _limits(org, clock())),
    )
    for name, ask in asks:
        try:
            findings += [one async for one in ask]
        except (SetupError, EntryError) as error:
            findings.append(_finding(name, Verdict.WRONG, str(error), error.hint))
            if name == "log-in":
                break
        except Outage as error:
            # The rest would only say it again.
            findings.append(_finding(name, Verdict.WRONG, str(error), error.hint))
            break
    return findings


async def _user(org: OrgSetup) -> AsyncIterator[Finding]:
    user_id = await org.user_id()
    try:
        sets = await org.permission_sets(user_id, (WORKS,))
    except (SetupError, EntryError):
        told = f"We are user {user_id}, who may not see which permission sets are assigned."
        yield _finding("user", Verdict.WARNING, told, f"{_LET_LOOK}; or an administrator: does it have {WORKS}?")
        return
    if WORKS in sets:
        yield _finding("user", Verdict.OK, f"We are user {user_id}, and it is the integration user.")
    else:
        told = f"We are user {user_id}, who is not the integration user: {WORKS} is not assigned."
        move = f"let the app log in as the integration user; if this is the one, {_ASSIGN}"
        yield _finding("user", Verdict.WRONG, told, move)


async def _view_all(org: OrgSetup, object_name: str) -> AsyncIterator[Finding]:
    try:
        sees_all = await org.sees_all(await org.user_id(), object_name)
    except (SetupError, EntryError):
        told = f"This user may not see whether it has View All Records on {object_name}."
        yield _finding("view all", Verdict.WARNING, told, f"{_LET_LOOK}; or an administrator: does {LISTENS} give it?")
        return
    if sees_all:
        yield _finding("view all", Verdict.OK, f"This user sees all records of {object_name}, so it hears of changes.")
    else:
        told = f"Without View All Records on {object_name} no change event comes, and nothing says so."
        yield _finding("view all", Verdict.WRONG, told, f"deploy the package, then assign {LISTENS} to this user")


async def _clock(org: OrgSetup, clock: Callable[[], datetime]) -> AsyncIterator[Finding]:
    apart = abs(await org.now() - clock())
    told = f"This host's clock and Salesforce's are {apart.total_seconds():.0f} s apart."
    verdict = Verdict.OK if apart < _AJAR else Verdict.WARNING if apart < _WRONG else Verdict.WRONG
    yield _finding("clock", verdict, told, "" if verdict is Verdict.OK else "have this host keep time (NTP)")


async def _fields(org: OrgSetup, needs: Needs) -> AsyncIterator[Finding]:
    there = await org.describe(needs.object_name)
    hidden = [f"{label} ({name})" for name, label in needs.reads.items() if name not in there]
    fixed = [f"{there[name].label} ({name})" for name in needs.writes if name in there and not there[name].updateable]
    if hidden:
        told = f"This user does not see {', '.join(hidden)} of {needs.object_name}."
        yield _finding("fields", Verdict.WRONG, told, f"deploy the package, then {_ASSIGN}")
    if fixed:
        told = f"This user may not write {', '.join(fixed)} of {needs.object_name}."
        yield _finding("fields", Verdict.WRONG, told, _ASSIGN)
    if not hidden and not fixed:
        yield _finding("fields", Verdict.OK, f"All {len(needs.reads)} fields can be read, and ours be written.")
    for name, values in needs.says.items():
        if name in there:
            yield _picklist(there[name], values)


async def _encrypted(org: OrgSetup, needs: Needs) -> AsyncIterator[Finding]:
    there = await org.describe(needs.object_name)
    masked = [f"{label} ({name})" for name, label in needs.reads.items() if name in there and there[name].encrypted]
    if not masked:
        return
    told = ", ".join(masked)
    try:
        clear = await org.sees_clear(await org.user_id())
    except (SetupError, EntryError):
        move = f"{_LET_LOOK}; or an administrator: does {WORKS} give View Encrypted Data?"
        yield _finding("encrypted", Verdict.WARNING, f"This user may not see whether {told} comes in clear.", move)
        return
    if clear:
        yield _finding("encrypted", Verdict.OK, f"{told} comes in clear.")
    else:
        said = f"Without View Encrypted Data, {told} comes masked, and every patient who has one is refused."
        yield _finding("encrypted", Verdict.WRONG, said, f"deploy the package, then {_ASSIGN}")


async def _sharing(org: OrgSetup, needs: Needs) -> AsyncIterator[Finding]:
    kept = await org.unwritable(await org.user_id(), needs.object_name, needs.ready)
    if kept is None:
        yield _finding("sharing", Verdict.OK, f"Sharing lets this user write to {needs.object_name}.")
    else:
        told = f"Sharing keeps this user from writing to {kept}, which somebody else owns: no answer would be taken."
        move = "put this user into the public group Fusion Sync, or let a sharing rule of your own give it edit"
        yield _finding("sharing", Verdict.WRONG, told, move)


def _picklist(field: FieldDescription, values: Sequence[str]) -> Finding:
    missing = [value for value in values if value not in field.options]
    if not missing:
        return _finding("package", Verdict.OK, f"{field.label} knows all that this program says.")
    told = f"{field.label} does not know {', '.join(missing)}: the package is older than this program."
    # Salesforce takes a new value where the list is not restricted, but reports do not group it well.
    return _finding("package", Verdict.WRONG if field.restricted else Verdict.WARNING, told, "deploy the package again")


async def _stream(login: Login, settings: SalesforceSettings) -> AsyncIterator[Finding]:
    channel = settings.channel
    session = Session(
        await login.token(),
        api_version=settings.api_version,
        channel=channel,
        replay_id="-1",
        times=SessionTimes(),
        heard=lambda: None,
    )
    try:
        await session.open()
    except SessionOver as over:
        move = {
            Why.SETUP: f"deploy the package: it makes {channel} and turns Change Data Capture on for the object",
            Why.LIMIT: "who else listens? `fusion-sync limits --now`",
            Why.UNAUTHORIZED: "may this user use the API, and the app the scope `api`?",
        }.get(over.why, "is the network up, and no proxy in between that ends long polls?")
        yield _finding("stream", Verdict.WRONG, f"{channel} cannot be listened to: {over}", move)
    else:
        yield _finding("stream", Verdict.OK, f"{channel} is there, and lets this user listen.")
    finally:
        await session.close()


async def _channel(org: OrgSetup, channel: str, needs: Needs) -> AsyncIterator[Finding]:
    """Subscribing to a channel works whether or not anything is on it, so this is the only way to know."""
    try:
        members = await org.members(channel)
    except (SetupError, EntryError):
        told = f"This user may not see what is on {channel}, and which changes its filter lets through."
        yield _finding("channel", Verdict.WARNING, told, f"{_LET_LOOK}; or an administrator: run this as one")
        return
    entity = entity_of(needs.object_name)
    member = next((one for one in members or () if one.entity == entity), None)
    if members is None:
        yield _finding("channel", Verdict.WRONG, f"There is no channel {channel}.", "deploy the package: it makes it")
    elif member is None:
        told = f"Change Data Capture is not on for {needs.object_name}: {channel} is there, but without it, and silent."
        yield _finding("channel", Verdict.WRONG, told, f"deploy the package: it puts {entity} on the channel")
    elif channel.endswith("__chn"):
        for one in _ways(member, channel, needs):
            yield one
    else:
        yield _finding("channel", Verdict.OK, f"{channel} carries {needs.object_name}, of all records.")


def _ways(member: Member, channel: str, needs: Needs) -> Iterator[Finding]:
    """Whether what is on our own channel comes as the package says."""
    wanted = f"({needs.ready} = true)"
    missing = [name for name in needs.told_along if name not in member.enriched]
    if not member.filter:
        told = f"{channel} has no filter: it brings changes of records that are not ready too, and each is counted."
        yield _finding("channel", Verdict.WARNING, told, f"deploy the package: its filter is {wanted}")
    elif _bare(member.filter) != _bare(wanted):
        told = f"{channel} has another filter than the package, {member.filter}: changes may never come."
        yield _finding("channel", Verdict.WRONG, told, f"deploy the package, or make the filter {wanted}")
    if missing:
        told = f"Events of {channel} do not carry {', '.join(missing)} along, as those of the package do."
        yield _finding("channel", Verdict.WARNING, told, "deploy the package: it adds them")
    if not missing and _bare(member.filter) == _bare(wanted):
        yield _finding("channel", Verdict.OK, f"{channel} carries {needs.object_name}, of ready records.")


def _bare(condition: str) -> str:
    """A condition without what does not matter: case, spaces, brackets around all of it."""
    return "".join(condition.split()).casefold().strip("()")


async def _limits(org: OrgSetup, now: datetime) -> AsyncIterator[Finding]:
    told = await org.limits()
    for limit in Limit:
        if limit not in told:
            move = "an administrator: Setup > Company Information shows them"
            yield _finding("limits", Verdict.WARNING, f"{limit} is not shown to this user.", move)
            continue
        used, allowed = told[limit]
        usage = Usage(limit=limit, used=used, allowed=allowed, told_at=now)
        verdict = Verdict.WARNING if usage.is_tight else Verdict.OK
        yield _finding("limits", verdict, usage.said, usage.move if usage.is_tight else "")


def _finding(check: str, verdict: Verdict, said: str, move: str = "") -> Finding:
    sentence = f"{said[:1].upper()}{said[1:]}"
    return Finding(check=check, verdict=verdict, said=sentence if sentence.endswith(".") else f"{sentence}.", move=move)
