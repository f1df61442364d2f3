"""What is checked, step by step; each returns what it found in a few words."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from ruamel.yaml import YAML

from e2e import console, operations
from e2e.checks import Failed, Skipped, equal, until
from e2e.deploy import resources
from e2e.relay import Calven, Relay
from localrun.template import Template
from relay import vendors
from relay.aws.table import Table
from relay.config.store import FRESH_SECONDS, ConfigStore
from relay.events import ASK_NOW
from relayctl import samples

FIRST_ANSWER_SECONDS = 30.0
DRAIN_SECONDS = 180.0
"""An event that could not be forwarded is tried again after about half a minute."""
REDRIVE_SECONDS = 90.0
UNMAPPED = ("kisi", "unmapped-door")
_BY_COMMAND = 3
ASKING = ("kombo", "absences-changed")


@dataclass(frozen=True)
class Step:
    """One line of the report."""

    name: str
    run: Callable[[Relay], str]


def put_secrets(relay: Relay) -> str:
    """Put Calven's secret and every source's with `relayctl`."""
    if relay.secrets is None or relay.config is None:
        raise Skipped(
            "RELAY_CONFIG and RELAY_SECRETS do not both name files: the stack's own secrets are used"
        )
    relay.put_secret("calven", relay.secrets["calven"])
    wanted = [source for source in relay.settings.sources if source in relay.secrets]
    for source in wanted[:_BY_COMMAND]:
        relay.put_secret(source, relay.secrets[source])
    # A command is a process that takes a second to start, and there are over twenty sources.
    for source in wanted[_BY_COMMAND:]:
        relay.store_secret(source, relay.secrets[source])
    return f"of calven and {len(wanted)} sources"


def push_config(relay: Relay) -> str:
    """Push the configuration with `relayctl`."""
    if relay.config is None:
        raise Skipped("RELAY_CONFIG names no file: the stack's own configuration is used")
    version = relay.command("config", "push", relay.config)["version"]
    return f"version {version}"


def count_people(relay: Relay) -> str:
    """Two people come in by two vendors' doors; one goes out of the level, into the building around it."""
    calven, level, site = _sandbox(relay), _location(relay, "sydney-l3"), _location(relay, "sydney")
    until("a first answer", FIRST_ANSWER_SECONDS, lambda: relay.send("kisi", "denied")[0] == 200)
    equal("kisi badge-in", relay.command("send", "kisi", "badge-in")["status"], 200)
    equal("verkada badge-in", relay.send("verkada", "badge-in"), (200, "forwarded"))
    equal("counts with two inside", _counts(calven, level, site), [2, 2])
    equal("kisi badge-out", relay.send("kisi", "badge-out"), (200, "forwarded"))
    equal("counts with one outside the level", _counts(calven, level, site), [1, 2])
    return "kisi and verkada: 2 on the level, then 1"


def plan_leave(relay: Relay) -> str:
    """Leave of three vendors, one of which the relay has to ask for the facts."""
    calven = _sandbox(relay)
    until("a first answer", FIRST_ANSWER_SECONDS, lambda: relay.send("deel", "contract-created")[0] == 200)
    for vendor in ("deel", "hibob", "vacationtracker"):
        equal(f"{vendor} approved", relay.send(vendor, "approved"), (200, "forwarded"))
    equal("days away", {person: len(days) for person, days in calven.state()["away"].items()}, _AWAY)
    return "deel, hibob, vacationtracker: " + ", ".join(f"{days} days" for days in _AWAY.values())


_SENT = ("kisi", "verkada", "deel", "hibob", "vacationtracker")
_AWAY = {"Sam@example.com": 5, "kim@example.com": 5, "ira@example.com": 3}
_MOVED = [f"2027-02-0{day}" for day in range(3, 9)]


def outlast_outage(relay: Relay) -> str:
    """Calven fails, events of both families are acknowledged, and arrive by themselves afterwards."""
    calven, level = _sandbox(relay), _location(relay, "sydney-l3")
    before = calven.state()
    calven.fail("503")
    try:
        equal("kisi badge-in", relay.send("kisi", "badge-in"), (202, "queued"))
        equal("deel rescheduled", relay.send("deel", "rescheduled"), (202, "queued"))
        equal("what Calven holds while it fails", calven.state(), before)
        queued = relay.waiting(relay.target.unprocessed_queue_url)
        if not queued:
            raise Failed("the Unprocessed queue is empty while Calven fails")
    finally:
        calven.mend()
    until(
        "the Unprocessed queue drained",
        DRAIN_SECONDS,
        lambda: relay.waiting(relay.target.unprocessed_queue_url) == 0,
    )
    equal("count after the outage", _counts(calven, level), [2])
    equal("days away after the outage", sorted(calven.state()["away"]["Sam@example.com"]), _MOVED)
    return f"2 answered 202 during a 503, {queued} messages drained, Calven caught up"


def make_dead_letter(relay: Relay) -> str:
    """An event at a door that nobody has configured, listed and shown."""
    source = _door_source(relay)
    if relay.calven:
        # The same person, who is to be counted once the door is known.
        equal("kisi badge-out", relay.send("kisi", "badge-out"), (200, "forwarded"))
    choice = ("--source", source, "--reason", "unmapped_door")
    before = {letter["id"] for letter in relay.command("dlq", "list", *choice)}
    equal("the answer", relay.send(*UNMAPPED, source=source), (202, "queued"))
    [letter] = until(
        "one more dead letter",
        REDRIVE_SECONDS,
        lambda: [each["id"] for each in relay.command("dlq", "list", *choice) if each["id"] not in before],
    )
    shown = relay.command("dlq", "show", letter)
    equal("the letter shown", (shown["id"], shown["reason"]), (letter, "unmapped_door"))
    relay.letter = letter
    return f"unmapped_door, {letter}"


def redrive(relay: Relay) -> str:
    """The door is configured, and the dead letter sent through the relay again."""
    if relay.letter is None:
        raise Skipped("there is no dead letter to be mended")
    place = next(iter(relay.settings.doors[_door_source(relay)].values())).place
    before = _counts(relay.calven, _location(relay, place)) if relay.calven else []
    relay.command("config", "push", _with_door(relay, place))
    # A function that read its configuration a moment ago does not look for an unmapped door in a newer one.
    time.sleep(FRESH_SECONDS + 1)
    try:
        sent = relay.command("dlq", "redrive", "--id", relay.letter)["redriven"]
        equal("letters redriven", sent, 1)
        until(
            "the redriven letter gone",
            REDRIVE_SECONDS,
            lambda: relay.waiting(relay.target.unprocessed_queue_url) == 0,
        )
        left = {letter["id"] for letter in relay.command("dlq", "list")}
        equal("the letter is dead again", relay.letter in left, False)
        if relay.calven:
            equal(f"count of {place}", _counts(relay.calven, _location(relay, place)), [before[0] + 1])
    finally:
        relay.command("config", "push", relay.config or "")
    return f"mapped to {place}, redriven, arrived"


def send_every_source(relay: Relay) -> str:
    """Each source's first sample is acknowledged; with the sandbox, those not sent before are forwarded."""
    config = ConfigStore(Table(relay.target.client("dynamodb"), relay.target.table)).current()
    answers: dict[str, tuple[int, str]] = {}
    sent_before = _SENT if relay.calven else ()
    for name, source in config.sources.items():
        if source.vendor not in sent_before and vendors.load(source.vendor).sends_webhooks:
            answers[name] = relay.send(source.vendor, source=name)
    wrong = {name: answer for name, answer in answers.items() if not _fine(relay, answer)}
    if wrong:
        raise Failed(f"answers: {wrong}")
    if relay.calven:
        until(
            "the Unprocessed queue drained",
            DRAIN_SECONDS,
            lambda: relay.waiting(relay.target.unprocessed_queue_url) == 0,
        )
    outcomes = Counter(outcome for _, outcome in answers.values())
    return f"{len(answers)} sources: " + ", ".join(f"{number} {name}" for name, number in outcomes.items())


def reconcile(relay: Relay) -> str:
    """A webhook says only that there is news: the function that reconciles asks what, and Calven is told."""
    calven, vendor_api = _sandbox(relay), relay.vendor_api
    if vendor_api is None:
        raise Skipped("needs the stand-ins for the vendors' APIs")
    vendor, sample = ASKING
    [source] = [name for name, source in relay.settings.sources.items() if source.vendor == vendor]
    [report] = relay.command("reconcile", source)
    equal("the run by hand", report["status"], "complete")
    before = calven.state()["away"]
    said = {"vendor": vendor, "sample": sample, "payload": json.loads(samples.body(vendor, sample))}
    httpx.post(f"{vendor_api}/_vendors/happened", json=said, timeout=5, trust_env=False).raise_for_status()
    equal("the webhook", relay.send(vendor, sample, source=source), (200, ASK_NOW))
    until("leave that was asked for", DRAIN_SECONDS, lambda: calven.state()["away"] != before)
    return f"{source} asked, Calven told"


def run_schedules(relay: Relay) -> str:
    """The scheduled functions, each invoked once."""
    names = resources(relay.target.client("cloudformation"), relay.stack)
    told: list[str] = []
    for schedule in Template().schedules:
        name = names[schedule.function.logical_id]
        answer = relay.target.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer or not payload.keys() & {"facts", "sources"}:
            raise Failed(f"{schedule.function.handler} answered {payload}")
        told += [f"{number} {what}" for what, number in payload.items()]
    return ", ".join(told)


def find_nothing_left(relay: Relay) -> str:
    """No event waits, for Calven or for an operator."""
    _sandbox(relay)
    for queue in (relay.target.unprocessed_queue_url, relay.target.dead_letter_queue_url):
        equal(f"messages in {queue.rpartition('/')[2]}", relay.waiting(queue), 0)
    return "both queues are empty"


STEPS = (
    Step("configuration", push_config),
    Step("secrets", put_secrets),
    Step("people", count_people),
    Step("leave", plan_leave),
    Step("outage", outlast_outage),
    Step("dead letter", make_dead_letter),
    Step("console", console.open_console),
    Step("views", console.look_at_views),
    Step("redrive", redrive),
    Step("every source", send_every_source),
    Step("reconcile", reconcile),
    Step("schedules", run_schedules),
    Step("parameter", operations.change_parameter),
    Step("rollback", operations.roll_back),
    Step("version", operations.repeat_version),
    Step("anew", operations.make_anew),
    Step("restore", operations.restore_ledger),
    Step("alarms", operations.hear_alarms),
    Step("queues", find_nothing_left),
)


def _sandbox(relay: Relay) -> Calven:
    if relay.calven is None:
        raise Skipped("needs Calven's sandbox")
    return relay.calven


def _location(relay: Relay, place: str) -> str:
    return relay.settings.places[place].location_id


def _counts(calven: Calven, *locations: str) -> list[float]:
    occupancy: Mapping[str, Mapping[str, float]] = calven.state()["occupancy"]
    return [occupancy.get(location, {}).get("occupancy", 0) for location in locations]


def _door_source(relay: Relay) -> str:
    """A source of the unmapped sample's vendor, with a door that is mapped."""
    vendor = UNMAPPED[0]
    if relay.config is None:
        raise Skipped("RELAY_CONFIG names no file: the stack's own configuration is left alone")
    for name, source in relay.settings.sources.items():
        if source.vendor == vendor and relay.settings.doors.get(name):
            return name
    raise Skipped(f"the configuration has no source of vendor {vendor} with a door")


def _with_door(relay: Relay, place: str) -> Path:
    """The configuration with the sample's door in it."""
    source, path, yaml = _door_source(relay), relay.folder / "with-door.yaml", YAML()
    document = yaml.load(relay.config)
    door = str(json.loads(samples.body(*UNMAPPED))["object_id"])
    document.setdefault("doors", {}).setdefault(source, {})[door] = {"place": place, "direction": "in"}
    yaml.dump(document, path)
    return path


def _fine(relay: Relay, answer: tuple[int, str]) -> bool:
    """Whether an event arrives, or has its vendor asked; without the sandbox, whether it was taken.

    One waits where the schedule has just begun a reconciliation, which renews the source's token.
    """
    if relay.calven is None:
        return answer[0] in (200, 202)
    return answer in ((200, "forwarded"), (202, "queued"), (200, ASK_NOW))
