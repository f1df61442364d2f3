"""What the console reads, with the functions that `relayctl` reads it with. None of it writes anything."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock
from typing import Any

import click

from console.feed import ReadFailed
from console.log_state import MOST_EVENTS, LogState
from console.rows import nobody_named
from console.watched import WatchedTarget, denied_permission, watched
from relay import vendors
from relay.config.model import Config
from relay.config.store import ConfigStore
from relay.errors import TableUnavailable
from relay.occupancy.days import operating_day
from relay.reconciliation.runs import Runs, State
from relay.reconciliation.schedule import interval_of
from relay.time_off.submission import Employee
from relay.vendors.support.memory import VendorMemory
from relayctl import dead_letters, employees, ledger, tracing, wording
from relayctl.dead_letters import Reading
from relayctl.event_log import EventLog, Follower, LoggedEvent
from relayctl.network import AWS_ERRORS
from relayctl.target import Target
from relayctl.tracing import Way

CONFIG_SECONDS = 5.0
"""How old the configuration may be."""
BACK_SECONDS = 900.0
"""So far back the log is read at first; what is older follows, an hour at a time."""
HOUR = 3600.0
DAY_SECONDS = 26 * HOUR
"""So far back it is read in the end: nothing waits longer than that."""
MOST_LINES = 50_000
"""After so many older lines it is not read further back."""


@dataclass(frozen=True, slots=True)
class Places:
    """The places of the configuration, and what the ledger has of them, as `relayctl occupancy` shows it."""

    config: Config
    counts: Sequence[Mapping[str, Any]]
    readings: Sequence[Mapping[str, Any]]
    day_begins: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """A source: when it was last heard of (Unix seconds), and what its last reconciliation came to."""

    name: str
    vendor: str
    heard_at: float | None
    silent_after: float
    is_enabled: bool
    reconciliation: State | None


@dataclass(frozen=True, slots=True)
class Queues:
    """Roughly how many events wait, and how many dead letters there are."""

    waiting: int
    dead: int


class Readers:
    """Everything that is read of one relay. Raises `ReadFailed` with what an operator can do about it.

    `find` finds the relay; it is asked again after a failure, as a local relay that was started again is
    elsewhere.
    """

    def __init__(self, find: Callable[[], Target]) -> None:
        self._find = find
        self._lock = Lock()
        self._target: WatchedTarget | None = None
        self._config: ConfigStore | None = None
        self.log = Log(self)

    @property
    def target(self) -> WatchedTarget:
        """The relay. Raises `click.ClickException` where there is none."""
        with self._lock:
            if self._target is None:
                self._target = watched(self._find())
                self._config = ConfigStore(self._target.ledger())
            return self._target

    @property
    def known(self) -> Target | None:
        """The relay as it was found last; None before that."""
        return self._target

    def config(self) -> Config:
        """The configuration, some seconds old at most."""
        target = self.target
        store = self._config or ConfigStore(target.ledger())
        return store.snapshot(CONFIG_SECONDS).config

    def places(self) -> Places:
        """Each place with its count."""
        with self.reading():
            table, config = self.target.ledger(), self.config()
            counts, readings = (
                list(ledger.counts_now(table, config)),
                list(ledger.readings_now(table, config)),
            )
            now = int(time.time() * 1000)
            days = {
                site: operating_day(config, config.places[site].location_id, now) for site in config.sites
            }
            begins = {site: day.start / 1000 for site, day in days.items()}
            return Places(config, counts, readings, begins)

    def sources(self) -> list[SourceHealth]:
        """How each source does."""
        with self.reading():
            table, config = self.target.ledger(), self.config()
            keys = {name: config.key(name) for name in config.sources}
            heard = VendorMemory(table).heard_at(list(keys.values()))
            runs = Runs(table).states(list(keys.values()))
            return [
                SourceHealth(
                    name=name,
                    vendor=source.vendor,
                    heard_at=heard.get(keys[name]),
                    silent_after=source.silent_after_hours * HOUR,
                    is_enabled=source.enabled,
                    reconciliation=runs[keys[name]] if _is_asked(config, name) else None,
                )
                for name, source in config.sources.items()
            ]

    def people(self) -> list[Employee]:
        """Everybody of whom the ledger has leave, by address."""
        with self.reading():
            table, config = self.target.ledger(), self.config()
            addresses = employees.addresses(table, config, list(config.sources))
            found = employees.employees(table, addresses).values()
            return sorted(found, key=lambda employee: employee.email.casefold())

    def queues(self) -> Queues:
        """How much is in the queues."""
        with self.reading():
            target = self.target
            dead = dead_letters.numbers(target.client("sqs"), target.dead_letter_queue_url)
            return Queues(dead_letters.are_waiting(target), sum(dead))

    def letters(self, so_far: Callable[[Reading], object] = lambda _: None) -> Reading:
        """Every dead letter, without what its webhook said; `so_far` is shown those that were read by now."""
        with self.reading():
            return _without_people(
                dead_letters.read(
                    self.target,
                    fields=(*LETTER_FIELDS, "event"),
                    so_far=lambda reading: so_far(_without_people(reading)),
                )
            )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Have whatever goes wrong within be said as an operator can use it."""
        target = self._target
        try:
            yield
        except click.ClickException as error:
            raise ReadFailed(error.message) from None
        except (*AWS_ERRORS, TableUnavailable) as error:
            target = target or self._target
            permission = denied_permission(target, error)
            self.forget()
            if permission:
                raise ReadFailed(
                    f"AWS denies {permission}: have it allowed for {target and target.stack}"
                ) from None
            raise ReadFailed(f"AWS does not answer: {nobody_named(str(error))[:300]}") from None

    def forget(self) -> None:
        """Look for the relay anew: a local one that was started again is elsewhere."""
        with self._lock:
            if self._target is not None and self._target.endpoint:
                self._target = self._config = None


LETTER_FIELDS = (
    "id",
    "reason",
    "source",
    "vendor",
    "kind",
    "detail",
    "attempts",
    "first_failed_at",
    "correlation_id",
)


EVENT_FIELDS = ("form", "door", "direction", "sensor", "state", "start", "end")
"""What is shown of an event: nothing of a person."""


def _without_people(reading: Reading) -> Reading:
    return replace(reading, letters=[_nobody_in(letter) for letter in reading.letters])


def _nobody_in(letter: Mapping[str, Any]) -> dict[str, Any]:
    """A letter without the person of whom it tells."""
    event = letter.get("event")
    said = {name: event[name] for name in EVENT_FIELDS if name in event} if isinstance(event, dict) else {}
    return {**letter, "event": said, "detail": nobody_named(str(letter.get("detail", "")))}


def _is_asked(config: Config, name: str) -> bool:
    """Whether a source is reconciled on a schedule."""
    source = config.sources[name]
    return source.vendor in vendors.NAMES and interval_of(source, vendors.load(source.vendor)) is not None


def words_of(events: Sequence[LoggedEvent], find: wording.FindDoor) -> dict[str, str]:
    """What each event was, by its `log_id`. A door is looked up once, also one that is not configured."""
    once = cache(find)
    return {event.log_id: wording.what(event, once) for event in events}


@dataclass(frozen=True, slots=True)
class Lines:
    """What was read of the log: `new` events, and `older` ones from `start` (Unix seconds) on.

    `anew` says that it is the log of another relay than before.
    """

    new: Sequence[LoggedEvent]
    older: Sequence[LoggedEvent]
    words: Mapping[str, str]
    start: float
    anew: bool


class Log:
    """The log of events, read on from where it was read to last, and back into the day an hour at a time.

    `read` runs in a thread and `take` in the event loop, one after the other.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._target: WatchedTarget | None = None
        self._follower: Follower | None = None
        self._since = self._end = self._read_at = 0.0
        self._older_lines = 0
        self._doors: wording.FindDoor = wording.no_doors
        self.state = LogState(time.time())

    def read(self) -> Lines:
        """What is new, and an hour of what is old."""
        with self._readers.reading():
            target = self._readers.target
            follower = self._follower
            long_ago = time.time() - self._read_at > BACK_SECONDS
            anew = target is not self._target or follower is None or long_ago
            self._read_at = time.time()
            if anew or follower is None:
                self._since = time.time() - BACK_SECONDS
                self._end, self._older_lines = self._since - DAY_SECONDS, 0
                self._follower = follower = EventLog(target).follow(self._since)
                self._target, self._doors = target, wording.doors_of(target)
            new = follower.poll()
            older = [] if anew else self._older(target)
            words = words_of((*older, *new)[-MOST_EVENTS:], self._doors)
            return Lines(new, older, words, self._since, anew)

    def _older(self, target: Target) -> list[LoggedEvent]:
        if self._since <= self._end or self._older_lines > MOST_LINES:
            return []
        start = max(self._since - HOUR, self._end)
        older = EventLog(target).since(start, self._since)
        self._older_lines += len(older)
        self._since = start
        return older

    def take(self, lines: Lines) -> LogState:
        """Take in what was read: what is known of events by now."""
        if lines.anew:
            self.state = LogState(lines.start)
        self.state.add(lines.new)
        self.state.add_older(lines.older, lines.start)
        self.state.say(lines.words)
        return self.state

    def trace(self, event: LoggedEvent) -> list[Way]:
        """The whole way of each event that came with this one, as `relayctl trace` shows it."""
        with self._readers.reading():
            target = self._readers.target
            lines = EventLog(target).find(event.delivery, event.received_at)
            return tracing.ways(lines or [event], target)
