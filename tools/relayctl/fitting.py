"""Whether an event fits the configuration that it is sent to, and which command would."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay import vendors
from relay.config.file import RelayYaml
from relay.config.model import Config, Door, Place, Sensor, Source
from relay.config.store import Configuration
from relay.events import BadgeEvent, Event, LeaveChange, SensorReading
from relay.vendors.support.base import Vendor
from relayctl import samples
from relayctl.changes import door_of, read

Entries = Mapping[str, Door] | Mapping[str, Sensor]


@dataclass(frozen=True)
class Misfit:
    """What of an event the configuration does not know, and what would fit: a command, or what to do."""

    what: str
    fitting: str = ""

    def __str__(self) -> str:
        return f"{self.what}; this fits: {self.fitting}" if self.fitting else self.what


def misfits(
    vendor: Vendor,
    name: str,
    found: Sequence[Event],
    configuration: Configuration,
    whole: Callable[[], RelayYaml],
) -> Iterator[Misfit]:
    """What of a vendor's events does not fit the source of that name; `whole` reads every door there is."""
    source = configuration.config.sources[name]
    if source.vendor != vendor.name:
        command = f"relayctl send {source.vendor} --source {name}"
        yield Misfit(f"{name!r} is a source of {source.vendor}, not of {vendor.name}", command)
        return
    if not source.enabled:
        what = f"{name!r} has `enabled: false`: the answer is `ignored`"
        yield Misfit(what, first_command(whole()) or "")
    for event in found:
        yield from _unmapped(vendor, name, event, configuration, whole)
        if isinstance(event, LeaveChange):
            yield from _of_leave(vendor, name, source, event)


def _unmapped(
    vendor: Vendor, name: str, event: Event, configuration: Configuration, whole: Callable[[], RelayYaml]
) -> Iterator[Misfit]:
    match event:
        case BadgeEvent() if configuration.door(name, event.door) is None:
            what = f"the door {event.door!r} of {name!r} has no place"
        case SensorReading() if configuration.sensor(name, event.sensor) is None:
            what = f"the sensor {event.sensor!r} of {name!r} has no place"
        case _:
            return
    yield Misfit(what, command_for(whole(), name, vendor) or "")


def _of_leave(vendor: Vendor, name: str, source: Source, change: LeaveChange) -> Iterator[Misfit]:
    if "timeOffTypes" not in vendor.keys or change.type_name is None or change.state != "approved":
        return
    if not source.maps(change.type_name):
        what = f"`timeOffTypes` of {name!r} has no {change.type_name!r}: Calven is told `leave`"
        yield Misfit(what)


def first_command(relay: RelayYaml, usable: Callable[[str], bool] = lambda _: True) -> str | None:
    """A `relayctl send` that works with a configuration; at a door or sensor, if there is one."""
    first = sorted(relay.sources, key=lambda name: name not in relay.doors and name not in relay.sensors)
    for name in first:
        source = relay.sources[name]
        vendor = vendors.load(source.vendor)
        if source.enabled and usable(name) and (command := command_for(relay, name, vendor)):
            return command
    return None


def command_for(relay: RelayYaml, name: str, vendor: Vendor) -> str | None:
    """The same for one source: with a door or sensor of its own, where the sample's has no place."""
    if not vendor.sends_webhooks:
        return None
    for sample in samples.names(vendor.name):
        body, topic = samples.body(vendor.name, sample), samples.topic(vendor, sample)
        for event in read(vendor, body, topic):
            arguments = _arguments(relay, name, vendor, event)
            if arguments is not None:
                first = samples.names(vendor.name)[0]
                chosen = [] if sample == first else [sample]
                return shlex.join(["relayctl", "send", vendor.name, *chosen, *arguments])
    return None


def _arguments(relay: RelayYaml, name: str, vendor: Vendor, event: Event) -> list[str] | None:
    """The options with which an event fits a source; None where it never does."""
    of_vendor = [other for other, source in relay.sources.items() if source.vendor == vendor.name]
    source = [] if of_vendor[0] == name else ["--source", name]
    if door_of(event) is None:
        # What a thin event is about, and at which door, is not in it.
        return source if "hris" in vendor.families and not isinstance(event, BadgeEvent) else None
    entries: Entries = (relay.doors if isinstance(event, BadgeEvent) else relay.sensors).get(name, {})
    if not entries:
        return None
    if door_of(event) in entries:
        return source
    return [*source, "--door", next(iter(entries))] if "door" in vendor.subjects.values() else None


def site_of(found: Sequence[Event], name: str, configuration: Configuration) -> Place | None:
    """The site at which events are: that of their first known door or sensor, else the only one there is."""
    config: Config = configuration.config
    for event in found:
        where = door_of(event)
        entry = where and (configuration.door(name, where) or configuration.sensor(name, where))
        if entry:
            return config.places[config.site(entry.place)]
    return config.places[config.sites[0]] if len(config.sites) == 1 else None
