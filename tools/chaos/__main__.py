"""`python -m chaos`: a stream of signed events, faults one after another, and an account of every event.

Every event that the relay acknowledged must in the end be at Calven, in shadow, ignored by rule, or in the
dead-letter queue with a reason; and what Calven then shows must equal what happened at the live sources. Then
lists go wrong, and an audit asks Calven itself. Exit code 1 if anything is missing.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from chaos.audit import audit_problems
from chaos.faults import FAULTS, Fault, Injection
from chaos.lists import Lists, Outcome
from chaos.stage import Stage
from chaos.stream import EMPLOYEES, PILOTS, Happening, Stream, away, people
from relay import vendors
from relay.aws.table import Table as Ledger
from relay.events import BadgeEvent, iso_ms, utc
from relay.occupancy.positions import position_key
from relay.occupancy.rules import anonymous
from relayctl import dead_letters, stopping
from relayctl.dead_letters import Selection

WORKERS = 40
VENDOR_WAITS_SECONDS = 10.0
AGAIN_SECONDS = 1.0
DRAIN_SECONDS = 150.0
REFUSED = frozenset({"rejected"})
"""Dead letters that a fault has made: they are redriven once it is over, as an operator would."""


@dataclass
class Delivery:
    """What became of a happening: during which fault, the answers and the slowest of them."""

    happening: Happening
    fault: str
    statuses: list[int] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def acknowledged(self) -> bool:
        """Whether the relay took it."""
        return any(200 <= status < 300 for status in self.statuses)


class Run:
    """One run of the stream through all faults."""

    def __init__(self, stage: Stage, rate: float, seed: int) -> None:
        self._stage, self._rate, self._stream = stage, rate, Stream(seed)
        self._pool = ThreadPoolExecutor(WORKERS)
        self._http = httpx.Client(trust_env=False, limits=httpx.Limits(max_connections=WORKERS))
        self._lock = Lock()
        self.deliveries: list[Delivery] = []
        self.redriven = self.swept = 0

    def play(self, fault: Fault, seconds: float) -> None:
        """Send the stream for so long while something fails."""
        with Injection(self._stage, fault):
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                delivery = Delivery(self._stream.next(time.time() - 0.005), fault.name)
                self.deliveries.append(delivery)
                self._pool.submit(self._deliver, delivery)
                time.sleep(min(1 / self._rate, left))

    def _deliver(self, delivery: Delivery) -> None:
        """Post as vendors do: again after everything but a 2xx, for as long as the run lasts."""
        until = time.monotonic() + DRAIN_SECONDS
        while not delivery.acknowledged and time.monotonic() < until:
            began = time.monotonic()
            try:
                status = self._post(delivery.happening)
            except httpx.HTTPError:
                time.sleep(AGAIN_SECONDS)  # nobody answers: the relay is being started again
                continue
            delivery.statuses.append(status)
            delivery.slowest = max(delivery.slowest, time.monotonic() - began)
            if not delivery.acknowledged:
                time.sleep(AGAIN_SECONDS)

    def _post(self, happening: Happening) -> int:
        vendor = vendors.load(happening.vendor)
        signature = vendor.scheme.sign(happening.body, self._stage.secrets[happening.source], time.time())
        url = f"{self._stage.url}/webhooks/{vendor.family}/{happening.source}"
        headers = {"content-type": "application/json", **signature.headers}
        return self._http.post(
            url, content=happening.body, headers=headers, timeout=VENDOR_WAITS_SECONDS
        ).status_code

    def settle(self) -> None:
        """Let everything recover: deliveries, the queue, what an operator redrives, what is left to tell."""
        self._pool.shutdown(wait=True)
        self._http.close()
        self._stage.drain(DRAIN_SECONDS)
        found = dead_letters.redrive(self._stage.target, Selection(reasons=REFUSED), lambda number: number)
        self.redriven = len(found.sent)
        self._stage.drain(DRAIN_SECONDS)
        self.swept = self._stage.sweep()
        self._stage.drain(DRAIN_SECONDS)


@dataclass
class Account:
    """Where every acknowledged event is; `problems` says what is missing, or contradicts what happened."""

    where: dict[str, str]
    problems: list[str]


def account(stage: Stage, deliveries: Sequence[Delivery]) -> Account:
    """Look for every acknowledged event: in the dead-letter queue, in the ledger, by the rules."""
    dead = {letter.get("event", {}).get("event_id", ""): letter for letter in dead_letters.peek(stage.target)}
    happened = [delivery.happening for delivery in deliveries if delivery.acknowledged]
    ledger = Ledger(stage.aws.dynamodb, stage.resources.table)
    where = {}
    for one in happened:
        if one.event_id in dead:
            where[one.event_id] = "dead-lettered"
        elif one.kind == "denied":
            where[one.event_id] = "ignored"
        elif _in_ledger(stage, ledger, one):
            where[one.event_id] = "in shadow" if one.kind in PILOTS else "at Calven"
        else:
            where[one.event_id] = "lost"
    problems = [f"lost: {one.kind} {one.event_id}" for one in happened if where[one.event_id] == "lost"]
    problems += [
        f"never acknowledged: {d.happening.kind} {d.happening.event_id}, answers {d.statuses[-3:]}"
        for d in deliveries
        if not d.acknowledged
    ]
    problems += _contradictions(stage, happened, where)
    return Account(where, problems)


def _in_ledger(stage: Stage, ledger: Ledger, one: Happening) -> bool:
    """Whether the ledger has this happening, or a later one of the same person."""
    if one.kind in ("leave", "shadow leave"):
        number = one.who.partition("@")[0].rpartition("-")[2]
        key = (f"leave#{one.source}#{one.kind} {number}", "leave")
        item = ledger.get([key]).get(key)
        return item is not None and item["version"] >= iso_ms(one.at)
    badge = BadgeEvent(event_id=one.event_id, at=utc(one.at / 1000), door="door", person=one.who)
    secret = stage.aws.secrets.get_secret_value(SecretId=f"{stage.target.stack}/person-key")["SecretString"]
    person = anonymous(badge, one.source, secret.encode()).person
    day = stage.day.for_source(shadowed=one.kind in PILOTS)
    key = position_key(day, str(person))
    item = ledger.get([key]).get(key)
    return item is not None and (item["at"], item["event"]) >= one.order


def _contradictions(stage: Stage, happened: Sequence[Happening], where: dict[str, str]) -> list[str]:
    """What Calven shows otherwise than it happened."""
    counted = [one for one in happened if where[one.event_id] != "dead-lettered"]
    state = stage.state()
    names = {place.location_id: name for name, place in stage.config.places.items()}
    shown = Counter({names[location]: event["occupancy"] for location, event in state["occupancy"].items()})
    found = [] if +shown == people(counted) else [f"people: {dict(+shown)}, in truth {dict(people(counted))}"]
    truth, held = away(counted), {who: set(days) for who, days in state["away"].items() if days}
    for number in range(EMPLOYEES):
        who = f"employee-{number}@example.com"
        if held.get(who, set()) != truth.get(who, set()):
            found.append(f"{who} is away on other days than approved")
    if any(body.get("sourceId") in PILOTS.values() for body in stage.told()):
        found.append("Calven was told something of a shadowed source")
    return found


def report(run: Run, found: Account, lists: Sequence[Outcome]) -> None:
    """One table: faults by what became of the events sent during each, or of what a list told."""
    became_columns = ("at Calven", "in shadow", "ignored", "dead-lettered", "lost")
    columns = ("sent", "acknowledged", *became_columns, "slowest answer")
    table = Table("fault", *columns, box=None, header_style="bold")
    for fault in dict.fromkeys(delivery.fault for delivery in run.deliveries):
        some = [delivery for delivery in run.deliveries if delivery.fault == fault]
        became = Counter(found.where.get(delivery.happening.event_id, "") for delivery in some)
        acknowledged = sum(delivery.acknowledged for delivery in some)
        slowest = max((delivery.slowest for delivery in some), default=0)
        numbers: list[Any] = [len(some), acknowledged, *(became[column] for column in became_columns)]
        table.add_row(fault, *map(str, numbers), f"{slowest:.2f} s")
    for one in lists:
        listed = (one.changes, one.changes, one.at_calven, 0, 0, 0, one.lost)
        table.add_row(one.fault, *map(str, listed), f"{one.slowest:.2f} s")
    console = Console(highlight=False, markup=False)
    Console(highlight=False, width=console.width if console.is_terminal else 130).print(table)
    print(
        f"{len(run.deliveries)} events, {run.redriven} refused ones redriven, {len(found.problems)} problems"
    )
    for problem in found.problems[:20]:
        print(problem)


def main() -> int:
    """Run it; 0 when every event is accounted for."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long the stream lasts")
    parser.add_argument("--rate", type=float, default=20, help="events a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="where the relay's log goes")
    chosen = parser.parse_args()
    log = chosen.log or Path(tempfile.mkdtemp(prefix="chaos-")) / "relay.log"
    with stopping.at_once(), Stage(log) as stage:
        stage.calven("unknown", {"users": [f"ghost-{n}@example.com" for n in range(EMPLOYEES)]})
        run = Run(stage, chosen.rate, chosen.seed)
        share = chosen.seconds / sum(fault.weight for fault in FAULTS)
        for fault in FAULTS:
            run.play(fault, share * fault.weight)
        run.settle()
        found = account(stage, run.deliveries)
        lists = Lists(stage).play()
        found.problems += [problem for one in lists for problem in one.problems]
        found.problems += audit_problems(stage)
    report(run, found, lists)
    print(f"the relay's log: {log}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
