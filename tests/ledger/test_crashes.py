"""Wherever a process ends and whichever answer gets lost, the relay ends up where it would have anyway.

A scenario runs once undisturbed. Then it runs anew for each of the relay's outward requests (to AWS, Calven
and HiBob) that changes something, and the process ends there: right before the request is sent, or once it
is carried out and before its answer is seen. A new process gets what the vendor, the queue or the schedule
brings again. To end before a request leaves behind what to end after the one before it does: where both
would be the same test, there is one of them. `test_one_request_further_each_time` ends at the others, too.

What must be equal in the end: what Calven shows, every occupancy event that it was told, who is where, how
many people are in each place and that Calven has accepted it, each leave, the days wanted and held, which of
them are confirmed, that no lease is in force, that nothing waits in the queue, and why letters are dead.
What may differ: the number of requests, revisions, the times at which something was recorded or asked, in
which time-off events the days came, and how often the same dead letter is there.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache, partial
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from relay.config.file import RelayYaml
from relay.events import iso
from tests.machine import Instead, Machine, Moment, Site, Step, Taken
from tests.moto_table import FEW
from tests.rig import NOON, Rig, Sandboxes, sample

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""

SAM, NEW, KIM = "Sam@example.com", "sam.new@example.com", "kim@example.com"
ANN, BEN, CAT = 1, 2, 3
RESET = NOON + 13 * 3600
"""04:00 in Sydney, the day after `NOON`."""
LEASE_SECONDS = 15.0
"""After so long a lease has run out, whoever held it."""
HARMLESS = ("BatchGetItem", "Query", "GetSecretValue", "GET ", "POST /v1/auth")
"""The requests that change nothing."""

MOMENTS: tuple[Moment, ...] = ("before", "after")
TAKEN: tuple[Taken, ...] = ("never", "at once", "late")
BROKEN = httpx.ReadError("connection reset")


New = Callable[[], AbstractContextManager[Site]]


@pytest.fixture(scope="module")
def new() -> Iterator[New]:
    """Makes a relay of its own for each run. Nothing here speaks TLS, so one context is enough for all."""
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
OVERLAP = Scenario(
    then=[APPROVED, leave(2, "APPROVED", 4, 8, kind="Sick leave", leave="2")],
    away={SAM: {**days(1, 3), **days(4, 8, "sick")}},
)
REPLACED = replace(LEAVE["replaced"], given=[], then=[("hibob", "approved"), ("hibob", "updated")])
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


def deaths(requests: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The requests to end at, with their numbers: those that change something."""
    for number, name in enumerate(requests, 1):
        if not name.startswith(HARMLESS):
            yield number, f"request {number} of {len(requests)}, {name}"


@pytest.mark.parametrize(
    ("name", "moment"), [*((name, "before") for name in WEBHOOKS), *((name, "after") for name in LEAVE)]
)
def test_delivered_again(new: New, name: str, moment: Moment) -> None:
    """Wherever the process ends, the same webhook again brings about what would have been.

    At once, it may find the lease of the process that ended in force, and leave the rest to the queue; after
    the lease has run out, it needs no queue.
    """
    scenario, run = WEBHOOKS[name], undisturbed(new, name)
    for number, request in deaths(run.requests):
        with new() as site:
            begin(site, scenario)
            site.machine.count(moment, number)
            site.deliver(scenario.then, wait=0 if moment == "before" else LEASE_SECONDS)
            if moment == "before":
                site.recover()
                site.drain()
            if scenario.left:
                site.sweep()
            assert site.end() == run.end, f"{name}: ended {moment} {request}"
            assert site.told() == run.told, f"{name}: ended {moment} {request}"


def test_refused_leave(new: New) -> None:
    """Wherever the process ends, leave that Calven refuses is a dead letter; cancelled, it leaves nothing.

    Where the outcome of an attempt is unknown, its days may be held, even if the next attempt is refused.
    """
    for number, request in deaths(undisturbed(new, "refused").requests):
        with new() as site:
            begin(site, REFUSED)
            site.machine.count("after", number)
            site.deliver(REFUSED.then, wait=LEASE_SECONDS)
            assert site.end()["dead"] == {"unknown_user"}, f"ended after {request}"
            site.refuse()
            site.deliver([leave(2, "CANCELED", 1, 5)])
            assert (site.end()["away"], site.end()["employees"]) == ({}, {}), f"ended after {request}"


@pytest.mark.parametrize("name", BADGES)
def test_never_delivered_again(new: New, name: str) -> None:
    """Where nobody delivers again, the schedule tells what was recorded, which is all or nothing."""
    scenario, run = BADGES[name], undisturbed(new, name)
    for number, request in deaths(run.requests):
        with new() as site:
            begin(site, scenario)
            site.machine.count("after", number)
            outlived = (site.machine.survives(partial(site.take, step)) for step in scenario.then)
            fatal = next(index for index, survived in enumerate(outlived) if not survived)
            site.restart()
            recorded = site.end()["people"] == run.ends[fatal + 1]["people"]
            site.sweep()
            assert site.end() == run.ends[fatal + recorded], f"{name}: ended after {request}"


@pytest.mark.parametrize("name", SCHEDULE)
def test_schedule(new: New, name: str) -> None:
    """Wherever a run of the schedule ends, the next one does the rest."""
    scenario, run = SCHEDULE[name], undisturbed(new, name)
    for number, request in deaths(run.requests):
        with new() as site:
            begin(site, scenario)
            site.machine.count("after", number)
            site.deliver(scenario.then, wait=900)
            site.recover()
            site.drain()
            assert site.end() == run.end, f"{name}: ended after {request}"
            assert site.told() == run.told, f"{name}: ended after {request}"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", ["entry", "replaced", "leave while Calven is down", "end of a day"])
def test_one_request_further_each_time(new: New, name: str, moment: Moment) -> None:
    """However often the process ends, each time one request later, reads included, the end is the same."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        for step in scenario.then:
            for number in count(1):
                site.restart()
                site.machine.count(moment, number)
                if site.machine.survives(partial(site.take, step)):
                    break
                site.clock.advance(LEASE_SECONDS)
        site.recover()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


def fill(site: Site, scenario: Scenario, mode: str) -> None:
    """Leave a scenario in the queue: recorded and not told, or as it came."""
    if mode == "direct":
        site.fail_submissions("503")
    site.relay = site.built(FORWARD_MODE=mode)
    site.leave_to_queue(scenario.then)
    site.recover()
    site.relay = site.built()
    site.machine.count()


@pytest.mark.parametrize(
    ("mode", "scenario"),
    [
        ("direct", BADGES["a day"]),
        ("queued", BADGES["a day"]),
        ("direct", OVERLAP),
        ("queued", REPLACED),
    ],
    ids=["badges recorded", "badges stored", "leave recorded", "leave stored"],
)
def test_retry_function(new: New, mode: str, scenario: Scenario) -> None:
    """Wherever the retry function ends, the queue delivers the batch again, and nothing is lost of it.

    Where several events of a batch that was only stored had been recorded when the process ended, Calven is
    told the latest count of each place, and not those in between.
    """
    with new() as site:
        fill(site, scenario, mode)
        site.drain()
        run = Run(meant(site, scenario), site.told(), list(site.machine.requests))
    for number, request in deaths(run.requests):
        with new() as site:
            fill(site, scenario, mode)
            site.machine.count("after", number)
            site.drain()
            assert site.end() == run.end, f"ended after {request}"
            assert site.told() <= run.told, f"ended after {request}"
            assert mode == "queued" or site.told() == run.told, f"ended after {request}"


@pytest.mark.parametrize("taken", ["at once", "late"])
@pytest.mark.parametrize("name", [*BADGES, *LEAVE])
def test_unknown_outcome(new: New, name: str, taken: Taken) -> None:
    """Where nobody knows whether Calven took what it was sent, the queue sees to the same end."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        site.machine.loss = (BROKEN, taken)
        site.leave_to_queue(scenario.then)
        site.recover_late()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


@pytest.mark.parametrize(
    "instead",
    [
        httpx.ReadTimeout("no answer"),
        (200, b'{"results": ['),
        (200, b'{"results": []}'),
        (500, b""),
        (504, b""),
    ],
    ids=["time-out", "garbage", "no results", "error", "error of a gateway"],
)
@pytest.mark.parametrize("name", ["entry", "moved"])
def test_taken_without_an_answer(new: New, name: str, instead: Instead) -> None:
    """What Calven took, and whatever else comes instead of its answer, is sent again and does no harm."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        site.machine.loss = (instead, "at once")
        site.leave_to_queue(scenario.then)
        site.recover_late()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


@pytest.mark.parametrize("mode", ["hang", "reset", "garbage", "missing-results", "503"])
@pytest.mark.parametrize("name", ["entry", "moved"])
def test_failing_calven(new: New, name: str, mode: str) -> None:
    """However Calven fails on the wire, the queue sees to the same end."""
    scenario, run = SCENARIOS[name], undisturbed(new, name)
    with new() as site:
        begin(site, scenario)
        site.fail_submissions(mode)
        site.leave_to_queue(scenario.then, received_at=NOON - 3.9)
        site.recover_late()
        site.drain()
        assert (site.end(), site.told()) == (run.end, run.told)


@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("name", [name for name, scenario in LEAVE.items() if scenario.given])
def test_overtaken(new: New, name: str, taken: Taken) -> None:
    """A change that comes while nobody knows what became of the one before it has the last word."""
    scenario, run = LEAVE[name], undisturbed(new, name)
    with new() as site:
        site.machine.loss = (BROKEN, taken)
        site.leave_to_queue(scenario.given)
        site.machine.loss = None
        site.deliver(scenario.then)
        site.recover_late()
        site.drain()
        assert site.end() == run.end


Trouble = tuple[Moment, int] | Taken | None
"""The moment and the request at which the process ends, or the loss of Calven's answers, or nothing."""
TROUBLES: st.SearchStrategy[Trouble] = (
    st.none() | st.sampled_from(TAKEN) | st.tuples(st.sampled_from(MOMENTS), st.integers(1, 12))
)
REQUESTED = [
    leave(1, "REQUESTED", 1, 4, leave="1"),
    leave(2, "REQUESTED", 1, 4, leave="2"),
    leave(3, "REQUESTED", 1, 4, KIM, leave="3"),
]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Step, Trouble, bool]]:
    """What happens, the trouble with it, and whether it comes again, if it must, after all the others."""
    numbers = range(10, 10 + draw(st.integers(3, 7)))
    return [(draw(_steps(number)), draw(TROUBLES), draw(st.booleans())) for number in numbers]


def _steps(number: int) -> st.SearchStrategy[Step]:
    """A badge of one of three people, or a change of one of three leaves of two employees."""
    doors = st.sampled_from(("in l1", "out l1", "in l1-a", "out l1-a", "in l2-a", "out hq"))
    badges = st.builds(badge, st.just(number), st.sampled_from((ANN, BEN, CAT)), doors)
    leaves = st.sampled_from("123")
    changes = st.builds(
        lambda status, first, email, kind, name: leave(number, status, first, first + 3, email, kind, name),
        st.sampled_from(("APPROVED", "APPROVED", "CANCELED", "REQUESTED")),
        st.integers(1, 4),
        st.sampled_from((SAM, KIM)),
        st.sampled_from(("Vacation", "Sick leave")),
        leaves,
    )
    return badges | changes | st.builds(deleted, st.just(number), leaves)


def apart(end: Mapping[str, Any]) -> dict[str, Any]:
    """An end without what the order of arrival decides: places where nobody is, what an ended leave was."""
    return {
        **end,
        "counts": {place: people for place, people in end["counts"].items() if people},
        "places": {key: place for key, place in end["places"].items() if place["people"]},
        "leaves": {key: leave["state"] for key, leave in end["leaves"].items()},
    }


@FEW
@given(history=histories())
def test_any_history(new: New, history: list[tuple[Step, Trouble, bool]]) -> None:
    """Whatever happens, with whatever trouble, in whatever order it comes again: the end is the same.

    Calven need not be told every count in between: the order of arrival decides on those.
    """
    with new() as site:
        site.deliver([*REQUESTED, *(step for step, *_ in history)])
        site.drain()
        end = site.end()
    with new() as site:
        site.deliver(REQUESTED)
        last: list[Step] = []
        for step, trouble, is_last in history:
            site.machine.loss = (BROKEN, trouble) if isinstance(trouble, str) else None
            site.machine.count(*(trouble if isinstance(trouble, tuple) else ()))
            if not site.machine.survives(partial(site.take, step)):
                site.restart()
                (last.append if is_last else site.take)(step)
        site.machine.count()
        site.recover_late()
        site.deliver(last)
        site.drain()
        site.sweep()
        assert apart(site.end()) == apart(end)


def test_two_changes_of_address_during_an_outage(new: New) -> None:
    """The first address has its days back, however often the address changed until Calven was back."""
    with new() as site:
        site.deliver([APPROVED])
        site.fail_submissions("503")
        site.leave_to_queue(
            [leave(2, "APPROVED", 1, 5, NEW), leave(3, "APPROVED", 1, 5, "sam.third@example.com")]
        )
        site.recover()
        site.drain()
        assert site.end()["away"] == {"sam.third@example.com": days(1, 5)}


def test_two_changes_of_address_and_a_crash(new: New) -> None:
    """The same after a crash between recording the first change and telling Calven."""
    with new() as site:
        site.deliver([APPROVED])
        site.machine.count("after", 3)
        assert not site.machine.survives(partial(site.take, leave(2, "APPROVED", 1, 5, NEW)))
        assert site.machine.requests[-1] == "TransactWriteItems"
        site.restart()
        site.deliver([leave(3, "APPROVED", 1, 5, "sam.third@example.com"), leave(2, "APPROVED", 1, 5, NEW)])
        site.drain()
        assert site.end()["away"] == {"sam.third@example.com": days(1, 5)}


def test_unknown_leave_while_no_queue_answers(rig: Rig) -> None:
    """A deletion that is of no use is answered 202 only once it is in the dead-letter queue."""
    rig.aws.sqs.delete_queue(QueueUrl=rig.resources.dead_letter_queue_url)
    assert rig.post("deel", "deleted")[0] == 503
    assert rig.post("deel", "deleted")[0] == 503


def test_unknown_leave_and_a_crash(new: New) -> None:
    """The same where the process ends between its tombstone and its dead letter."""
    with new() as site:
        site.machine.count("after", 5)
        assert not site.machine.survives(partial(site.take, deleted(1)))
        assert site.machine.requests[-1] == "UpdateItem"
        site.restart()
        site.deliver([deleted(1)])
        assert site.end()["dead"] == {"unknown_leave"}
