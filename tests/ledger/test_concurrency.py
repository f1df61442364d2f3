"""Many containers at once: whatever order badges come in, through whichever of them, counts are exact."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, product, repeat
from operator import itemgetter
from random import sample as drawn
from random import shuffle
from typing import Any, NamedTuple, get_args

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from localrun.aws import Aws, create
from localrun.poller import Poller
from localrun.sandbox import Sandbox
from localrun.seed import seed
from localrun.serve import Served
from localrun.settings import Secrets
from localrun.template import STACK, Template
from relay import vendors
from relay.aws.table import Table
from relay.config.file import RelayYaml
from relay.container import Container
from relay.deadline import Clock
from relay.entrypoints import queue, schedule, webhook
from relay.events import Direction, iso_ms
from relay.occupancy.days import operating_day
from relay.occupancy.ledger import Headcount
from relay.settings import Settings
from tests.building import PLACES, config
from tests.rig import sample
from tests.witnessed import again, answered, cloud

pytestmark = [pytest.mark.no_cover, pytest.mark.slow, pytest.mark.long(15)]
"""They visit the same lines thousands of times, which other tests measure."""

WORKERS, RETRIES, PEOPLE = 8, 2, 120
SPREAD_SECONDS = 300
"""From the first badge to the last: some of a person are of the same second, and their ids decide."""
SWEEP_SECONDS = 120.0
WINDOW_SECONDS = 0.5
"""So long messages gather before the retry function gets them."""
MOST_POLLS = 200
ATTEMPTS = 5
SIGNING_SECRET = "example"
CALVEN_SECRET = {"apiKey": "key", "apiSecret": "example"}
DOORS = tuple(product(get_args(Direction), PLACES))


class Failure(NamedTuple):
    """A call that fails as the sandbox can, and whether Calven took it before all the same."""

    taken: bool
    mode: str


QUICK = product((False, True), ("503", "garbage", "reset", "missing-results"))
FAILURES = tuple(Failure(*each) for each in (*tuple(QUICK) * 3, (True, "hang")))
"""In turns. A call that hangs takes all the time that there is, so there are few of those."""


class Passage(NamedTuple):
    """A badge at a door that leads in to or out of a place, at an instant in Unix seconds."""

    event: str
    person: int
    direction: Direction
    place: str
    at: int


class Calven:
    """The sandbox behind a wire on which some calls fail; `saw` holds every event that came over it."""

    def __init__(self, outcomes: Iterator[Failure | None]) -> None:
        self._sandbox = Sandbox(CALVEN_SECRET)
        self._outcomes = outcomes
        self.saw: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; what is asked of the sandbox itself does not fail."""
        body = await Request(scope, receive).body()
        if scope["path"] == "/v1/occupancy":
            self.saw += json.loads(body)["occupancyEvents"]
        if scope["path"].startswith("/v1/") and (failure := next(self._outcomes)):
            if failure.taken:
                await answered(self._sandbox, scope, body)
            order = json.dumps({"mode": failure.mode, "count": 1}).encode()
            await answered(self._sandbox, {**scope, "path": "/_sandbox/fail"}, order)
        await self._sandbox(scope, again(body, receive), send)


def read(url: str) -> Any:
    """What one of the servers says of itself."""
    return httpx.get(url, trust_env=False).json()


class Building:
    """Six places in a tree, doors in to and out of each, and the containers that relay its badges."""

    def __init__(self, aws_url: str, aws: Aws, calven: Calven, calven_url: str) -> None:
        self.aws, self._aws_url = aws, aws_url
        self.calven, self._calven_url = calven, calven_url
        # Its day ends in about twelve hours, whenever this runs.
        places = config("UTC", f"{(datetime.now(UTC).hour + 12) % 24:02}:00").places
        doors = {f"{way} {place}": {"place": place, "direction": way} for way, place in DOORS}
        content = {"sources": {"kisi": {"vendor": "kisi"}}, "places": places, "doors": {"kisi": doors}}
        self.config = RelayYaml.model_validate(content)
        self.resources = create(Template(), aws)
        secrets: Secrets = {"calven": CALVEN_SECRET, "kisi": {"signingSecrets": [SIGNING_SECRET]}}
        seed(aws, self.resources, self.config, secrets)

    @contextmanager
    def container(self, clock: Clock = time.time) -> Iterator[Container]:
        """A relay that shares nothing with the others."""
        environment = {
            "STACK_NAME": STACK,
            "TABLE_NAME": self.resources.table,
            "UNPROCESSED_QUEUE_URL": self.resources.unprocessed_queue_url,
            "DEAD_LETTER_QUEUE_URL": self.resources.dead_letter_queue_url,
            "CALVEN_BASE_URL": self._calven_url,
            "RETRY_BASE_SECONDS": "0.001",
        }
        relay = Container(Settings.model_validate(environment), clock)
        with closing(relay.http):
            yield relay

    def relay(self, deliveries: Sequence[Passage], retries: int = 0) -> Counter[int]:
        """Have the workers relay it all, with some retry functions beside them and one after them.

        How many were answered with which status.
        """
        over = threading.Event()
        with ThreadPoolExecutor(WORKERS + retries) as pool:
            beside = [pool.submit(self.drain, over.is_set) for _ in range(retries)]
            try:
                answers = list(pool.map(self.work, (deliveries[first::WORKERS] for first in range(WORKERS))))
            finally:
                over.set()
            for each in beside:
                each.result()
        self.drain()
        return sum(answers, Counter())

    def work(self, deliveries: Sequence[Passage]) -> Counter[int]:
        """Have one container relay badges. What is answered 503 is delivered again, as vendors do."""
        with self.container() as relay:
            statuses = Counter(post(relay, passage) for passage in deliveries)
        assert set(statuses) <= {200, 202}
        return statuses

    def drain(self, over: Callable[[], bool] = lambda: True) -> None:
        """Deliver the Unprocessed queue to a retry function until it is empty, and nobody adds to it."""
        source, url = Template().event_sources[0], self.resources.unprocessed_queue_url
        polls = 0
        with self.container() as relay:
            poller = Poller(source, self.aws.sqs, url, lambda _: partial(retried, relay))
            while not over() or self.left(url):
                assert polls < MOST_POLLS
                time.sleep(WINDOW_SECONDS)
                poller.poll_once()
                polls += over()

    def sweep(self) -> int:
        """Run the scheduled function when all is old enough for it; how much there was to tell."""
        with self.container(lambda: time.time() + SWEEP_SECONDS) as relay:
            return schedule.handle(relay, {}, 50, "request-3")["facts"]

    def left(self, queue_url: str) -> int:
        """How many messages a queue holds, whether they can be received now or not."""
        names: Any = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        found = self.aws.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
        return sum(map(int, found["Attributes"].values()))

    def people(self) -> Counter[str]:
        """The people in each place that has any, as the ledger has them."""
        day = operating_day(self.config.config(), "hq", int(time.time() * 1000))
        headcount = Headcount(Table(self.aws.dynamodb, self.resources.table))
        return +Counter({place: count.people for place, count in headcount.counts(day)})

    def shown(self) -> Counter[str]:
        """The people in each place that has any, as Calven has them."""
        names = {place.location_id: name for name, place in self.config.places.items()}
        latest = read(f"{self._calven_url}/_sandbox/state")["occupancy"]
        return +Counter({names[location]: event["occupancy"] for location, event in latest.items()})

    def accepted(self) -> set[str]:
        """The ids of the events that Calven has accepted."""
        return {each["event"]["eventId"] for each in read(f"{self._calven_url}/_sandbox/events")}

    def versions(self) -> dict[str, tuple[int, str, int]]:
        """Version, time and people of each count that was written, by the id of its event."""
        counts = read(f"{self._aws_url}/counts")
        return {c["event_id"]: (c["version"], iso_ms(c["at"]), c["people"]) for c in counts}


def post(relay: Container, passage: Passage) -> int:
    """Post a badge as Kisi does, again where the answer is 503; the last answer's status."""
    changes = {
        "uuid": passage.event,
        "actor_id": passage.person,
        "object_id": f"{passage.direction} {passage.place}",
        "created_at": f"{datetime.fromtimestamp(passage.at, UTC):%FT%TZ}",
    }
    body = json.dumps(sample("kisi", "badge-in", **changes))
    request = {
        "headers": vendors.load("kisi").scheme.sign(body.encode(), SIGNING_SECRET, time.time()).headers,
        "pathParameters": {"source": "kisi"},
        "body": body,
    }
    for _ in range(ATTEMPTS):
        context = {"http": {"method": "POST"}, "timeEpoch": int(time.time() * 1000)}
        answer = webhook.handle(relay, "access-control", {**request, "requestContext": context})
        if answer["statusCode"] != 503:
            break
    status: int = answer["statusCode"]
    return status


def retried(relay: Container, batch: Mapping[str, Any], _: object) -> dict[str, Any]:
    """The retry function's answer to a batch."""
    return queue.handle(relay, batch, 50, "request-2")


def passages(number: int) -> list[Passage]:
    """So many badges of everybody at every door, within some minutes."""
    people = [n % PEOPLE for n in range(number)]
    seconds = [int(time.time()) - n % SPREAD_SECONDS for n in range(number)]
    shuffle(people)
    shuffle(seconds)
    some = zip(people, cycle(DOORS), seconds, strict=False)
    return [Passage(f"e{n}", person, *door, at) for n, (person, door, at) in enumerate(some)]


def delivered(some: Sequence[Passage]) -> list[Passage]:
    """The badges in any order, one in three of them twice."""
    deliveries = [*some, *drawn(some, len(some) // 3)]
    shuffle(deliveries)
    return deliveries


def truth(some: Sequence[Passage], within: Mapping[str, str | None]) -> Counter[str]:
    """The people in each place that has any: all are where their last badge led to, and around it."""
    last = {one.person: one for one in sorted(some, key=lambda one: (one.at, one.event))}
    people: Counter[str] = Counter()
    for one in last.values():
        where = one.place if one.direction == "in" else within[one.place]
        while where is not None:
            people[where] += 1
            where = within[where]
    return people


def check_counts(building: Building, some: Sequence[Passage]) -> None:
    """The counts are the truth, in the ledger and at Calven; nothing is left to tell or was given up."""
    building.sweep()
    building.drain()
    assert building.sweep() == 0
    assert building.left(building.resources.dead_letter_queue_url) == 0
    people = truth(some, {name: place.within for name, place in building.config.places.items()})
    assert building.people() == people
    assert building.shown() == people


def check_history(building: Building) -> None:
    """What Calven saw: an id never says two things, none is lost, and times rise as the versions do."""
    saw = {event["eventId"]: event for event in building.calven.saw}
    assert all(event == saw[event["eventId"]] for event in building.calven.saw)
    assert building.accepted() == set(saw)
    versions = building.versions()
    for name in PLACES:
        location = building.config.places[name].location_id
        events = [event for event in saw.values() if event["locationId"] == location]
        events.sort(key=itemgetter("timestamp"))
        assert len({event["timestamp"] for event in events}) == len(events)
        known = [event for event in events if event["eventId"] in versions]
        told = [(event["timestamp"], event["occupancy"]) for event in known]
        wrote = [versions[event["eventId"]] for event in known]
        assert told == [(at, people) for _, at, people in wrote]
        assert wrote == sorted(wrote)
        assert len(known) > len(events) // 2


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """No proxy on the way, and no thousands of lines about what went well."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    caplog.set_level(logging.WARNING, logger="calven-relay")


@contextmanager
def standing(monkeypatch: pytest.MonkeyPatch, outcomes: Iterator[Failure | None]) -> Iterator[Building]:
    """A building before a Calven whose calls come out like that."""
    calven = Calven(outcomes)
    with cloud() as aws_url, Served(calven) as calven_url, closing(Aws(aws_url)) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws_url)
        yield Building(aws_url, aws, calven, calven_url)


def test_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Badges that many containers relay at once, repeated and shuffled, end in exact counts."""
    some = passages(240)
    with standing(monkeypatch, repeat(None)) as building:
        building.relay(delivered(some))
        check_counts(building, some)
        check_history(building)


def test_calven_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """So they do while one in five of Calven's calls fails, and the retry function runs beside them."""
    some = passages(140)
    outcomes = (outcome for failure in cycle(FAILURES) for outcome in (None, None, None, None, failure))
    with standing(monkeypatch, outcomes) as building:
        answers = building.relay(delivered(some), retries=RETRIES)
        assert answers[202]
        check_counts(building, some)
        check_history(building)
