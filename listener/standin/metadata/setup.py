"""What is deployed to the org, and the deploy itself: all of a zip comes into force, or none of it.

A component that the org would refuse becomes a `Failure`, with the words of the org where they are public. The order
is that of what builds on what, whatever the order in the zip.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from xml.etree import ElementTree as ET

from listener.standin.channels import Channel, Member
from listener.standin.metadata import fields, flows, parts, screens
from listener.standin.metadata.archive import Archive, Component
from listener.standin.metadata.grants import PermissionSet, permission_set_of
from listener.standin.metadata.parts import Refused, Shared
from listener.standin.schema import BeforeSave, Field, Schema, Sobject, ValidationRule

#: The org gives out key prefixes as objects are made; ours begins where the documentation's samples of intake do.
KEY_PREFIXES = tuple(f"a0{letter}" for letter in "PQRSTUVWXYZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A component that cannot be deployed, and why."""

    component: Component
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What became of a deploy. With failures nothing of it came into force."""

    components: tuple[Component, ...]
    created: frozenset[tuple[str, str]]
    failures: tuple[Failure, ...]

    @property
    def success(self) -> bool:
        return not self.failures


@dataclass(slots=True)
class _State:
    """Everything deployed, by name."""

    objects: dict[str, Sobject]
    rules: dict[str, ValidationRule | None] = field(default_factory=dict)
    flows: dict[str, tuple[str, BeforeSave | None]] = field(default_factory=dict)
    permission_sets: dict[str, PermissionSet] = field(default_factory=dict)
    custom_permissions: set[str] = field(default_factory=set)
    groups: dict[str, str] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)
    members: dict[str, tuple[str, str, Member]] = field(default_factory=dict)
    shared: dict[str, list[Shared]] = field(default_factory=dict)
    present: set[tuple[str, str]] = field(default_factory=set)

    def copy(self) -> "_State":
        """One whose collections may be changed; what is in them never is."""
        return _State(**{name: getattr(self, name).copy() for name in self.__dataclass_fields__})


class Setup:
    """The org's metadata. `on_deployed` is called after a deploy came into force."""

    def __init__(self, schema: Schema, clock: Callable[[], datetime]) -> None:
        self.schema = schema
        self.on_deployed: list[Callable[[], None]] = []
        self._clock = clock
        self._state = _State(objects=dict(schema.objects))

    @property
    def permission_sets(self) -> Iterable[PermissionSet]:
        return self._state.permission_sets.values()

    @property
    def groups(self) -> dict[str, str]:
        """Public groups: developer name -> label."""
        return self._state.groups

    @property
    def shared(self) -> list[Shared]:
        return [one for rules in self._state.shared.values() for one in rules]

    @property
    def channels(self) -> list[Channel]:
        """Custom channels with their members."""
        members = self._state.members.values()
        return [
            Channel(name=name, members={o: member for channel, o, member in members if channel == name})
            for name in sorted(self._state.channels)
        ]

    @property
    def members(self) -> dict[str, tuple[str, str, Member]]:
        """Members of custom channels by their component's name: the channel, the object, and what is asked of it."""
        return self._state.members

    def deploy(self, archive: Archive, *, check_only: bool = False) -> Deployed:
        """Checks everything; without failures, and unless *check_only*, it is in force afterwards."""
        deploy = _Deploy(self._state.copy(), archive, self._clock)
        state = deploy.run()
        done = Deployed(
            components=archive.components,
            created=frozenset((c.kind, c.name) for c in archive.components) - self._state.present,
            failures=tuple(deploy.failures),
        )
        if done.success and not check_only:
            self._state = state
            for sobject in state.objects.values():
                self.schema.put(sobject)
            for listener in self.on_deployed:
                listener()
        return done


class _Deploy:
    """One deploy on a copy of the state."""

    def __init__(self, state: _State, archive: Archive, clock: Callable[[], datetime]) -> None:
        self.failures: list[Failure] = []
        self._state = state
        self._archive = archive
        self._clock = clock

    def run(self) -> _State:
        state = self._state
        self._whole()
        for one in self._of("CustomPermission"):
            state.custom_permissions.add(one.name)
        for one in self._of("Group"):
            state.groups[one.name] = one.text("name") or one.name
        self._objects()
        schema, permissions = Schema(state.objects.values()), frozenset(state.custom_permissions)
        for one in self._of("ValidationRule"):
            with self._refusing(one):
                sobject = self._object(one)
                state.rules[one.name] = parts.validation_rule_of(one, sobject, permissions)
        for one in self._of("Flow"):
            with self._refusing(one):
                sobject = flows.object_of(one, schema)
                state.flows[one.name] = (sobject.name, flows.before_save_of(one, sobject, permissions))
        for one in self._of("PermissionSet"):
            with self._refusing(one):
                state.permission_sets[one.name] = permission_set_of(one, schema, permissions)
        for one in self._of("SharingRules"):
            with self._refusing(one):
                state.shared[one.name] = parts.shared_of(one, schema, frozenset(state.groups))
        self._channels(schema)
        for one in self._archive.components:
            if one.kind in screens.KEPT and one.problem is None:
                with self._refusing(one):
                    screens.check(one, schema)
        self._finish()
        return state

    def _whole(self) -> None:
        """Every component is one that is known and could be read, and what package.xml names is there."""
        known = screens.KEPT | {
            "CustomField", "CustomObject", "CustomPermission", "Flow", "Group", "PermissionSet", "PlatformEventChannel",
            "PlatformEventChannelMember", "SharingOwnerRule", "SharingRules", "ValidationRule",
        }  # fmt: skip
        there: set[tuple[str, str]] = set()
        for one in self._archive.components:
            there.add(one.listed)
            if one.problem:
                self.failures.append(Failure(component=one, problem=one.problem))
            elif one.kind not in known:
                self.failures.append(Failure(component=one, problem=f"The stand-in org takes no {one.kind}"))
        for kind, names in self._archive.named.items():
            for name in sorted(names - {"*"}):
                if not {(kind, name), (kind, f"{name}/")} & there:  # a folder may be named with or without its slash
                    absent = Component(kind=kind, name=name, file="package.xml", xml=ET.Element("none"))
                    message = f"An object '{name}' of type {kind} was named in package.xml"
                    self.failures.append(
                        Failure(component=absent, problem=f"{message}, but was not found in zipped directory")
                    )

    def _objects(self) -> None:
        state = self._state
        for one in self._of("CustomObject"):
            before = state.objects.get(one.name)
            if before is not None and (not one.name.endswith("__c") or not one.text("label")):
                continue  # a standard object, or the file of an object's parts
            with self._refusing(one):
                prefix = before.key_prefix if before else KEY_PREFIXES[self._custom_objects()]
                made = fields.object_of(one, prefix)
                kept = before.fields if before else {}
                state.objects[one.name] = replace(made, fields={**made.fields, **kept, "Name": made.fields["Name"]})
        added = list(self._of("CustomField"))
        for one in added:
            with self._refusing(one):
                self._put_field(one, fields.field_of(one))
        for one in added:  # a formula may look at any field of the object
            sobject = state.objects.get(one.object_name)
            f = sobject.fields.get(one.short) if sobject else None
            if sobject is not None and f is not None:
                with self._refusing(one):
                    self._put_field(one, fields.with_formula(one, f, sobject, self._clock))

    def _put_field(self, component: Component, f: Field) -> None:
        sobject = self._object(component)
        self._state.objects[sobject.name] = replace(sobject, fields={**sobject.fields, f.name: f})

    def _custom_objects(self) -> int:
        return sum(name.endswith("__c") for name in self._state.objects)

    def _object(self, component: Component) -> Sobject:
        sobject = self._state.objects.get(component.object_name)
        if sobject is None:
            raise Refused(f"no CustomObject named {component.object_name} found")
        return sobject

    def _channels(self, schema: Schema) -> None:
        for one in self._of("PlatformEventChannel"):
            with self._refusing(one):
                self._state.channels.add(parts.channel_name(one))
        for one in self._of("PlatformEventChannelMember"):
            with self._refusing(one):
                member = parts.member_of(one, schema, frozenset(self._state.channels))
                others = {name: (c, o) for name, (c, o, _) in self._state.members.items() if name != one.name}
                if member[:2] in others.values():
                    raise Refused(f"DUPLICATE_VALUE: {one.text('selectedEntity')} is selected on this channel already")
                self._state.members[one.name] = member

    def _finish(self) -> None:
        """Hands rules and flows to their objects; one that a channel carries tells of its changes."""
        state = self._state
        for name, sobject in state.objects.items():
            state.objects[name] = replace(
                sobject,
                rules=tuple(r for full, r in state.rules.items() if r and full.partition(".")[0] == name),
                flows=tuple(f for of, f in state.flows.values() if f and of == name),
                tracked=any(of == name for _, of, _ in state.members.values()),
            )
        state.present |= {(one.kind, one.name) for one in self._archive.components}

    def _of(self, kind: str) -> Iterator[Component]:
        return (one for one in self._archive.components if one.kind == kind and one.problem is None)

    @contextmanager
    def _refusing(self, component: Component) -> Iterator[None]:
        try:
            yield
        except Refused as exc:
            self.failures.append(Failure(component=component, problem=str(exc)))
