"""What events name is kept for operators: bounded, for a time, at few writes, and at no event's cost."""

from collections.abc import Iterator

import pytest

from relay.aws.clients import CLIENT
from relay.aws.table import Table, Update
from relay.errors import TableUnavailable
from relay.vendors.support import seen
from relay.vendors.support.seen import Found, Seen, Sighting, count_key, item_key
from tests.moto_table import SESSION, Ledger
from tests.rig import NOON, Rig, sample

LOBBY = Sighting("door", "48211", "Lobby in")
UNNAMED = Sighting("door", "48211")
DAY = 24 * 3600.0


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty table."""
    with Ledger() as empty:
        yield empty


def container(ledger: Ledger) -> Seen:
    """What another container keeps."""
    return Seen(ledger.table, ledger.clock)


def test_kept(ledger: Ledger) -> None:
    """Each is kept by source and kind, with the vendor's name for it."""
    noted = container(ledger)
    noted.note("kisi", {LOBBY, Sighting("door", "7"), Sighting("sensor", "7", "Desk")})
    noted.note("hibob", {Sighting("leave-type", "Vacation #1", "Vacation #1")})
    assert noted.of("kisi", "door") == [
        Found("door", "48211", "Lobby in", NOON),
        Found("door", "7", None, NOON),
    ]
    assert [found.id for found in noted.of("kisi", "sensor")] == ["7"]
    assert [found.id for found in noted.of("hibob", "leave-type")] == ["Vacation #1"]
    assert noted.of("kis", "door") == noted.of("hibob", "door") == []


def test_writes(ledger: Ledger) -> None:
    """A badge costs nothing where the door was noted within a day, a read in a new container."""
    first, second = container(ledger), container(ledger)
    made: list[list[str]] = []
    for noted, wait in ((first, 0.0), (first, DAY - 1), (second, 0), (second, 10), (first, 0), (second, DAY)):
        ledger.clock.advance(wait)
        ledger.requests.clear()
        noted.note("kisi", {LOBBY})
        made.append(list(ledger.requests))
    read, new, again = (
        ["BatchGetItem"],
        ["BatchGetItem", "TransactWriteItems"],
        ["BatchGetItem", "UpdateItem"],
    )
    assert made == [new, [], read, [], again, again]
    assert first.of("kisi", "door")[0].at == NOON + 2 * DAY + 9


def test_name(ledger: Ledger) -> None:
    """A new name replaces the old one at once; an event without one leaves it."""
    noted = container(ledger)
    for one in (UNNAMED, LOBBY, UNNAMED):
        noted.note("kisi", {one})
    ledger.clock.advance(DAY)
    noted.note("kisi", {UNNAMED})
    assert noted.of("kisi", "door") == [Found("door", "48211", "Lobby in", NOON + DAY)]
    noted.note("kisi", {UNNAMED, Sighting("door", "48211", "North")})
    assert noted.of("kisi", "door")[0].name == "North"


def test_forgotten(ledger: Ledger) -> None:
    """What was not seen for 90 days is forgotten, even before DynamoDB has taken it out."""
    noted = container(ledger)
    noted.note("kisi", {LOBBY})
    ledger.clock.advance(89 * DAY)
    noted.note("kisi", {Sighting("door", "7")})
    assert len(noted.of("kisi", "door")) == 2
    ledger.clock.advance(DAY)
    assert [found.id for found in noted.of("kisi", "door")] == ["7"]
    noted.note("kisi", {LOBBY})
    assert len(noted.of("kisi", "door")) == 2


def test_bounded(ledger: Ledger) -> None:
    """A source whose ids never end is cut off, says so, and begins anew with the next 90 days."""
    noted = container(ledger)
    counted = {"new": seen.MOST_NEW - 3, "expires_at": int(NOON + 90 * DAY)}
    ledger.table.write([Update(key=count_key("kisi"), set=counted)])
    for number in range(5):
        noted.note("kisi", {Sighting("door", f"{number}"), Sighting("door", f"{number}+")})
    assert len(noted.of("kisi", "door")) == 3
    assert noted.is_full("kisi")
    assert not noted.is_full("other")
    ledger.clock.advance(90 * DAY)
    assert not noted.is_full("kisi")
    noted.note("kisi", {LOBBY})
    assert [found.id for found in noted.of("kisi", "door")] == ["48211"]
    assert ledger.table.get([count_key("kisi")])[count_key("kisi")]["new"] == 1


def test_many_at_once(ledger: Ledger) -> None:
    """More than fit into a transaction are noted by and by."""
    noted = container(ledger)
    many = {Sighting("door", f"{number}") for number in range(120)}
    for kept in (50, 100, 120):
        noted.note("kisi", many)
        assert len(noted.of("kisi", "door")) == kept


def test_memory_is_bounded(ledger: Ledger) -> None:
    """A container does not remember without end what it has noted: it looks again."""
    known = {("kisi", Sighting("door", f"{number}")): NOON for number in range(seen.MOST_KNOWN + 1)}
    noted = Seen(ledger.table, ledger.clock, known)
    noted.note("kisi", {Sighting("door", "0")})
    assert ledger.requests == []
    noted.note("kisi", {LOBBY})
    assert list(known) == [("kisi", LOBBY)]


def test_noted_by_another_just_now(ledger: Ledger) -> None:
    """Of two that note the same at once one does, and the other looks again some minutes later."""

    class Overtaken(Table):
        def write(self, updates: object) -> None:
            container(ledger).note("kisi", {LOBBY})
            super().write(updates)  # type: ignore[arg-type]

    noted = Seen(Overtaken(ledger.client, "ledger"), ledger.clock)
    noted.note("kisi", {LOBBY, Sighting("door", "7")})
    assert [found.id for found in noted.of("kisi", "door")] == ["48211"]
    for waited, known in ((1, 1), (300, 2)):
        ledger.clock.advance(waited)
        noted.note("kisi", {Sighting("door", "7")})
        assert len(noted.of("kisi", "door")) == known


@pytest.mark.slow
def test_unavailable(ledger: Ledger) -> None:
    """Without a table it fails by name once, and is left alone for some minutes."""
    nowhere = SESSION.client("dynamodb", endpoint_url="http://127.0.0.1:9", config=CLIENT)
    noted = Seen(Table(nowhere, "none"), ledger.clock)
    with pytest.raises(TableUnavailable):
        noted.note("kisi", {LOBBY})
    noted.note("kisi", {LOBBY})
    ledger.clock.advance(300)
    with pytest.raises(TableUnavailable):
        noted.note("kisi", {LOBBY})


def names(rig: Rig, source: str, kind: seen.Kind) -> dict[str, str | None]:
    """What is kept of a source's events."""
    return {found.id: found.name for found in rig.relay.seen.of(source, kind)}


def test_webhooks(rig: Rig) -> None:
    """Doors and sensors are kept with their names, mapped or not, in whatever became of the event."""
    rig.post("kisi", "badge-in")
    rig.post("kisi", "denied")
    rig.post("kisi", "unmapped-door")
    rig.post("kisi", "request-to-exit")
    rig.post("disruptive", "desk-occupied")
    rig.post("doorflow", "admitted")
    lobby = {"48211": "Lobby in", "48212": "Lobby out", "99001": "Loading dock"}
    assert names(rig, "kisi-sydney", "door") == lobby
    assert names(rig, "disruptive", "sensor") == {"emudeskoccupancy01": "Desk 12"}
    assert names(rig, "doorflow", "door") == {"1340": "Front Door"}


@pytest.mark.parametrize("name", [7, None, ["x"], {"name": "x"}, "  ", "\ud800", "x" * 999, "a\nb\x1b[31m"])
def test_odd_name(rig: Rig, name: object) -> None:
    """Whatever stands where a name does, the badge counts."""
    assert rig.post("kisi", sample("kisi", "badge-in", object_name=name))[0] == 200
    [kept] = names(rig, "kisi-sydney", "door").values()
    assert kept is None or len(kept) <= 200


def test_leave_types(rig: Rig) -> None:
    """A kind of leave is kept where no table maps it, whatever its case and the blanks around it."""
    for number, kind in enumerate((" vacation ", "Jury duty", "")):
        change = sample("generic", "leave-approved", leave=f"{number}", id=f"{number}", leaveType=kind)
        assert rig.post("generic", change, family="hris")[0] == 200
    assert names(rig, "generic", "leave-type") == {"Jury duty": "Jury duty"}


def test_queued_first(rig: Rig) -> None:
    """What is stored first is kept as well; what the queue has only as an event, without a name."""
    stored = rig.built(FORWARD_MODE="queued")
    rig.post("kisi", "unmapped-door", relay=stored)
    rig.post("doorflow", "admitted", relay=stored)
    assert names(rig, "kisi-sydney", "door") == {"99001": "Loading dock"}
    assert names(rig, "doorflow", "door") == {}
    rig.retry()
    assert names(rig, "doorflow", "door") == {"1340": "Front Door"}
    assert names(rig, "kisi-sydney", "door") == {"99001": "Loading dock"}


def test_a_name_waits_in_no_queue(rig: Rig) -> None:
    """An envelope is what it was: an older version of the relay reads it."""
    rig.post("kisi", "unmapped-door")
    [letter] = rig.dead_letters()
    assert "name" not in letter["event"]


def test_failure_disturbs_no_event(rig: Rig) -> None:
    """An item that cannot be read or written costs the badge nothing, and the answer is what it was."""
    broken = {"at": "never", "expires_at": "never"}
    rig.relay.table.write([Update(key=item_key("kisi-sydney", LOBBY), set=broken)])
    assert rig.post("kisi", "badge-in") == (200, {"status": "forwarded", "events": 2})
    assert len(rig.requests("/v1/occupancy")) == 1
    assert rig.dead_letters() == rig.waiting() == []


def test_no_time(rig: Rig) -> None:
    """Nothing is noted once the vendor's time is up."""
    rig.post("kisi", "badge-in", received_at=NOON - 4.4)
    assert names(rig, "kisi-sydney", "door") == {}
