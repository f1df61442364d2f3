"""Sensor readings: passed on as they are, none twice, none after a newer one of its place."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.config.store import MAX_AGE_SECONDS
from relay.deadline import QUEUE_RESERVE_SECONDS, Deadline
from relay.envelope import Envelope
from relay.errors import Contended
from relay.events import SensorReading
from relay.occupancy.days import KEPT_SECONDS
from relay.occupancy.readings import MAX_IDS, SILENT_AFTER_MS, WatchedPlace, after_reading
from relay.occupancy.reported import Reports, reading_key
from relay.occupancy.rules import Fact
from relay.occupancy.sensors import Readings
from tests.building import CONFIG, NOON_MS
from tests.moto_table import FEW, Ledger
from tests.rig import NOON, Rig

RECEIVED = NOON + 3600
LATE = Deadline(NOON + 3600 * 24, lambda: NOON)
YAML = """
sources:
  vergesense: {vendor: kisi}
  lenient: {vendor: kisi, unmappedDoors: ignore}
places:
  hq: {locationId: id-hq, locationType: location, timezone: Australia/Sydney}
  boardroom: {locationId: id-boardroom, locationType: space, within: hq}
sensors:
  vergesense: {"EG7859.43": {place: boardroom}}
"""


def reading(
    event_id: str, second: float = 0, people: int | None = 3, occupied: bool | None = None, **more: Any
) -> SensorReading:
    """What the boardroom's sensor saw, so many seconds after noon."""
    at = datetime.fromtimestamp(NOON + second, UTC)
    sensor = more.pop("sensor", "EG7859.43")
    return SensorReading(event_id=event_id, at=at, sensor=sensor, people=people, occupied=occupied)


def anywhere(source: str, sensor: str) -> bool:
    """Each sensor is configured for the place."""
    return bool(source and sensor)


class Watched(Ledger):
    """A ledger of one place, `l1-a`, and all that Calven was told of it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Fact] = []

    def read(self, one: SensorReading, *, tell: bool = True) -> tuple[list[Fact], str]:
        """Settle a reading in a new container, and tell Calven."""
        readings = Readings(self.table, self.clock)
        facts, reason = readings.settle(one, "vergesense", "l1-a", RECEIVED, CONFIG, anywhere, LATE)
        if tell:
            self.tell(facts)
        return facts, reason

    def tell(self, facts: Sequence[Fact]) -> None:
        """Calven accepts these facts."""
        self.told += facts
        Reports(self.table).mark_reported(facts)


@pytest.fixture
def ledger() -> Iterator[Watched]:
    """An empty ledger at noon."""
    with Watched() as empty:
        yield empty


def shown(facts: Sequence[Fact]) -> list[tuple[int | None, bool | None, int]]:
    """What facts say: people, whether there is anybody, milliseconds after noon."""
    return [(fact.people, fact.occupied, fact.at - NOON_MS) for fact in facts]


@pytest.mark.parametrize(
    ("people", "occupied", "said"),
    [
        (3, None, {"occupied": True, "occupancy": 3}),
        (0, None, {"occupied": False, "occupancy": 0}),
        (None, True, {"occupied": True}),
        (None, False, {"occupied": False}),
        (0, True, {"occupied": False, "occupancy": 0}),
        (5, False, {"occupied": True, "occupancy": 5}),
    ],
)
def test_as_it_is(ledger: Watched, people: int | None, occupied: bool | None, said: dict[str, Any]) -> None:
    """A count, or a state without a count, is passed on with its own time."""
    [fact], _ = ledger.read(reading("e1", 1.5, people, occupied))
    payload = fact.payload(CONFIG)
    assert payload == {
        "timestamp": "2026-11-04T04:00:01.500Z",
        "locationId": "l1-a",
        "locationType": "zone",
        "eventId": fact.event_id,
        **said,
    }


def test_says_nothing() -> None:
    """A reading that has neither a count nor a state is none."""
    with pytest.raises(ValidationError):
        reading("e1", people=None)


@pytest.mark.parametrize("people", [-1, 1_000_001])
def test_impossible(people: int) -> None:
    """A count below zero, or of more people than any place holds, is no reading."""
    with pytest.raises(ValidationError):
        reading("e1", people=people)


def test_every_reading(ledger: Watched) -> None:
    """Each newer reading is told, also when it says the same."""
    for second in range(3):
        ledger.read(reading(f"e{second}", second))
    assert shown(ledger.told) == [(3, True, 0), (3, True, 1000), (3, True, 2000)]


def test_duplicate(ledger: Watched) -> None:
    """A reading is told once, also when it comes again after a newer one."""
    ledger.read(reading("e1"))
    assert ledger.read(reading("e1")) == ([], "duplicate")
    ledger.read(reading("e2", 1))
    assert ledger.read(reading("e1")) == ([], "duplicate")


def test_superseded(ledger: Watched) -> None:
    """A reading older than the last one told never overwrites it."""
    ledger.read(reading("e2", 1))
    assert ledger.read(reading("e1")) == ([], "superseded")


def test_recomputed(ledger: Watched) -> None:
    """Of readings of one instant the last received counts: it is told right after the others, once each."""
    for number, people in enumerate((3, 4, 5)):
        ledger.read(reading(f"e{number}", 1, people))
    assert shown(ledger.told) == [(3, True, 1000), (4, True, 1001), (5, True, 1002)]
    assert ledger.read(reading("e0", 1, 3)) == ([], "duplicate")
    ledger.read(reading("e3", 1.001, 6))
    assert shown(ledger.told)[-1] == (6, True, 1003)


def test_from_the_future(ledger: Watched) -> None:
    """A time later than the receipt counts as the receipt: one wrong clock freezes no place."""
    [fact], _ = ledger.read(reading("e1", 86400))
    assert fact.at == NOON_MS + 3600_000
    assert ledger.read(reading("e2", 7200))[0]


def test_unreported(ledger: Watched) -> None:
    """What was not reported is told again, under the same id, by a duplicate and by an older reading."""
    first, _ = ledger.read(reading("e2", 1), tell=False)
    assert ledger.read(reading("e2", 1), tell=False) == (first, "duplicate")
    assert ledger.read(reading("e1")) == (first, "superseded")
    assert ledger.read(reading("e1")) == ([], "superseded")


def test_pending(ledger: Watched) -> None:
    """The schedule tells what nobody has told for a minute, once, with the source that saw it."""
    first, _ = ledger.read(reading("e1"), tell=False)
    readings = Readings(ledger.table, ledger.clock)
    ledger.clock.advance(59)
    assert readings.pending() == []
    ledger.clock.advance(2)
    assert readings.pending() == [("vergesense", first[0])]
    Reports(ledger.table).mark_queued(first)
    assert readings.pending() == []
    assert ledger.read(reading("e1")) == (first, "duplicate")
    ledger.read(reading("e2", 0.5), tell=False)
    assert [fact.at for _, fact in readings.pending()] == [NOON_MS + 500]


def test_requests(ledger: Watched) -> None:
    """A reading takes a read, a write and the note that it was told; one that is not told, a read.

    The first of a sensor at its place takes a second read.
    """
    writes = ["UpdateItem", "UpdateItem"]
    for second, made in (
        (1, ["BatchGetItem", "BatchGetItem", *writes]),
        (2, ["BatchGetItem", *writes]),
        (0, ["BatchGetItem"]),
    ):
        ledger.requests.clear()
        ledger.read(reading(f"e{second}", second))
        assert ledger.requests == made


def test_item_expires(ledger: Watched) -> None:
    """What was last told of a place expires 16 days after, and holds only so many ids."""
    for number in range(MAX_IDS + 2):
        ledger.read(reading(f"e{number}", number))
    item = ledger.item(reading_key("l1-a"))
    assert item
    assert item["expires_at"] == NOON + MAX_IDS + 1 + KEPT_SECONDS
    [(_, _, _, ids)] = item["sensors"].values()
    assert len(ids) == MAX_IDS


def test_several_sensors(ledger: Watched) -> None:
    """A place is told the sum of its sensors' counts, and is occupied while any of them is."""
    ledger.read(reading("a1", 0, 5, sensor="a"))
    ledger.read(reading("b1", 1, 3, sensor="b"))
    ledger.read(reading("a2", 2, 0, sensor="a"))
    assert ledger.read(reading("a1", 0, 5, sensor="a")) == ([], "duplicate")
    ledger.read(reading("b2", 3, None, occupied=False, sensor="b"))
    ledger.read(reading("c1", 4, None, occupied=True, sensor="c"))
    ledger.read(reading("b3", 5, 0, sensor="b"))
    said = [(people, occupied) for people, occupied, _ in shown(ledger.told)]
    assert said == [(5, True), (8, True), (3, True), (None, False), (None, True), (None, True)]


def test_silent_sensor(ledger: Watched) -> None:
    """Of several sensors one that has been silent for a day counts no more; a single one does."""
    day = SILENT_AFTER_MS / 1000
    ledger.read(reading("a1", 3600 - day - 1, 5, sensor="a"))
    ledger.read(reading("b1", 0, 3, sensor="b"))
    ledger.read(reading("c1", 1, 1, sensor="c"))
    assert [people for people, _, _ in shown(ledger.told)] == [5, 3, 4]


def test_stale_sensor_that_waited(ledger: Watched) -> None:
    """A reading that waited for days behind what came since adds nothing to it."""
    now = 3 * SILENT_AFTER_MS / 1000
    readings = Readings(ledger.table, ledger.clock)
    for event, second, people, sensor in (("b1", now, 1, "b"), ("a1", 0, 4, "a")):
        one, received_at = reading(event, second, people, sensor=sensor), NOON + second
        facts, _ = readings.settle(one, "vergesense", "l1-a", received_at, CONFIG, anywhere, LATE)
        ledger.tell(facts)
    assert [people for people, _, _ in shown(ledger.told)] == [1, 1]


def test_sensors_that_never_count_leave_no_count(ledger: Watched) -> None:
    """Where all have been silent for a day, nobody is there, but no count is told of what never counts."""
    day = SILENT_AFTER_MS / 1000
    ledger.read(reading("a1", 3500 - day, None, occupied=True, sensor="a"))
    ledger.read(reading("b1", 3550 - day, None, occupied=True, sensor="b"))
    assert [said[:2] for said in shown(ledger.told)] == [(None, True), (None, False)]


def test_sensor_that_left(ledger: Watched) -> None:
    """A sensor that is not configured for the place any more does not count."""
    ledger.read(reading("a1", 0, 5, sensor="a"))
    readings = Readings(ledger.table, ledger.clock)
    only_b = {"b"}
    facts, _ = readings.settle(
        reading("b1", 1, 3, sensor="b"),
        "vergesense",
        "l1-a",
        RECEIVED,
        CONFIG,
        lambda _, sensor: sensor in only_b,
        LATE,
    )
    assert shown(facts) == [(3, True, 1000)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 9)), max_size=9))
def test_sum_in_any_order(found: list[tuple[str, int, int]]) -> None:
    """In whatever order readings arrive, the place ends with the sum of each sensor's newest one."""
    last, newest = WatchedPlace(), dict[str, tuple[int, int]]()
    for number, (sensor, second, people) in enumerate(found):
        one = reading(f"e{number}", second, people, sensor=sensor)
        last, _ = after_reading(last, one, "vergesense", "l1-a", RECEIVED)
        if second >= newest.get(sensor, (0, 0))[0]:
            newest[sensor] = second, people
    if found:
        assert last.people == sum(people for _, people in newest.values())


def test_conflict(ledger: Watched) -> None:
    """A reading that a newer one overtakes between reading and writing is superseded."""
    other = Readings(ledger.other, ledger.clock)
    newer = reading("e2", 1)
    ledger.before(
        "UpdateItem", lambda: other.settle(newer, "vergesense", "l1-a", RECEIVED, CONFIG, anywhere, LATE)
    )
    facts, reason = ledger.read(reading("e1"))
    assert reason == "superseded"
    assert [fact.at for fact in facts] == [NOON_MS + 1000]


def test_contended(ledger: Watched) -> None:
    """When others keep writing until no time is left, the reading is for later."""
    soon = Deadline(NOON + QUEUE_RESERVE_SECONDS + 0.05, lambda: NOON)
    ledger.fail("UpdateItem", {"Error": {"Code": "ConditionalCheckFailedException"}})
    with pytest.raises(Contended):
        Readings(ledger.table, ledger.clock).settle(
            reading("e1"), "vergesense", "l1-a", RECEIVED, CONFIG, anywhere, soon
        )


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=8).flatmap(st.permutations))
def test_any_order(found: list[tuple[int, int]]) -> None:
    """Whatever order readings arrive in: times told increase, and the newest reading is the last one told."""
    last, told = WatchedPlace(), list[Fact]()
    for second, people in found:
        last, reason = after_reading(
            last, reading(f"e{second}-{people}", second, people), "vergesense", "l1-a", RECEIVED
        )
        told += [] if reason else last.pending_facts("l1-a")
    assert all(after.at > before.at for before, after in pairwise(told))
    assert len({fact.event_id for fact in told}) == len(told)
    if found:
        newest = max(second for second, _ in found)
        assert (newest, told[-1].people) in found
        assert last.people == told[-1].people


@FEW
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5, unique=True), st.integers(1, 12))
def test_crash(seconds: list[int], requests_until: int) -> None:
    """After a crash at any request, delivering the reading again ends with the newest one told."""
    with Watched() as ledger:
        left = iter(range(requests_until - 1, -1, -1))

        def crash_at_last(**_: object) -> None:
            if next(left, None) == 0:
                raise KeyboardInterrupt

        ledger.client.meta.events.register("before-call.dynamodb", crash_at_last)
        for second in seconds:
            try:
                ledger.read(reading(f"e{second}", second, second))
            except KeyboardInterrupt:
                ledger.read(reading(f"e{second}", second, second))
        assert max(ledger.told, key=lambda fact: fact.at).people == max(seconds)


def envelope(one: SensorReading, source: str = "vergesense") -> Envelope:
    """A reading that waits in the Unprocessed queue."""
    received_at = datetime.fromtimestamp(NOON + 60, UTC)
    return Envelope(source=source, vendor="kisi", kind="occupancy", received_at=received_at, event=one)


@pytest.fixture
def watched(rig: Rig, tmp_path: Path) -> Rig:
    """A relay whose building has a boardroom with a sensor."""
    rig.push(YAML, tmp_path)
    rig.clock.advance(MAX_AGE_SECONDS + 1)
    return rig


def deliver(rig: Rig, *some: Envelope) -> None:
    """Put envelopes into the Unprocessed queue, and have the retry function take them."""
    rig.relay.queues.retry_later([(one, 0) for one in some])
    rig.retry()


def test_forwarded(watched: Rig) -> None:
    """Readings reach Calven in one request, under their source, with what they say."""
    deliver(watched, envelope(reading("e1", 0)), envelope(reading("e2", 1, None, occupied=False)))
    [request] = watched.requests("/v1/occupancy")
    assert request["body"]["sourceId"] == "vergesense"
    assert [event.get("occupancy") for event in watched.calven()] == [3, None]
    assert [event["occupied"] for event in watched.calven()] == [True, False]


@pytest.mark.parametrize("sensor", ["other", "EG7859.43 "])
def test_unmapped(watched: Rig, sensor: str) -> None:
    """A reading of a sensor that is not configured is a dead letter that names it, or ignored if so told."""
    unknown = reading("e1", sensor=sensor)
    deliver(watched, envelope(unknown), envelope(unknown, source="lenient"))
    [dead] = watched.dead_letters()
    assert (dead["source"], dead["reason"]) == ("vergesense", "unmapped_door")
    assert dead["detail"] == f"sensor {sensor} is not configured"


def test_healed_by_configuration(watched: Rig, tmp_path: Path) -> None:
    """A sensor that is configured a moment before its first reading is found."""
    watched.clock.advance(6)
    watched.push(YAML.replace("EG7859.43", "EG1"), tmp_path)
    deliver(watched, envelope(reading("e1", sensor="EG1")))
    assert watched.counts() == {"boardroom": 3}


def test_outage(watched: Rig) -> None:
    """Readings of an outage arrive complete once Calven is back; nothing is then left for the schedule."""
    watched.fail("503")
    some = (reading("e1", 0, 1), reading("e2", 1, None, occupied=True), reading("e3", 2, 2))
    deliver(watched, *map(envelope, some))
    watched.recover()
    watched.retry()
    history = {event["timestamp"][17:19]: event.get("occupancy") for event in watched.calven()}
    assert history == {"00": 1, "01": None, "02": 2}
    assert watched.counts() == {"boardroom": 2}
    watched.clock.advance(600)
    assert watched.reset() == {"facts": 0}


def test_sweep(watched: Rig) -> None:
    """A reading that was recorded and never told is told by the schedule."""
    relay = watched.relay
    config = relay.config.current()
    readings = Readings(relay.table, watched.clock)
    settle = partial(readings.settle, config=config, watches=anywhere, deadline=LATE)
    settle(reading("e1"), "vergesense", "id-boardroom", received_at=NOON)
    watched.clock.advance(61)
    assert watched.reset() == {"facts": 1}
    assert watched.counts() == {"boardroom": 3}


def test_no_zero_at_the_reset(watched: Rig) -> None:
    """A sensor knows better than the reset whether its place is empty: no zero is told in its name."""
    deliver(watched, envelope(reading("e1")))
    watched.clock.advance(24 * 3600)
    watched.reset()
    assert watched.counts() == {"boardroom": 3}
