"""The way of leave: recorded in the ledger, sent under the employee's lease, noted day by day."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

from relay.calven import CalvenEvent, Result
from relay.config.model import Source
from relay.delivery.outcome import Outcome, Told
from relay.delivery.step import Step, attempt, check, stopped
from relay.envelope import Envelope
from relay.errors import Ignore, Never, NotNow, Stop, TableUnavailable, Unparseable
from relay.events import LeaveChange
from relay.invocation import Invocation
from relay.time_off.submission import Submission

NO_TIME = Result(status="waiting", reason="no_time")
"""What became of an event that may have arrived, where no time was left to note it."""


@dataclass(slots=True)
class _Recorded:
    """A leave change that is recorded: what is being sent for it, and what came of that so far.

    `busy` says that another submission is under way for the employee. `refused` is why the change itself
    cannot be sent, although there are days of it to give back. `days` are those that it is about, `reason` is
    why there is nothing to say of them if there is not.
    """

    step: Step
    submissions: list[Submission]
    busy: bool
    refused: Never | None
    days: frozenset[date]
    reason: str
    accepted: int = 0
    failed: list[Result] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)

    def told(self, *, accepted: bool) -> Told:
        """What Calven was sent for it and accepted, or did not, and the first of the answers."""
        said = {key: one for key, one in self.results.items() if (one.status == "accepted") is accepted}
        return Told(ids=list(said), result=next(iter(said.values()), None))


class TimeOff:
    """The leave changes of one chunk. `settle` first, then `submissions` and `conclude` while `is_open`.

    `busy` are the steps for whose employees another submission is under way.
    """

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._recorded: list[_Recorded] = []
        self.busy: list[Step] = []

    @property
    def is_open(self) -> bool:
        """Whether there is more to send, or something to conclude."""
        return bool(self._recorded)

    def settle(self, steps: Sequence[Step]) -> list[Outcome]:
        """Record every change in the ledger; the outcomes of those that leave nothing to send."""
        outcomes: list[Outcome] = []
        for step in steps:
            recorded = attempt(partial(self._record, step), self._invocation, step)
            if isinstance(recorded, Stop):
                outcomes.append(stopped(step, recorded, self._invocation))
            else:
                self._recorded.append(recorded)
        return outcomes

    def submissions(self) -> Iterator[CalvenEvent]:
        """What Calven is to be told next."""
        for recorded in self._recorded:
            for submission in recorded.submissions:
                for event_id, time_off in submission.sending.items():
                    yield CalvenEvent(
                        endpoint="/v1/timeoff",
                        event_id=event_id,
                        payload=time_off.payload(event_id, submission.employee.email),
                        not_after=submission.until,
                    )

    def conclude(self, results: Mapping[str, Result]) -> list[Outcome]:
        """Note what Calven accepted and refused; what became of the changes that have no more to send."""
        outcomes: list[Outcome] = []
        unfinished: list[_Recorded] = []
        for recorded in self._recorded:
            noted = attempt(partial(self._note, recorded, results), self._invocation, recorded.step)
            if isinstance(noted, Stop):
                outcomes.append(stopped(recorded.step, noted, self._invocation))
            elif recorded.submissions:
                unfinished.append(recorded)
            else:
                outcomes += self._end(recorded)
        self._recorded = unfinished
        return outcomes

    def _record(self, step: Step) -> _Recorded:
        check(step, self._invocation)
        change = step.envelope.event
        if not isinstance(change, LeaveChange):
            raise Unparseable("event: it belongs to the other family's route")
        invocation = self._invocation
        seconds = min(invocation.deadline.left_for_work(), 2 * invocation.pace.call_seconds)
        # What is shadowed is found out first, as that may read the configuration anew.
        self._find_shadow(change, step.envelope.source)
        config = invocation.config
        source = self._source(change, step.envelope)
        key, order = config.key(step.envelope.source), invocation.configuration.order
        leaves = invocation.leaves
        recorded = leaves.record(
            leaves.arrival(change, key, source, order),
            step.envelope.received_at.timestamp(),
            seconds,
            invocation.deadline,
            shadowed=config.shadowed,
        )
        # Days may be given back although the change itself cannot be told: those first.
        if recorded.submissions or recorded.busy:
            submissions = list(recorded.submissions)
            return _Recorded(
                step, submissions, recorded.busy, recorded.refused, recorded.days, recorded.reason
            )
        if recorded.refused:
            raise recorded.refused
        if source.shadow:
            raise Ignore(reason="shadow")
        # Recorded a second time, it was sent with what was under way.
        raise Ignore(reason="merged" if step.again else recorded.reason)

    def _find_shadow(self, change: LeaveChange, source: str) -> None:
        """Read the configuration anew where it has a source shadowed.

        Leave of a source that is live again comes right behind the push that says so, and only once. Raises
        `Ignore` where a later push says otherwise, and `TableUnavailable` where nobody knows.
        """
        configuration = self._invocation.configuration
        if not change.resumed:
            configuration.is_shadowed(source)
        elif configuration.is_shadowed(source, max_age=0):
            if configuration.is_doubtful:
                raise TableUnavailable("the configuration cannot be read, and a push may be missing")
            raise Ignore(reason="shadow")

    def _source(self, change: LeaveChange, envelope: Envelope) -> Source:
        config = self._invocation.config
        source = config.sources.get(config.called(envelope.source))
        if source is not None:
            return source
        if change.state == "ended":
            # Leave can be ended after its source was taken out, with the settings that every source begins
            # with: how days are read matters only where the leave was never seen.
            return Source(vendor=envelope.vendor)
        raise NotNow("the source is not configured any more", reason="unknown_source")

    def _note(self, recorded: _Recorded, results: Mapping[str, Result]) -> None:
        """Note the results of a change's submissions; in their place is then what is to be sent next."""
        following = [self._finish(recorded, submission, results) for submission in recorded.submissions]
        recorded.submissions = [submission for submission in following if submission is not None]

    def _finish(
        self, recorded: _Recorded, submission: Submission, results: Mapping[str, Result]
    ) -> Submission | None:
        found = {event_id: results[event_id] for event_id in submission.sending}
        recorded.results.update(found)
        if self._invocation.deadline.left_for_work() <= 0:
            # The lease runs out by itself; what Calven may have is sent again by whoever takes the event up.
            recorded.failed += [_unnoted(result) for result in found.values()]
            return None
        known: dict[str, bool] = {}
        for event_id, result in found.items():
            is_accepted = result.status == "accepted"
            if is_accepted:
                recorded.accepted += 1
            elif not _is_anothers_refusal(result, event_id, submission, recorded):
                recorded.failed.append(result)
            # Of what waits nobody knows what became: its days stay unconfirmed.
            if result.status != "waiting":
                known[event_id] = is_accepted
        uncertain = any(result.uncertain for result in found.values())
        try:
            deadline = self._invocation.deadline
            return self._invocation.leaves.finish(submission, known, deadline, uncertain=uncertain)
        except TableUnavailable:
            return None  # what Calven accepted stays unconfirmed, and is sent again with the next change

    def _end(self, recorded: _Recorded) -> list[Outcome]:
        """A change's outcome: as one event, since what is left to send is computed anew from the ledger."""
        step, outcomes = recorded.step, []
        if recorded.accepted:
            outcomes.append(step.forwarded(recorded.accepted))
        waiting = [result for result in recorded.failed if result.status == "waiting"]
        now = self._invocation.utc_now()
        # Queued rather than dead, as long as anything may still be accepted.
        if waiting:
            first = waiting[0]
            outcomes.append(step.queued(first.reason, first.detail, now, first.retry_after))
        elif recorded.busy and not step.again:
            self.busy.append(step)
        elif recorded.busy:
            outcomes.append(step.queued("busy", "another change is being submitted", now))
        elif recorded.failed:
            refused = recorded.failed[0]
            outcomes.append(step.dead(refused.reason, refused.detail, now))
        elif recorded.refused:
            outcomes.append(step.dead(recorded.refused.reason, str(recorded.refused), now))
        # Nothing was to be sent but days that have a dead letter already.
        if not outcomes and step not in self.busy:
            outcomes.append(step.ignored(recorded.reason))
        return [
            replace(outcome, told=recorded.told(accepted=outcome.status == "forwarded"))
            for outcome in outcomes
        ]


def _is_anothers_refusal(result: Result, event_id: str, submission: Submission, recorded: _Recorded) -> bool:
    """Whether Calven has refused what another leave of the employee schedules: that has its dead letter.

    Not so of days that Calven holds otherwise: they come back to another leave by this very change. What
    waits is sent again by whoever sent it last: nobody may forget that.
    """
    concerned = {*recorded.days, *submission.held_before}
    return result.status == "refused" and submission.sending[event_id].is_apart_from(concerned)


def _unnoted(result: Result) -> Result:
    return result if result.status == "waiting" else NO_TIME
