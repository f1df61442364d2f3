"""The machine that the relay's processes run on and end on, and a relay on it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import httpx
from boto3.dynamodb.types import TypeDeserializer

from relay.aws import clients
from relay.calven import Calven
from relay.container import Container
from relay.http import Http
from relay.occupancy.closed import closed_key
from relay.occupancy.counts import FIELDS, WITHIN
from relay.occupancy.days import operating_day
from relay.occupancy.reported import Told, told_of
from tests.moto_table import SESSION
from tests.rig import NOON, Rig
from tests.sandboxes import Sandboxes

SUBMISSIONS = ("/v1/occupancy", "/v1/timeoff")
Moment = Literal["before", "after"]
Taken = Literal["never", "at once", "late"]
"""When Calven takes a request whose answer gets lost."""
Step = tuple[str, Any]
"""A vendor and what it posts; or the schedule, and when (Unix seconds)."""
Instead = httpx.TransportError | tuple[int, bytes]
"""What comes instead of an answer of Calven's: an error on the way, or another status and body."""


class Died(BaseException):
    """The process ends here: nothing of it may catch this."""


class Machine(httpx.BaseTransport):
    """What the relay's processes run on: it counts their outward requests, and ends them at one of them.

    To them it is boto3's session, with one client for all of them, as making one takes longer than most
    tests, and the connection to Calven and HiBob.
    """

    def __init__(self) -> None:
        self._wire = httpx.HTTPTransport(trust_env=False)
        self._clients: dict[str, Any] = {}
        self._fatal: tuple[Moment, int] = ("before", 0)
        self.requests: list[str] = []
        self.loss: tuple[Instead, Taken] | None = None
        self.late: list[httpx.Request] = []

    def client(self, service: Any, config: Any = clients.CLIENT) -> Any:
        """An AWS client, as a session makes it."""
        if service not in self._clients:
            client: Any = SESSION.client(service, config=config)
            client.meta.events.register("before-call", lambda model, **_: self._before(model.name))
            client.meta.events.register("after-call", lambda **_: self._end_if("after"))
            self._clients[service] = client
        return self._clients[service]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to Calven or HiBob, whose answer may get lost."""
        self._before(f"{request.method} {request.url.path}")
        lost = self.loss if request.url.path in SUBMISSIONS else None
        response = self._lose(request, *lost) if lost else self.send(request)
        self._end_if("after")
        return response

    def send(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, whole."""
        response = self._wire.handle_request(request)
        response.read()
        return response

    def _lose(self, request: httpx.Request, instead: Instead, taken: Taken) -> httpx.Response:
        if taken == "at once":
            assert self.send(request).status_code == 200
        elif taken == "late":
            self.late.append(request)
        if isinstance(instead, httpx.TransportError):
            raise instead
        return httpx.Response(instead[0], content=instead[1])

    def close(self) -> None:
        """Keep the connections: another process will use them."""

    def switch_off(self) -> None:
        """Close the connections."""
        self._wire.close()
        for client in self._clients.values():
            client.close()

    def count(self, moment: Moment = "before", fatal: int = 0) -> None:
        """Count from here on, and end the process at that request."""
        self.requests, self._fatal = [], (moment, fatal)

    def _before(self, name: str) -> None:
        self.requests.append(name)
        self._end_if("before")

    def _end_if(self, moment: Moment) -> None:
        if self._fatal == (moment, len(self.requests)):
            raise Died

    def survives(self, act: Callable[[], object]) -> bool:
        """Whether the process is still there after an act; after its end it must not have done anything."""
        _, fatal = self._fatal
        try:
            act()
        except Died:
            assert len(self.requests) == fatal, "the process went on after its end"
            self._fatal = ("before", 0)
            return False
        assert not 0 < fatal <= len(self.requests), "the process caught its own end"
        return True


class Site(Rig):
    """A relay on a machine, with the schedule running for long."""

    def __init__(self, sandboxes: Sandboxes, machine: Machine) -> None:
        self.machine = machine
        self._earlier_days_closed = False
        machine.count()
        machine.loss, machine.late = None, []
        super().__init__(sandboxes, machine)

    def built(self, clients: clients.ClientMaker | None = None, /, **settings: str) -> Container:
        """A process on the machine."""
        relay = super().built(clients, **settings)
        relay.http = relay.vendor_apis.http = Http(self.machine)
        relay.calven = Calven(relay.settings.calven_base_url, relay.secrets, relay.http, relay.clock)
        return relay

    def restart(self) -> None:
        """A new process takes over, and knows nothing of the one before."""
        self.relay = self.built(FORWARD_MODE=self.relay.settings.forward_mode)

    def reset(self, relay: Container | None = None) -> dict[str, int]:
        """A run of the schedule, where earlier ones have closed the days before."""
        if not self._earlier_days_closed:
            self._earlier_days_closed = True
            puts: Any = []
            for back in range(1, 17):
                instant = int(NOON * 1000) - back * 24 * 3600_000
                pk, sk = closed_key(operating_day(self.config.config(), "id-hq", instant).key)
                item = {"pk": {"S": pk}, "sk": {"S": sk}, "at": {"N": "0"}}
                puts.append({"PutRequest": {"Item": item}})
            self.aws.dynamodb.batch_write_item(RequestItems={self.resources.table: puts})
        return super().reset(relay)

    def sweep(self) -> None:
        """The schedule's next run."""
        self.clock.advance(900)
        self.reset()

    def take(self, step: Step) -> None:
        """One step: a webhook, which is answered 200 or 202, or a run of the schedule."""
        who, what = step
        if who == "schedule":
            self.clock.now = max(what, self.clock.now)
            self.reset()
        else:
            assert self.post(who, what)[0] in (200, 202)

    def deliver(self, steps: Sequence[Step], *, wait: float = 0) -> None:
        """Every step in order; one in which the process ends again, to a new one and after a wait."""
        for step in steps:
            while not self.machine.survives(partial(self.take, step)):
                self.clock.advance(wait)
                self.restart()

    def leave_to_queue(self, steps: Sequence[Step], **http: Any) -> None:
        """Every step in order, of which none is answered 200."""
        for who, what in steps:
            assert self.post(who, what, **http)[0] == 202

    def drain(self) -> None:
        """Deliver what is in the queue until nothing is; when the process ends, to a new one."""
        for _ in range(8):
            if not self.waiting():
                return
            self.clock.advance(30)
            if not self.machine.survives(self.retry):
                self.restart()
        raise AssertionError(f"still queued: {[envelope['reason'] for envelope in self.waiting()]}")

    def fail_submissions(self, mode: str) -> None:
        """Have Calven fail, but still issue tokens."""
        for endpoint in SUBMISSIONS:
            self.fail(mode, endpoint=endpoint)

    def recover_late(self) -> None:
        """Have Calven answer again, the queue deliver once, and what was on its way arrive after that.

        It all happens before a lease can have run out.
        """
        self.machine.loss = None
        self.recover()
        self.clock.advance(5)
        self.retry()
        while self.machine.late:
            assert self.machine.send(self.machine.late.pop(0)).status_code == 200

    def end(self) -> dict[str, Any]:
        """Where everything is now: see the module's docstring."""
        letters = self.aws.sqs.receive_message(
            QueueUrl=self.resources.dead_letter_queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        return {
            "counts": self.counts(),
            "away": self.sandbox.get("/_sandbox/state").json()["away"],
            "waiting": self.waiting(),
            "dead": {letter["MessageAttributes"]["reason"]["StringValue"] for letter in letters},
            **self._ledger(),
        }

    def told(self) -> set[str]:
        """Every occupancy event that Calven was told."""
        return {event["eventId"] for event in self.calven() if "locationId" in event}

    def _ledger(self) -> dict[str, Any]:
        ledger: dict[str, Any] = {"people": [], "places": {}, "leaves": {}, "employees": {}}
        pages = self.aws.dynamodb.get_paginator("scan").paginate(TableName=self.resources.table)
        items = [
            {name: TypeDeserializer().deserialize(value) for name, value in raw.items()}
            for page in pages
            for raw in page["Items"]
        ]
        notes = {item["pk"]: item for item in items if item["sk"] == "reported"}
        for item in items:
            match item["pk"].split("#")[0], item["sk"].split("#")[0]:
                case "person", _:
                    ledger["people"].append((item["at"], item["event"], item["path"]))
                case "day", "count":
                    ledger["places"] |= _shown_counts(item, notes.get(item["pk"], {}))
                case "leave", _:
                    ledger["leaves"][item["pk"]] = _shown_leave(item)
                case "employee", _ if any(shown := self._shown_employee(item)):
                    ledger["employees"][item["pk"]] = shown
        ledger["people"].sort()
        return ledger

    def _shown_employee(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        """What is wanted, what is held, and whether a lease is in force."""
        wanted = {name: _shown_leave(leave) for name, leave in item["leaves"].items()}
        return wanted, item["held"], bool(item["lease"] and item["lease"][1] > self.clock() * 1000)


def _shown_counts(item: Mapping[str, Any], note: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """The counts of an item, by their day and place."""
    counts = {item["sk"].removeprefix("count#"): item}
    for name, listed in item.items():
        if name.startswith(WITHIN):
            counts[name.removeprefix(WITHIN)] = dict(zip(FIELDS, listed, strict=True))
    return {(item["pk"], place): _shown_count(count, told_of(note, place)) for place, count in counts.items()}


def _shown_count(count: Mapping[str, Any], told: Told) -> dict[str, Any]:
    return {
        "people": count["people"],
        "ended": count["ended"],
        "told": told.reported == count["version"],
    }


def _shown_leave(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("state", "email", "start", "end", "type")}
