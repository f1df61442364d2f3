"""A pushed configuration is whole, found soon, and kept while the table fails."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from relay.aws.table import Conflict, Item, Key, Table, Update
from relay.config.file import RelayYaml
from relay.config.model import Door, Place, Sensor, Source
from relay.config.store import POINTER, ConfigStore, Configuration
from relay.config.versions import pull, push
from relay.errors import TableUnavailable
from tests.rig import Clock
from tests.servers import Faulty, aws_client, aws_error

LOBBY = Door(place="sydney", direction="out", name="Lobby")


def relay_yaml(doors: dict[str, Door] | None = None, place: str = "sydney") -> RelayYaml:
    """A configuration with one place and these doors."""
    return RelayYaml(
        sources={"kisi": Source(vendor="kisi", calvenSourceId="Kisi")},
        places={place: Place(locationId="D0FA9F18", locationType="location", timezone="Australia/Sydney")},
        doors={"kisi": doors or {}},
        sensors={"kisi": {"s#1": Sensor(place=place)}},
    )


class Tables:
    """The table, what reads it, and the time."""

    def __init__(self) -> None:
        self.aws = Faulty(aws_client("dynamodb"))
        self.clock = Clock()
        self.store = ConfigStore(self.table, self.clock)

    @property
    def table(self) -> Table:
        """The table as the relay sees it."""
        return Table(self.aws, "table")  # type: ignore[arg-type]

    def door(self, source: str, door: str) -> Door | None:
        """A door, as an invocation looks it up that begins now."""
        return Configuration(self.store).door(source, door)

    def push(self, relay: RelayYaml) -> int:
        """Push as an operator does."""
        return push(aws_client("dynamodb"), "table", relay)

    @property
    def reads(self) -> int:
        """How often the table has been read."""
        return len(self.aws.calls)


@pytest.fixture
def tables() -> Iterator[Tables]:
    """An empty table."""
    with mock_aws():
        keys = {"pk": "HASH", "sk": "RANGE"}
        aws_client("dynamodb").create_table(
            TableName="table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
        )
        yield Tables()


def test_nothing_pushed(tables: Tables) -> None:
    """Before the first push there are no sources, no places and no doors."""
    config = tables.store.current()
    assert (config.sources, config.places) == ({}, {})
    assert tables.door("kisi", "1") is None


def test_push(tables: Tables) -> None:
    """What was pushed is what is read: sources and places at once, doors when they are needed."""
    pushed = relay_yaml({"48211": LOBBY, "a#b": Door(place="sydney")})
    assert tables.push(pushed) == 1
    config = tables.store.current()
    assert (config.sources, config.places) == (pushed.sources, pushed.places)
    assert tables.door("kisi", "48211") == LOBBY
    assert tables.door("kisi", "a#b") == Door(place="sydney")
    assert tables.door("verkada", "48211") is None


def test_sensors_are_stored(tables: Tables) -> None:
    """Sensors are items of their own, beside the doors."""
    tables.push(relay_yaml())
    key = ("config#1#kisi", "sensor#s#1")
    assert Sensor.model_validate_json(tables.table.get([key])[key]["body"]) == Sensor(place="sydney")


def test_cache(tables: Tables) -> None:
    """Configuration is read again after a minute, and whole only when there is a new version."""
    tables.push(relay_yaml())
    tables.store.current()
    assert tables.reads == 2
    tables.push(relay_yaml(place="perth"))
    tables.clock.advance(60)
    assert set(tables.store.current().places) == {"sydney"}
    tables.clock.advance(0.1)
    assert set(tables.store.current().places) == {"perth"}
    assert tables.reads == 4
    tables.clock.advance(61)
    tables.store.current()
    assert tables.reads == 5


def test_door_is_read_once(tables: Tables) -> None:
    """A door of the current version is looked up once, and again in the next version."""
    tables.push(relay_yaml({"a": LOBBY}))
    tables.store.current()
    before = tables.reads
    assert tables.door("kisi", "a") == tables.door("kisi", "a") == LOBBY
    assert tables.reads == before + 1
    tables.push(relay_yaml({"a": Door(place="sydney", direction="in")}))
    tables.clock.advance(61)
    tables.store.current()
    assert tables.door("kisi", "a") == Door(place="sydney", direction="in")


def test_doors_are_read_together(tables: Tables) -> None:
    """The doors of several badges are one request, and none after that; one that is not there is none."""
    tables.push(relay_yaml({"a": LOBBY, "b": Door(place="sydney", direction="out")}))
    configuration = Configuration(tables.store)
    before = tables.reads
    configuration.read_doors([("kisi", "a"), ("kisi", "b"), ("kisi", "a"), ("verkada", "a")])
    assert tables.reads == before + 1
    assert configuration.door("kisi", "a") == LOBBY
    assert configuration.door("kisi", "b") == Door(place="sydney", direction="out")
    configuration.read_doors([("kisi", "b"), ("kisi", "a")])
    assert tables.reads == before + 1
    assert configuration.door("verkada", "a") is None


def test_new_door(tables: Tables) -> None:
    """A door that is not there is looked for in fresh configuration before it is called unmapped."""
    tables.push(relay_yaml())
    tables.store.current()
    tables.push(relay_yaml({"a": LOBBY}))
    tables.clock.advance(5)
    assert tables.door("kisi", "a") is None
    tables.clock.advance(0.1)
    assert tables.door("kisi", "a") == LOBBY


def test_unmapped_door(tables: Tables) -> None:
    """A door that nobody has mapped makes the table no more than fresh, and is found missing each time."""
    tables.push(relay_yaml())
    tables.store.current()
    tables.clock.advance(30)
    before = tables.reads
    assert tables.door("kisi", "x") is tables.door("kisi", "x") is None
    assert tables.reads == before + 3


def test_outage(tables: Tables) -> None:
    """While the table fails, what was read last goes on being used; soon after, the new version is."""
    tables.push(relay_yaml({"a": LOBBY}))
    config = tables.store.current()
    tables.door("kisi", "a")
    tables.push(relay_yaml(place="perth"))
    tables.clock.advance(3600)
    tables.aws.error = aws_error("ProvisionedThroughputExceededException")
    before = tables.reads
    assert tables.store.current() is tables.store.current() is config
    assert tables.door("kisi", "a") == LOBBY
    assert tables.reads == before + 1
    with pytest.raises(TableUnavailable):
        tables.door("kisi", "never read")
    tables.aws.error = None
    tables.clock.advance(5.1)
    assert set(tables.store.current().places) == {"perth"}


def test_outage_from_the_start(tables: Tables) -> None:
    """Without any configuration a failing table is no empty one."""
    tables.push(relay_yaml())
    tables.aws.error = aws_error("InternalServerError")
    with pytest.raises(TableUnavailable):
        tables.store.current()
    tables.aws.error = None
    assert set(tables.store.current().sources) == {"kisi"}


def test_many_doors(tables: Tables) -> None:
    """Hundreds of doors are stored in batches that DynamoDB takes, each of them found."""
    doors = {f"door-{i}": Door(place="sydney", name=f"Door {i}") for i in range(300)}
    tables.push(relay_yaml(doors))
    tables.store.current()
    assert all(tables.door("kisi", name) == doors[name] for name in ("door-0", "door-24", "door-299"))
    stored = {item["sk"] for item in tables.table.query("config#1#kisi", "door#")}
    assert stored == {f"door#{name}" for name in doors}


class Unwilling(Faulty):
    """A DynamoDB that leaves all but the first item of a batch for the next request."""

    def batch_write_item(self, **parameters: Any) -> Any:
        """Write the first item."""
        items = parameters["RequestItems"]["table"]
        self._client.batch_write_item(RequestItems={"table": items[:1]})
        return {"UnprocessedItems": {"table": items[1:]} if items[1:] else {}}


def test_unprocessed_items(tables: Tables) -> None:
    """What DynamoDB leaves of a batch is written with the next request."""
    pushed = relay_yaml({"a": LOBBY, "b": LOBBY})
    push(Unwilling(aws_client("dynamodb")), "table", pushed)  # type: ignore[arg-type]
    assert set(tables.store.current().sources) == {"kisi"}
    assert tables.door("kisi", "a") == tables.door("kisi", "b") == LOBBY


class Overtaken(Faulty):
    """A DynamoDB in which somebody else does something just before an operation, once."""

    def __init__(self, client: Any, operation: str, meanwhile: Callable[[], Any]) -> None:
        super().__init__(client)
        self._meanwhile = {operation: meanwhile}

    def __getattr__(self, operation: str) -> Any:
        self._meanwhile.pop(operation, lambda: None)()
        return super().__getattr__(operation)


@pytest.mark.parametrize("operation", ["update_item", "batch_write_item"])
def test_concurrent_push(tables: Tables, operation: str) -> None:
    """Of two pushes at the same time one fails, and nothing of it is in what is current."""
    tables.push(relay_yaml())
    theirs = relay_yaml({"a": Door(place="perth")}, "perth")
    slow = Overtaken(aws_client("dynamodb"), operation, lambda: tables.push(theirs))
    with pytest.raises(Conflict):
        push(slow, "table", relay_yaml({"a": LOBBY, "b": LOBBY}))  # type: ignore[arg-type]
    assert set(tables.store.current().places) == {"perth"}
    assert tables.door("kisi", "a") == Door(place="perth")
    assert tables.door("kisi", "b") is None


def test_push_after_a_conflict(tables: Tables) -> None:
    """After a conflict the next push succeeds, under a number that no other push has used."""
    numbers: list[int] = []

    def theirs() -> None:
        numbers.append(tables.push(relay_yaml(place="perth")))

    slow = Overtaken(aws_client("dynamodb"), "batch_write_item", theirs)
    with pytest.raises(Conflict):
        push(slow, "table", relay_yaml())  # type: ignore[arg-type]
    numbers.append(tables.push(relay_yaml(place="hobart")))
    assert len(set(numbers)) == 2
    assert set(tables.store.current().places) == {"hobart"}


def test_push_that_breaks_off(tables: Tables) -> None:
    """A push that does not get to its end leaves what was current."""
    tables.push(relay_yaml())
    broken = Faulty(aws_client("dynamodb"))
    broken.error = aws_error("InternalServerError")
    stopped = Overtaken(aws_client("dynamodb"), "batch_write_item", broken.anything)
    with pytest.raises(ClientError):
        push(stopped, "table", relay_yaml(place="perth"))  # type: ignore[arg-type]
    assert set(tables.store.current().places) == {"sydney"}


def stored(tables: Tables, pk: str, sk: str, body: str) -> None:
    """Put a record into the table by hand."""
    item = {"pk": {"S": pk}, "sk": {"S": sk}, "body": {"S": body}}
    aws_client("dynamodb").put_item(TableName="table", Item=item)


def test_record_of_a_newer_relay(tables: Tables) -> None:
    """Keys that a newer version of the relay has stored do not keep an older one from reading the rest."""
    tables.push(relay_yaml({"a": LOBBY}))
    kisi = {"vendor": "kisi", "calvenSourceId": "Kisi", "colour": "red"}
    stored(tables, "config#1", "main", json.dumps({"sources": {"kisi": kisi}, "robots": {}}))
    stored(tables, "config#1#kisi", "door#a", json.dumps({"place": "sydney", "locks": 2}))
    assert tables.store.current().sources == relay_yaml().sources
    assert tables.door("kisi", "a") == Door(place="sydney")


def test_unreadable_record(tables: Tables) -> None:
    """A stored record that cannot be read is a table that does not answer."""
    tables.push(relay_yaml({"a": LOBBY}))
    stored(tables, "config#1#kisi", "door#a", '{"place": 7}')
    tables.store.current()
    with pytest.raises(TableUnavailable, match="stored door is missing or unreadable"):
        tables.door("kisi", "a")


def test_missing_record(tables: Tables) -> None:
    """A version that is pointed to and not there is a table that does not answer."""
    tables.push(relay_yaml())
    key = {"pk": {"S": "config#1"}, "sk": {"S": "main"}}
    aws_client("dynamodb").delete_item(TableName="table", Key=key)
    with pytest.raises(TableUnavailable, match="stored config is missing or unreadable"):
        tables.store.current()


class Slow(Table):
    """A table that takes its time."""

    def get(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """The items, a moment later."""
        time.sleep(0.05)
        return super().get(keys)


def test_first_requests_at_once(tables: Tables) -> None:
    """Nobody is shown an empty configuration because somebody else is just reading the first one."""
    tables.push(relay_yaml())
    store = ConfigStore(Slow(aws_client("dynamodb"), "table"), tables.clock)
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: store.current().sources, range(8)))
    assert all("kisi" in sources for sources in seen)


def test_more_places_than_an_item_holds(tables: Tables) -> None:
    """Sources and places are pushed and read whole, however many they are."""
    places = {
        f"place-{number}": Place(locationId=f"id-\u00e9-{number}", locationType="zone")
        for number in range(5_000)
    }
    relay = RelayYaml(sources={"kisi": Source(vendor="kisi")}, places=places)
    number = tables.push(relay)
    table = Table(aws_client("dynamodb"), "table")
    assert ConfigStore(table).current() == relay.config()
    assert pull(table, number).places == places


def test_another_layout(tables: Tables) -> None:
    """A table that another version has laid out otherwise is not misread: functions and commands say so."""
    tables.push(relay_yaml())
    table = Table(aws_client("dynamodb"), "table")
    table.write([Update(key=POINTER, set={"layout": 99})])
    for act in (ConfigStore(table).current, partial(pull, table), partial(tables.push, relay_yaml())):
        with pytest.raises(TableUnavailable, match="has the layout 99"):
            act()


def test_lineage_of_a_later_version(tables: Tables) -> None:
    """What a later relayctl keeps beside what this version knows stops no function that is there still."""
    tables.push(relay_yaml())
    assert tables.table.get([POINTER])[POINTER]["lineage"] == "{}"
    later = json.dumps({"renamed": {"kisi": "former"}, "later": {"lobby": 1}})
    tables.table.write([Update(key=POINTER, set={"lineage": later})])
    assert Configuration(tables.store).config.key("kisi") == "former"
