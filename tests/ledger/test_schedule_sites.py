"""The scheduled function and many sites: what it asks of the table, and whom a site that fails holds up."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from urllib3 import HTTPResponse

from relay.aws.clients import CLIENT
from relay.config.model import Config
from relay.container import Container
from relay.entrypoints import schedule
from relay.entrypoints.sites import SITES_TOGETHER
from relay.occupancy.closed import Closed, all_told, closing
from relay.occupancy.days import recent_days
from tests.moto_table import SESSION
from tests.rig import NOON, Rig, sample
from tests.servers import wire

pytestmark = pytest.mark.slow

RESET = NOON + 13 * 3600.0
"""04:00 in Sydney, the day after `NOON`."""
RUNS_APART = 900.0
_DRIP: tuple[bytes | float, ...] = (b" ", 0.5)
DRIPPING = (b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n", *_DRIP * 40)
"""An answer of which something comes twice a second: no time-out of boto3's ends it."""
SITES = tuple(f"site-{letter}" for letter in "abcdefgh")


def yaml(sites: Sequence[str]) -> str:
    """A configuration of sites with a level and a door each."""
    lines = ["sources: {kisi-sydney: {vendor: kisi}}", "places:"]
    for site in sites:
        lines += [
            f"  {site}: {{locationId: id-{site}, locationType: location, timezone: Australia/Sydney}}",
            f"  {site}-l1: {{locationId: id-{site}-l1, locationType: level, within: {site}}}",
        ]
    doors = [f"    '{n}': {{place: {site}-l1, direction: in}}" for n, site in enumerate(sites)]
    return "\n".join([*lines, "doors:", "  kisi-sydney:", *doors])


class Wire:
    """The relay's way to DynamoDB: it counts requests, and what a site is named in may go elsewhere."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.made: list[Any] = []
        self.broken: Mapping[str, Callable[[Any], AWSResponse | None]] = {}

    def client(self, service: Any) -> Any:
        """A client, as a container has it made."""
        made: Any = SESSION.client(service, config=CLIENT)
        self.made.append(made)
        if service == "dynamodb":
            made.meta.events.register_first("before-send.dynamodb.*", self._send)
        return made

    def _send(self, request: Any, **_: Any) -> AWSResponse | None:
        body = bytes(request.body or b"").decode()
        self.requests.append((request.headers["X-Amz-Target"].decode().rpartition(".")[2], body))
        for site, answer in self.broken.items():
            if f"day#id-{site}#" in body:
                return answer(request)
        return None

    def of_days(self) -> Counter[str]:
        """The requests for counts and notes of days since the last look, by operation."""
        found = Counter(operation for operation, body in self.requests if '"day#' in body)
        self.requests.clear()
        return found


def throttled(request: Any) -> AWSResponse:
    """DynamoDB's refusal of a request to a partition that has too many."""
    error = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    body = json.dumps({"__type": error, "message": "too much"}).encode()
    headers: Any = HeadersDict()
    return AWSResponse(str(request.url), 400, headers, HTTPResponse(BytesIO(body), preload_content=False))


@pytest.fixture
def wired() -> Iterator[Wire]:
    """The way to DynamoDB."""
    way = Wire()
    yield way
    for client in way.made:
        client.close()


@pytest.fixture
def relay(rig: Rig, wired: Wire, tmp_path: Path) -> Container:
    """A relay of eight sites, each with one person inside; the days before are done."""
    rig.push(yaml(SITES), tmp_path)
    rig.clock.advance(100)
    relay = rig.built(wired)
    now = int(rig.clock() * 1000)
    for site in SITES:
        days = recent_days(Config(places=rig.config.places), f"id-{site}", now)[1:]
        relay.table.write([closing(day, 0) for day in days])
        relay.table.write([all_told(day, Closed(0)) for day in days])
    for number, site in enumerate(SITES):
        badge_in(rig, number, site)
    return relay


def badge_in(rig: Rig, door: int, person: str) -> None:
    """Somebody goes into a level, now."""
    at = f"{datetime.fromtimestamp(rig.clock(), UTC):%FT%TZ}"
    body = sample("kisi", "badge-in", uuid=f"{person} {at}", object_id=door, actor_id=door, created_at=at)
    assert rig.post("kisi", body, source="kisi-sydney")[0] == 200


def lines(printed: str, message: str) -> list[dict[str, Any]]:
    """The log's lines with a message."""
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("message") == message]


def test_requests_of_a_site(rig: Rig, wired: Wire, relay: Container) -> None:
    """With nothing pending a site is a request for today, and a sixth of one for which days are done."""
    rig.clock.now = RESET + 120
    assert rig.reset(relay) == {"facts": 2 * len(SITES)}
    for _ in range(3):
        rig.clock.advance(RUNS_APART)
        assert rig.reset(relay) == {"facts": 0}
    wired.of_days()
    rig.clock.advance(RUNS_APART)
    assert rig.reset(relay) == {"facts": 0}
    together = ceil(len(SITES) / SITES_TOGETHER)
    assert wired.of_days() == {"BatchGetItem": together, "Query": len(SITES)}


def test_done_day_is_asked_for_again_after_a_late_badge(rig: Rig, wired: Wire, relay: Container) -> None:
    """A badge of a day that is done is told with its zero, also where it could not be told at once."""
    day_before = rig.clock()
    rig.clock.now = RESET + 120
    for _ in range(4):
        rig.reset(relay)
        rig.clock.advance(RUNS_APART)
    assert set(rig.counts().values()) == {0}
    at = f"{datetime.fromtimestamp(day_before + 60, UTC):%FT%TZ}"
    late = sample("kisi", "badge-in", uuid="late", object_id=3, actor_id=99, created_at=at)
    dying = rig.built()
    del dying.calven
    assert rig.post("kisi", late, source="kisi-sydney", relay=dying)[1]["reason"] == "internal_error"
    told = len(rig.calven())
    rig.clock.advance(RUNS_APART)
    assert rig.reset(relay) == {"facts": 4}
    assert sorted(event["occupancy"] for event in rig.calven()[told:]) == [0, 0, 2, 2]
    assert set(rig.counts().values()) == {0}


@pytest.mark.parametrize("how", ["throttled", "hangs", "drips"])
def test_site_that_fails_holds_up_no_other(
    rig: Rig, wired: Wire, relay: Container, how: str, printed: Callable[[], str]
) -> None:
    """The others' days are closed in the same run, the log names the site, and the next run closes its."""
    rig.clock.now = RESET + 120
    pieces = DRIPPING if how == "drips" else (20.0,)
    with wire(lambda: pieces) as slow:

        def answer_slowly(request: Any) -> None:
            request.url = slow

        wired.broken = {"site-c": throttled if how == "throttled" else answer_slowly}
        assert rig.reset(relay) == {"facts": 2 * (len(SITES) - 1)}
    text = printed()
    [line] = lines(text, "a site is not closed")
    error = "ProvisionedThroughputExceededException" if how == "throttled" else "ReadTimeoutError"
    assert (line["site"], line["error"], line["detail"]) == ("site-c", "TableUnavailable", error)
    assert "SilentSources" not in text, "the alarm for a schedule that does not do its work goes by it"
    people = rig.counts()
    assert {place: number for place, number in people.items() if number} == {"site-c": 1, "site-c-l1": 1}
    wired.broken = {}
    rig.clock.advance(RUNS_APART)
    assert rig.reset(relay) == {"facts": 2}
    assert set(rig.counts().values()) == {0}
    text = printed()
    assert not lines(text, "a site is not closed")
    assert "SilentSources" in text


def asked(rig: Rig) -> list[Any]:
    """The messages for the function, taken out of its queue."""
    url, found = rig.resources.occupancy_reset_queue_url, list[Any]()
    while some := rig.aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in some:
            rig.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append({"body": message["Body"]})
    return found


def test_many_sites_get_a_message_each(rig: Rig, relay: Container, printed: Callable[[], str]) -> None:
    """Where there are too many sites for one run, each is closed by a message; the run does all else."""
    rig.clock.now = RESET + 120
    few = len(SITES) - 1
    assert schedule.handle(relay, {}, 50, "run", most_sites=few) == {"facts": 0}
    assert "SilentSources" in printed()
    messages = asked(rig)
    assert [json.loads(message["body"]) for message in messages] == [{"site": f"id-{site}"} for site in SITES]
    assert schedule.handle(relay, {"Records": messages[:3]}, 50, "run", most_sites=few) == {"facts": 6}
    assert schedule.handle(relay, {"Records": messages[2:]}, 50, "run", most_sites=few) == {"facts": 10}
    assert set(rig.counts().values()) == {0}
    assert schedule.handle(relay, {}, 50, "run", most_sites=len(SITES)) == {"facts": 0}
    assert asked(rig) == []


@pytest.mark.parametrize("body", ['{"site": "id-gone"}', "{}", "no JSON", '"text"', "[]"])
def test_message_of_no_site(rig: Rig, relay: Container, body: str, printed: Callable[[], str]) -> None:
    """A site that left the configuration, or a message that nobody sends, is logged and holds up nobody."""
    rig.clock.now = RESET + 120
    records = [{"body": body}, {"body": '{"site": "id-site-a"}'}]
    assert schedule.handle(relay, {"Records": records}, 50, "run") == {"facts": 2}
    assert lines(printed(), "no such site to close")


def test_queue_that_does_not_answer(rig: Rig, relay: Container, printed: Callable[[], str]) -> None:
    """Sites that could not be asked for are asked for by the next run; an alarm comes if that fails too."""
    settings = {"OCCUPANCY_RESET_QUEUE_URL": f"{rig.resources.occupancy_reset_queue_url}-gone"}
    assert schedule.handle(rig.built(**settings), {}, 50, "run", most_sites=1) == {"facts": 0}
    text = printed()
    [line] = lines(text, "reset failed, the next run does it")
    assert line["error"] == "QueueUnavailable"
    assert "SilentSources" not in text
