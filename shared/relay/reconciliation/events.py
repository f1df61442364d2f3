"""Reconciles what happened at doors and sensors today: queues what the ledger has not heard of.

What is known already, or older than what is known, changes nothing, and is not queued.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.aws.table import Key
from relay.config.model import Config
from relay.config.store import TAKEN_UP_SECONDS
from relay.events import BadgeEvent, Event, SensorReading, milliseconds
from relay.invocation import Invocation
from relay.occupancy.around import badge_marker
from relay.occupancy.days import Day, operating_day
from relay.occupancy.positions import position_key, position_of
from relay.occupancy.readings import sensor_name
from relay.occupancy.rules import Badge, anonymous, through
from relay.occupancy.sensors import reading_marker
from relay.reconciliation.run import SourceRun
from relay.reconciliation.runs import Run, State
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.base import Vendor, VendorApi
from relay.vendors.support.listing import EventList, Page, Span

OVERLAP_MS = 15 * 60 * 1000
"""So much of what was listed before is listed again: vendors list some events late."""


@dataclass(frozen=True, slots=True)
class _Passage:
    """A badge event with its person hashed, as it counts in today's operating day."""

    event: BadgeEvent
    badge: Badge
    day: Day


class EventReconciliation(SourceRun):
    """One run of one source of badges or readings. Raises `TableUnavailable` and `QueueUnavailable`."""

    family = "access-control"
    kind = "occupancy"

    def __init__(
        self, invocation: Invocation, name: str, vendor: Vendor, lists: EventList, wishes: Wishes
    ) -> None:
        super().__init__(invocation, name, vendor, wishes)
        self._lists = lists

    def begun(self, run: Run, state: State) -> Run:
        """A run of what happened since the last that read its list to the end, and today."""
        now = round(self.invocation.now() * 1000)
        config = self.invocation.config
        # The counts of a day that is over are closed: its badges change nothing any more.
        starts = [operating_day(config, site, now).start for site in config.site_ids]
        since = min(starts, default=now)
        # Until every function has taken a push up, badges may still have counted in shadow.
        live_since = config.lineage.live_since.get(self.key, 0) + TAKEN_UP_SECONDS * 1000
        if state.by_hand and state.last_read >= live_since:
            # Before that nothing of what was listed was counted. What that run could not read no other can.
            since = max(since, state.last_read - OVERLAP_MS)
        return replace(run, first=str(since), last=str(run.began))

    def reconcile(self) -> None:
        """Read the list, and queue what is news."""
        while self.may_read_on:
            page = self._page()
            news = self._news(page.events)
            if not self.changes_nothing:
                self.queue(news)
            self.report.listed += len(page.events)
            self.wishes.progress(self.report.listed)
            self.note_page((), page.following, events=page.events, found=len(news))
        if not self.current.is_read:
            self.pause()
            return
        if self.is_unreadable:
            self.finish_unreadable()
            return
        self.finish("complete")

    def _page(self) -> Page:
        run = self.current
        counting = self.invocation.config.sources[self.name].counting
        span = Span(since=int(run.first) / 1000, until=int(run.last) / 1000, counting=counting)
        following = run.following or None

        def ask(api: VendorApi) -> Page:
            return self._lists.page(api, span, following)

        return self.pages.page(ask, following)

    def _news(self, events: Sequence[Event]) -> list[Event]:
        badges = [event for event in events if isinstance(event, BadgeEvent)]
        readings = [event for event in events if isinstance(event, SensorReading)]
        return [*self._new_badges(badges), *self._new_readings(readings)]

    def _new_badges(self, events: Sequence[BadgeEvent]) -> list[Event]:
        """The badges of today that move somebody, as far as the ledger knows."""
        passages: list[_Passage] = []
        for event in events:
            passage = self._passage(event)
            if passage is not None:
                passages.append(passage)
        keys = {(one.day, one.badge.person): position_key(one.day, one.badge.person) for one in passages}
        found = self.invocation.table.get(list(keys.values()))
        newer: list[tuple[Key, Event]] = []
        for one in passages:
            position = position_of(found.get(keys[one.day, one.badge.person]))
            if not position.reason_to_ignore(one.badge):
                newer.append((badge_marker(one.badge, one.day), one.event))
        return self._unmarked(newer)

    def _unmarked(self, newer: Sequence[tuple[Key, Event]]) -> list[Event]:
        """Of events that are newer than what is known, and the keys of their markers, those without one.

        An event of a fast clock counted as of its receipt, so that it stays newer than what it has set.
        """
        known = self.invocation.table.get([key for key, _ in newer]) if newer else {}
        return [event for key, event in newer if key not in known]

    @property
    def is_shadowed(self) -> bool:
        """Whether what the source tells is kept apart from what live ones do."""
        return self.invocation.config.is_shadowed(self.name)

    def _passage(self, event: BadgeEvent) -> _Passage | None:
        """A badge at a door that is configured, where it is of a day that is not over."""
        if event.person is None or event.undated:
            return None
        door = self.invocation.configuration.door(self.name, event.door)
        config = self.invocation.config
        if door is None or door.place not in config.places:
            # A webhook tells of it, and its dead letter; a list would tell of it every quarter of an hour.
            self.report.unmapped += 1
            return None
        now = self.invocation.now()
        named = anonymous(event, self.key, self.invocation.secrets.person_key())
        badge = through(named, door, self.key, now, config)
        day = operating_day(config, _site(badge, config), badge.at)
        day = day.for_source(shadowed=self.is_shadowed)
        is_today = day.start <= now * 1000 < day.end
        return _Passage(named, badge, day) if is_today else None

    def _new_readings(self, events: Sequence[SensorReading]) -> list[Event]:
        """The readings that are newer than what is known of their sensor."""
        places: dict[str, str] = {}
        for event in events:
            sensor = self.invocation.configuration.sensor(self.name, event.sensor)
            config = self.invocation.config
            if sensor is None or sensor.place not in config.places:
                self.report.unmapped += 1
                continue
            places[event.sensor] = config.places[sensor.place].location_id
        known = self.invocation.readings.of_places(list(places.values()), shadow=self.is_shadowed)
        newer: list[tuple[Key, Event]] = []
        for event in events:
            if event.sensor not in places:
                continue
            state = known[places[event.sensor]].sensors.get(sensor_name(self.key, event.sensor))
            if state is None or milliseconds(event.at) > state.at:
                newer.append((reading_marker(event, self.key, shadow=self.is_shadowed), event))
        return self._unmarked(newer)


def _site(badge: Badge, config: Config) -> str:
    return config.around(badge.place)[-1]
