"""Leave in any order: interleaved workers, crashes, a Calven of many moods; and the truth."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from relay.aws.table import Table
from relay.config.model import Source, TimeOffType
from relay.deadline import Deadline
from relay.errors import Contended, InvalidLeave
from relay.events import Amount, LeaveChange
from relay.time_off.days import span
from relay.time_off.ledger import Leaves
from relay.time_off.rules import TimeOff
from relay.time_off.submission import LEASE_GRACE_SECONDS, Submission
from tests.leave_book import SAM, SECONDS, TYPES, as_arrival, change, deleted
from tests.memory import Memory
from tests.moto_table import FEW, Crash, Ledger, many
from tests.rig import Clock, Rig, sample
from tests.sandboxes import Sandboxes

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]
"""They visit the same lines thousands of times, which other tests measure."""

PEOPLE = (SAM, "SAM@EXAMPLE.COM", "kim@example.com")
SOURCES = {
    "deel": Source.model_validate({"vendor": "deel", "timeOffTypes": TYPES}),
    "hibob": Source.model_validate({"vendor": "hibob", "timeOffTypes": TYPES, "partDays": "whole"}),
}
OLD = change(1, "ended", 21, 25, "old")
"""The end of a leave that is older than the relay: Calven has its days, the ledger has never heard of it."""
LEASE = SECONDS + LEASE_GRACE_SECONDS
MANY = many(150)
LESS = settings(FEW, max_examples=4)

Arrival = tuple[str, LeaveChange]
"""A change, and the source that it comes from."""
Days = dict[str, dict[date, TimeOffType]]
Play = tuple[list[Arrival], list[Arrival], list[str], list[str]]
"""A history, how it arrives, what happens at each request, and Calven's mood at each submission."""

HALF = Amount(value=0.5, unit="days")
PARTS: tuple[dict[str, Any], ...] = ({"first_day_part": True}, {"last_day_part": True}, {"each_day": HALF})

STEPS = ("other", "other", "other", "crash", "wait", "wait longer")
"""What may happen right before and after each request to the table and to Calven."""
MOODS: Mapping[str, tuple[str, str, bool]] = {
    "takes": ("all", "all", False),
    "fails": ("none", "none", False),
    "is silent": ("none", "none", True),
    "takes silently": ("all", "none", True),
    "refuses": ("none", "refused", False),
    "refuses some": ("some", "refused", False),
    "loses some": ("some", "some", False),
    "forgets some": ("all", "some", False),
}
"""Which events of a submission Calven takes, what it says of which, and whether it may yet take the rest."""


@st.composite
def histories(draw: st.DrawFn) -> list[Arrival]:
    """Changes of a few leaves of two sources; an ending may share its version with another change."""
    some: list[Arrival] = [("deel", OLD)] if draw(st.integers(0, 3)) == 3 else []
    leaves = draw(st.sampled_from((("deel1",), ("deel1", "deel2"), ("deel1", "deel2", "hibob1", "hibob2"))))
    for version in range(2, draw(st.integers(3, 8))):
        name = draw(st.sampled_from(leaves))
        source, leave = name[:-1], name[-1]
        first = draw(st.integers(1, 4))
        dates = (first, first + draw(st.integers(0, 4)))
        fields: dict[str, Any] = {
            "email": draw(st.sampled_from(PEOPLE)),
            "type_name": draw(st.sampled_from((None, "Vacation", "Sick"))),
            "replaces": draw(st.sampled_from((None, None, None, None, "1", "2"))),
        }
        fields |= draw(st.sampled_from(({},) * 6 + PARTS))
        state = draw(st.sampled_from(("approved", "approved", "approved", "ended", "requested")))
        some.append((source, change(version, state, *dates, leave, **fields)))
        ended = change(version, "ended", *dates, leave, email=fields["email"])
        some += draw(st.sampled_from(([], [], [(source, deleted(version, leave))], [(source, ended)])))
    return some


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """A history in another order, some of it twice, with all that may get in its way."""
    some = draw(histories())
    arriving = draw(st.permutations([*some, *draw(st.lists(st.sampled_from(some), max_size=3))]))
    peace = ("go on",) * draw(st.sampled_from((3, 10, 30)))
    steps = draw(st.lists(st.sampled_from(peace + STEPS), min_size=20, max_size=60))
    moods = draw(
        st.lists(st.sampled_from(("takes",) * 8 + tuple(MOODS) + ("dawdles",)), min_size=4, max_size=12)
    )
    return some, arriving, steps, moods


def approved(some: Sequence[Arrival]) -> Days:
    """The truth: the days of all leave whose last change is an approval and that no other one replaces."""
    replaced = {(source, one.replaces) for source, one in some if one.replaces != one.leave_id}
    last: dict[tuple[str, str], LeaveChange] = {}
    for source, one in sorted(some, key=lambda arrival: (arrival[1].version, arrival[1].state == "ended")):
        last[source, one.leave_id] = one
    away: Days = {}
    for (source, leave), one in sorted(last.items(), key=lambda entry: entry[1].version):
        if one.state == "approved" and (source, leave) not in replaced:
            kind = SOURCES[source].time_off_type(one.type_name)
            days = dict.fromkeys(whole_days(one, SOURCES[source]), kind)
            away.setdefault((one.email or "").lower(), {}).update(days)
    return {email: days for email, days in away.items() if days}


def whole_days(one: LeaveChange, source: Source) -> list[date]:
    """The days that a change names, by its source's rule for part days."""
    found = list(span(date.fromisoformat(one.start or ""), date.fromisoformat(one.end or "")))
    if source.part_days == "whole":
        return found
    return [] if one.each_day else found[one.first_day_part : len(found) - one.last_day_part]


@dataclass
class Calven:
    """Calven's side: everybody's days away, what each event said, and the submissions under way."""

    away: Days = field(default_factory=dict)
    said: dict[str, set[tuple[str, TimeOff]]] = field(default_factory=dict)
    under_way: dict[str, Submission] = field(default_factory=dict)

    def begin(self, submission: Submission, now: float) -> None:
        """A submission sets out; no other of the same employee may still be on its way."""
        email = submission.employee.email.lower()
        other = self.under_way.get(email)
        assert other is None or other.until + LEASE_GRACE_SECONDS <= now, "two submissions at once"
        self.under_way[email] = submission

    def take(self, submission: Submission, event_ids: Iterable[str]) -> None:
        """Take some events of a submission, which nothing newer may have overtaken."""
        email = submission.employee.email.lower()
        for event_id in event_ids:
            assert self.under_way[email] is submission, "an older submission arrives after a newer one"
            said = submission.sending[event_id]
            self.said.setdefault(event_id, set()).add((email, replace(said, email="")))
            days = self.away.setdefault(email, {})
            for day in span(said.start, said.end):
                days.pop(day, None)
                if said.type:
                    days[day] = said.type

    def has(self, submission: Submission, event_id: str) -> bool:
        """Whether some day is away already as an event says: Calven knows the employee then."""
        said = submission.sending[event_id]
        days = self.away.get(submission.employee.email.lower(), {})
        return any(day in days and days[day] == said.type for day in span(said.start, said.end))

    def answer(self, submission: Submission) -> None:
        """A submission is answered: it is not under way any more."""
        self.under_way.pop(submission.employee.email.lower())

    def holds(self) -> Days:
        """The days away of everybody who has any."""
        return {email: days for email, days in self.away.items() if days}


class Stage:
    """A ledger of leave at each of whose requests others may go on, a worker may end, or time may pass."""

    def __init__(self, steps: Iterable[str], moods: Iterable[str]) -> None:
        self.clock = Clock()
        self.patient = Deadline(float("inf"), self.clock)
        self.calven = Calven()
        self.table: Table = Memory(self.happen)
        self._steps, self._moods = iter(steps), iter(moods)
        self._tasks: list[Callable[[], None]] = []
        self._again: list[Arrival] = []

    def happen(self, **_: Any) -> None:
        """What happens next."""
        match next(self._steps, "go on"):
            case "other" if self._tasks:
                self._tasks.pop(0)()
            case "crash":
                raise Crash
            case "wait":
                self.clock.advance(SECONDS)
            case "wait longer":
                self.clock.advance(LEASE)

    def play(self, arriving: Sequence[Arrival]) -> None:
        """Deliver changes, and again what is not done with, once the leases have run out, until all is."""
        self._again, self._redriven = list(arriving), list[Arrival]()
        while self._again:
            self._tasks, self._again = [partial(self._deliver, arrival) for arrival in self._again], []
            while self._tasks:
                self._tasks.pop(0)()
            self.clock.advance(LEASE)
        self._steps = iter(())

    def _deliver(self, arrival: Arrival) -> None:
        """Have a new container record a change, and send what there is to send."""
        source, one = arrival
        leaves = Leaves(self.table, self.clock)
        with self._kept(arrival):
            now = self.clock()
            arrived = as_arrival(one, source, SOURCES[source], now)
            recorded = leaves.record(arrived, now, SECONDS, self.patient)
            if recorded.busy:
                self._again.append(arrival)
            for submission in recorded.submissions:
                self._send(arrival, leaves, submission)

    @contextmanager
    def _kept(self, arrival: Arrival) -> Iterator[None]:
        """A change is delivered again after a crash, and a dead letter is redriven once."""
        try:
            yield
        except (Crash, Contended):
            self._again.append(arrival)
        except InvalidLeave:
            if arrival not in self._redriven:
                self._again.append(arrival)
                self._redriven.append(arrival)

    def _send(self, arrival: Arrival, leaves: Leaves, submission: Submission) -> None:
        """Send what a submission has to send, at once or slowly, unless its time is up."""
        self.happen()
        mood = next(self._moods, "takes")
        if self.clock() >= submission.until:
            self._again.append(arrival)
            leaves.finish(submission, {}, self.patient, uncertain=False)
            return
        self.calven.begin(submission, self.clock())
        if mood == "dawdles":
            self._tasks.append(partial(self._arrive, arrival, leaves, submission))
        else:
            self._note(arrival, leaves, submission, mood)

    def _arrive(self, arrival: Arrival, leaves: Leaves, submission: Submission) -> None:
        """What was sent a while ago arrives: in time, after it was given up, or never."""
        late = self.clock() - submission.until
        mood = "takes" if late < 0 else "takes silently" if late < LEASE_GRACE_SECONDS else "is silent"
        with self._kept(arrival):
            self._note(arrival, leaves, submission, mood)

    def _note(self, arrival: Arrival, leaves: Leaves, submission: Submission, mood: str) -> None:
        """Calven takes what it takes of a submission; note what it says, and send what there is then."""
        takes, says, uncertain = MOODS[mood]
        ids = list(submission.sending)
        parts = {"all": ids, "some": ids[: len(ids) // 2], "none": []}
        if says == "refused":
            parts[takes] += [
                one for one in ids if one not in parts[takes] and self.calven.has(submission, one)
            ]
        self.calven.take(submission, parts[takes])
        if not uncertain:
            self.calven.answer(submission)
        self.happen()
        about = ids if says == "refused" else parts[says]
        results = {event_id: event_id in parts[takes] for event_id in about}
        if len(results) < len(ids) or not all(results.values()):
            self._again.append(arrival)
        more = leaves.finish(submission, results, self.patient, uncertain=uncertain)
        if more:
            self._send(arrival, leaves, more)

    def held(self) -> Days:
        """What the ledger says that Calven holds, all of it confirmed."""
        found: Days = {}
        for key, item in self.table.get([(f"employee#{email.lower()}", "leave") for email in PEOPLE]).items():
            for start, end, kind, confirmed, _ in item["held"]:
                assert confirmed
                days = dict.fromkeys(span(date.fromisoformat(start), date.fromisoformat(end)), kind)
                found.setdefault(key[0].partition("#")[2], {}).update(days)
        return found


def played(play: Play, stage: Stage) -> Calven:
    """Play it, and find that Calven and the ledger hold just what is approved, and that nothing is left."""
    some, arriving, _, _ = play
    if ("deel", OLD) in some:
        stage.calven.away[SAM.lower()] = dict.fromkeys(whole_days(OLD, SOURCES["deel"]), "leave")
    stage.play(arriving)
    assert stage.calven.holds() == approved(some)
    assert stage.held() == approved(some)
    assert all(len(facts) == 1 for facts in stage.calven.said.values())
    for source, one in some:
        with suppress(InvalidLeave):
            leaves = Leaves(stage.table, stage.clock)
            now = stage.clock()
            arrived = as_arrival(one, source, SOURCES[source], now)
            recorded = leaves.record(arrived, now, SECONDS, stage.patient)
            assert recorded.submissions == ()
    return stage.calven


@MANY
@given(plays())
def test_any_order(play: Play) -> None:
    """In any order, interleaved and interrupted anywhere, Calven comes to hold just what is approved."""
    played(play, Stage(*play[2:]))


@LESS
@given(plays())
def test_any_order_on_the_table(play: Play) -> None:
    """On the table itself just the same is sent as on the one in memory."""
    with Ledger() as ledger:
        stage = Stage(*play[2:])
        stage.table = ledger.table
        for moment in ("before-call", "after-call"):
            ledger.client.meta.events.register(f"{moment}.dynamodb.*", stage.happen)
        assert played(play, stage).said == played(play, Stage(*play[2:])).said


@st.composite
def webhooks(draw: st.DrawFn) -> tuple[list[Arrival], list[tuple[LeaveChange, str, bool]]]:
    """What Deel tells, in any order, how Calven fails each time, and whether the queue's turn comes then."""
    known = [one for source, one in draw(histories()) if source == "deel" and one.leave_id != OLD.leave_id]
    some = [one.model_copy(update={"replaces": None, "each_day": None}) for one in known]
    order = draw(
        st.permutations([*some, *(draw(st.lists(st.sampled_from(some), max_size=2)) if some else ())])
    )
    failures = st.sampled_from((*("",) * 4, "503", "reset", "garbage", "missing-results"))
    return [("deel", one) for one in some], [(one, draw(failures), draw(st.booleans())) for one in order]


def payload(one: LeaveChange) -> Any:
    """A change as Deel sends it."""
    at = {"timestamp": f"2026-11-03T00:00:{one.version[1:]}.000Z", "data__meta__tracking_id": one.event_id}
    if one.start is None:
        return sample("deel", "deleted", data__resource__time_off_id=one.leave_id, **at)
    status = {"approved": "APPROVED", "ended": "CANCELED", "requested": "REQUESTED"}[one.state]
    resource = {
        "id": one.leave_id,
        "updated_at": at["timestamp"],
        "status": status,
        "start_date": one.start,
        "end_date": one.end,
        "type": {"Sick": "Sick leave"}.get(one.type_name or "", one.type_name),
        "start_date_is_half_day": one.first_day_part,
        "end_date_is_half_day": one.last_day_part,
    }
    fields = {f"data__resource__{name}": value for name, value in resource.items()}
    work_email = (one.email or "").lower()
    return sample("deel", "approved", data__resource__requester__work_email=work_email, **fields, **at)


@LESS
@given(webhooks())
def test_any_order_of_webhooks(
    sandboxes: Sandboxes, found: tuple[list[Arrival], list[tuple[LeaveChange, str, bool]]]
) -> None:
    """From webhook to Calven: whatever fails on the way, what the queue holds brings it right."""
    some, arriving = found
    with mock_aws(), Rig(sandboxes) as rig:
        for one, failure, retry in arriving:
            if failure:
                rig.fail(failure, count=1, endpoint="/v1/timeoff")
            assert rig.post("deel", payload(one))[0] in (200, 202)
            rig.recover()
            rig.clock.advance(3)
            if retry:
                rig.retry()
        while rig.waiting():
            rig.clock.advance(LEASE)
            rig.retry()
        away = {email: rig.away(email) for email in {email.lower() for email in PEOPLE}}
        truth = {
            email: {str(day): kind for day, kind in days.items()} for email, days in approved(some).items()
        }
        assert {email: days for email, days in away.items() if days} == truth
        assert {letter["reason"] for letter in rig.dead_letters()} <= {"unknown_leave"}
