"""Events of vendors, in scenarios, and how each ends where nothing goes wrong."""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any

import httpx
import pytest
from moto import mock_aws

from relay.config.file import RelayYaml
from relay.events import iso
from tests.machine import Machine, Moment, Site, Step, Taken
from tests.rig import NOON, sample
from tests.sandboxes import Sandboxes

SAM, NEW, KIM = "Sam@example.com", "sam.new@example.com", "kim@example.com"
ANN, BEN, CAT = 1, 2, 3
RESET = NOON + 13 * 3600
"""04:00 in Sydney, the day after `NOON`."""

MOMENTS: tuple[Moment, ...] = ("before", "after")
TAKEN: tuple[Taken, ...] = ("never", "at once", "late")
BROKEN = httpx.ReadError("connection reset")
New = Callable[[], AbstractContextManager[Site]]


@contextmanager
def relays() -> Iterator[New]:
    """Makes relays on one machine. Nothing here speaks TLS, so one context is enough for all."""
    machine = Machine()
    with pytest.MonkeyPatch.context() as patch, Sandboxes() as sandboxes:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        sandboxes.config = _config()

        @contextmanager
        def make() -> Iterator[Site]:
            with mock_aws(), Site(sandboxes, machine) as site:
                yield site

        yield make
    machine.switch_off()


def _config() -> RelayYaml:
    within = {"hq": None, "l1": "hq", "l2": "hq", "l1-a": "l1", "l1-b": "l1", "l2-a": "l2"}
    site = {"locationType": "location", "timezone": "Australia/Sydney"}
    places = {
        name: {"locationId": f"id-{name}", **({"within": outer, "locationType": "zone"} if outer else site)}
        for name, outer in within.items()
    }
    doors = ("in l1", "out l1", "in l1-a", "out l1-a", "in l1-b", "in l2", "in l2-a", "out hq")
    sources = {
        "kisi-sydney": {"vendor": "kisi"},
        "deel": {"vendor": "deel", "timeOffTypes": {"Vacation": "holiday", "Sick leave": "sick"}},
        "hibob": {"vendor": "hibob", "timeOffTypes": {"Holiday": "holiday"}},
    }
    leading = {door: dict(zip(("direction", "place"), door.split(), strict=True)) for door in doors}
    return RelayYaml.model_validate({"sources": sources, "places": places, "doors": {"kisi-sydney": leading}})


def badge(number: int, person: int, door: str, at: float = NOON) -> Step:
    """The n-th badge, so many seconds after ten minutes ago, at a door called for example `in l1-a`."""
    created_at = iso(at - 600 + number)
    event = {"uuid": f"e{number:02}", "actor_id": person, "object_id": door, "created_at": created_at}
    return "kisi", sample("kisi", "badge-in", **event)


def leave(
    number: int,
    status: str,
    first: int,
    last: int,
    email: str = SAM,
    kind: str = "Vacation",
    leave: str = "1",
) -> Step:
    """The n-th change of Deel's, of a leave that takes these days of February 2027."""
    at = iso(NOON - 600 + number)
    fields = {
        "meta__tracking_id": f"t{number}",
        "resource__id": leave,
        "resource__status": status,
        "resource__start_date": _day(first),
        "resource__end_date": _day(last),
        "resource__updated_at": at,
        "resource__type": kind,
        "resource__requester__work_email": email,
    }
    changes = {f"data__{name}": value for name, value in fields.items()}
    return "deel", sample("deel", "approved", timestamp=at, **changes)


def deleted(number: int, leave: str = "1") -> Step:
    """The deletion of a leave, known only by its id."""
    changes = {"data__meta__tracking_id": f"t{number}", "data__resource__time_off_id": leave}
    return "deel", sample("deel", "deleted", timestamp=iso(NOON - 600 + number), **changes)


def _day(number: int) -> str:
    return (date(2027, 1, 31) + timedelta(days=number)).isoformat()


def days(first: int, last: int, kind: str = "holiday") -> dict[str, str]:
    """Days away, by their number from the first of February on."""
    return {_day(number): kind for number in range(first, last + 1)}


APRIL = 59
"""The number of the day before the first of April, when HiBob's samples begin."""
APPROVED = leave(1, "APPROVED", 1, 5)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What was there, what happens then, how many people are where in the end, and who is away when.

    `untold` are badges before it that were recorded and of which Calven heard nothing. `left` says that
    somebody leaves places that are not around the badge's door: where the process ends before they are told,
    they are the next sweep's, by design. `down` is how Calven fails meanwhile, `unknown` whom and what it
    does not know, and `mode` the relay's `FORWARD_MODE`.
    """

    given: Sequence[Step] = ()
    untold: Sequence[Step] = ()
    then: Sequence[Step]
    people: Mapping[str, int] = field(default_factory=dict)
    away: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    left: bool = False
    down: str = ""
    unknown: str = ""
    mode: str = "direct"


BADGES = {
    "entry": Scenario(then=[badge(1, ANN, "in l1-a")], people={"l1-a": 1, "l1": 1, "hq": 1}),
    "move to another branch": Scenario(
        given=[badge(1, ANN, "in l1-a")],
        then=[badge(2, ANN, "in l2-a")],
        people={"l2-a": 1, "l2": 1, "hq": 1},
        left=True,
    ),
    "out to the parent": Scenario(
        given=[badge(1, ANN, "in l1-a"), badge(2, BEN, "in l1-a")],
        then=[badge(3, ANN, "out l1-a")],
        people={"l1-a": 1, "l1": 2, "hq": 2},
    ),
    "late into a closed day": Scenario(
        given=[badge(1, ANN, "in l1-a"), ("schedule", RESET + 120)], then=[badge(2, BEN, "in l1-a")]
    ),
    "a day": Scenario(
        then=[badge(1, ANN, "in l1-a"), badge(2, BEN, "in l1"), badge(3, ANN, "out l1-a")],
        people={"l1": 2, "hq": 2},
    ),
}
LEAVE = {
    "approved": Scenario(then=[APPROVED], away={SAM: days(1, 5)}),
    "moved": Scenario(given=[APPROVED], then=[leave(2, "APPROVED", 3, 8)], away={SAM: days(3, 8)}),
    "shortened": Scenario(given=[APPROVED], then=[leave(2, "APPROVED", 2, 4)], away={SAM: days(2, 4)}),
    "cancelled": Scenario(given=[APPROVED], then=[leave(2, "CANCELED", 1, 5)]),
    "another type": Scenario(
        given=[APPROVED],
        then=[leave(2, "APPROVED", 1, 5, kind="Sick leave")],
        away={SAM: days(1, 5, "sick")},
    ),
    "deleted by id": Scenario(given=[APPROVED], then=[deleted(2)]),
    "replaced": Scenario(
        given=[("hibob", "approved")],
        then=[("hibob", "updated")],
        away={KIM: days(APRIL + 7, APRIL + 12)},
    ),
    "another address": Scenario(
        given=[APPROVED], then=[leave(2, "APPROVED", 2, 6, NEW)], away={NEW: days(2, 6)}
    ),
    "overlap of two sources": Scenario(
        given=[leave(1, "APPROVED", APRIL + 7, APRIL + 12, KIM)],
        then=[("hibob", "approved"), leave(2, "CANCELED", APRIL + 7, APRIL + 12, KIM)],
        away={KIM: days(APRIL + 5, APRIL + 9)},
    ),
}
STORED = {
    "badge while Calven is down": Scenario(
        then=[badge(1, ANN, "in l1")], people={"l1": 1, "hq": 1}, down="503"
    ),
    "leave while Calven is down": Scenario(
        given=[APPROVED], then=[leave(2, "APPROVED", 3, 8)], away={SAM: days(3, 8)}, down="503"
    ),
    "stored first": Scenario(
        then=[badge(1, ANN, "in l1"), APPROVED],
        people={"l1": 1, "hq": 1},
        away={SAM: days(1, 5)},
        mode="queued",
    ),
    "unmapped door": Scenario(then=[badge(1, ANN, "in the wall")]),
    "unknown place": Scenario(then=[badge(1, ANN, "in l1")], people={"hq": 1}, unknown="id-l1"),
}
SCHEDULE = {
    "end of a day": Scenario(given=[badge(1, ANN, "in l1")], then=[("schedule", RESET + 120)]),
    "end of a day while Calven is down": Scenario(
        given=[badge(1, ANN, "in l1")], then=[("schedule", RESET + 120)], down="503"
    ),
    "sweep": Scenario(
        untold=[badge(1, ANN, "in l1"), badge(2, BEN, "in l2-a")],
        then=[("schedule", NOON + 900)],
        people={"l1": 1, "l2-a": 1, "l2": 1, "hq": 2},
    ),
    "sweep while Calven is down": Scenario(
        untold=[badge(1, ANN, "in l1")],
        then=[("schedule", NOON + 900)],
        people={"l1": 1, "hq": 1},
        down="503",
    ),
}

REFUSED = Scenario(then=[APPROVED], unknown=SAM)
WEBHOOKS = {**BADGES, **LEAVE, **STORED}
SCENARIOS = {**WEBHOOKS, **SCHEDULE, "refused": REFUSED}


def begin(site: Site, scenario: Scenario) -> None:
    """What was there, and a process that goes on from there."""
    site.deliver(scenario.given)
    if scenario.untold:
        site.fail_submissions("503")
        site.leave_to_queue(scenario.untold)
        site.aws.sqs.purge_queue(QueueUrl=site.resources.unprocessed_queue_url)
        site.recover()
    if scenario.mode != "direct":
        site.relay = site.built(FORWARD_MODE=scenario.mode)
    if scenario.down:
        site.fail_submissions(scenario.down)
    site.refuse(users=[scenario.unknown], locations=[scenario.unknown])


@dataclass(frozen=True)
class Run:
    """An undisturbed run: its end, what Calven was told, the relay's requests, and the end of each step."""

    end: Mapping[str, Any]
    told: set[str]
    requests: Sequence[str]
    ends: Sequence[Mapping[str, Any]] = ()


RUNS: dict[str, Run] = {}


def undisturbed(new: New, name: str) -> Run:
    """A scenario as it is meant to go; run once for all tests."""
    if name not in RUNS:
        scenario = SCENARIOS[name]
        with new() as site:
            begin(site, scenario)
            site.machine.count()
            ends = [site.end()]
            for step in scenario.then:
                site.deliver([step])
                ends += [site.end()] if name in BADGES else []
            requests = list(site.machine.requests)
            site.recover()
            site.drain()
            RUNS[name] = Run(meant(site, scenario), site.told(), requests, ends)
    return RUNS[name]


def meant(site: Site, scenario: Scenario) -> Mapping[str, Any]:
    """The end, which has to be the one that the scenario names, with nothing left to do."""
    end = site.end()
    assert {place: people for place, people in end["counts"].items() if people} == scenario.people
    assert end["away"] == scenario.away
    assert end["waiting"] == []
    assert all(place["told"] for place in end["places"].values())
    for _, held, leased in end["employees"].values():
        assert all(confirmed for *_, confirmed in held)
        assert not leased
    return end
