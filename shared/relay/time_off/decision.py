"""What a change of leave comes to. Pure functions, no storage: `relay.time_off.ledger` reads and writes.

It is decided in two steps, as the leave tells whose days are touched. `decision_on` says what becomes of the
leave. `plan_for` then says what becomes of the employees, and what to submit to Calven for each of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from relay.config.model import Source
from relay.errors import InvalidLeave
from relay.events import LeaveChange, milliseconds, same_person
from relay.time_off.rules import Leave, leave_of, still_covered, without_days
from relay.time_off.submission import Cause, Employee, Submission, Term, new_submission

REPLACED = "~"
"""The version of a leave that another one has replaced. It sorts after every time: nothing brings it back."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A change as it arrives from a source, and the leave as the source's configuration reads it.

    `refused` is why Calven cannot be told of the change; the leave has no days then. Nothing is sent for one
    that is `silent`, as its source is shadowed. With `keeps_type` nobody knows the type.
    """

    source: str
    change: LeaveChange
    leave: Leave
    refused: InvalidLeave | None = None
    silent: bool = False
    keeps_type: bool = False

    def leave_beside(self, known: Leave | None) -> Leave:
        """The leave, of the type that the ledger knows where the change says none."""
        if known is None or not self.keeps_type:
            return self.leave
        return replace(self.leave, type=known.type)

    @property
    def cause(self) -> Cause:
        """What makes its submissions necessary."""
        # Not every vendor's id tells one change of a leave from the next.
        return Cause(self.source, f"{self.change.event_id}@{self.change.version}")

    @property
    def replaces(self) -> str | None:
        """The id of the other leave whose place this one takes, if it takes that of one."""
        # Named as its own predecessor, a leave would end by its own change.
        return None if self.change.replaces == self.change.leave_id else self.change.replaces

    def name(self, leave_id: str) -> str:
        """What an employee's item calls a leave of the source."""
        return f"{self.source}/{leave_id}"


def arrival_of(
    change: LeaveChange, source_name: str, source: Source, today: date, config: int = 0
) -> Arrival:
    """Read a change with the configuration of its source; `config` tells which one that is."""
    refused: InvalidLeave | None = None
    try:
        leave = leave_of(change, source, today, config)
    except InvalidLeave as error:
        leave, refused = without_days(change, source, today, config), error
    # Whoever configures the id of a type says what it is.
    keeps_type = change.type_unnamed is True and not source.maps(change.type_name or "")
    return Arrival(source_name, change, leave, refused, silent=source.shadow, keeps_type=keeps_type)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a leave by a change.

    `is_news` says that `leave` takes the place of what the ledger had, `ends_unseen` that it is the end of a
    leave that the ledger has never seen. `replaced` is what becomes of the leave that it replaces, None where
    that stays as it is. `emails` are those whose days it may touch. `reason` is why there may be nothing to
    send. `refused` is why the change itself cannot be told. `noted` is the leave as the ledger has it with
    what is noted of a change that is no news.
    """

    leave: Leave
    is_news: bool
    ends_unseen: bool
    replaced: Leave | None
    emails: tuple[str, ...]
    reason: str
    refused: InvalidLeave | None
    noted: Leave | None = None


def decision_on(
    arrival: Arrival,
    known: Leave | None,
    known_replaced: Leave | None,
    counted_as: str | None,
    *,
    received_at: int,
    all_seen_at: int | None = None,
) -> Decision:
    """What becomes of a leave, and of the one that it replaces, by a change.

    `known` and `known_replaced` are the two as the ledger has them. `counted_as` is the version that the
    change counted as when it first came, where that was ahead of its time. `received_at` is when it first
    came, however long it has waited since, and `all_seen_at` when a list began by which the ledger has seen
    all leave of the source (both in Unix milliseconds). Raises `InvalidLeave` for approved leave of which
    nobody knows whose it is.
    """
    # Of a source that is live again: nothing of the leave changed, but Calven has yet to hear of it.
    if arrival.change.resumed:
        return _no_news(known or arrival.leave, reason="unchanged")
    if arrival.change.inferred:
        return _decision_on_inferred_end(arrival, known, all_seen_at or 0)
    leave = _leave_after(arrival, known, known_replaced, counted_as)
    # Of leave that was never seen by a ledger that has seen all, Calven holds no day: an end gives none back.
    all_seen = all_seen_at is not None or arrival.change.listed_at is not None
    ends_unseen = not all_seen and _ends_unseen(arrival.change, leave, known, known_replaced)
    of_no_use = ends_unseen and not (leave.email and leave.dated)
    leave = replace(leave, unseen=of_no_use)
    # A list says what the vendor had when it began, whenever that is settled.
    listed_at = arrival.change.listed_at
    said_at = milliseconds(listed_at) if listed_at else received_at
    was_lacking = leave.was_lacking(known, said_at)
    is_news = not was_lacking and leave.takes_over(known)
    # What cannot be told has a reason of its own, and may still give days back.
    if is_news and not arrival.refused:
        _refuse_nobodys(leave)
    # What is wrong with an older change is nobody's concern once a newer one counts.
    is_older = was_lacking or (known is not None and leave.rank() < known.rank())
    return Decision(
        leave=leave,
        is_news=is_news,
        ends_unseen=ends_unseen,
        replaced=_replaced_after(arrival, leave, known_replaced),
        emails=_touched(leave, known_replaced),
        reason=_reason(arrival.change, leave, is_news=is_news),
        refused=None if is_older else arrival.refused,
        noted=leave.noted_on(known, said_at),
    )


def _refuse_nobodys(leave: Leave) -> None:
    """Raise `InvalidLeave` for approved leave of which nobody knows whose it is."""
    if leave.state == "approved" and not leave.email:
        raise InvalidLeave("the employee has no e-mail address", reason="no_email")


def _decision_on_inferred_end(arrival: Arrival, known: Leave | None, all_seen_at: int) -> Decision:
    """End a leave that a complete list lacked, unless something was heard of it since the list began.

    A later complete list may have had it again, and says itself what it lacked.
    """
    change = arrival.change
    began = milliseconds(change.listed_at) if change.listed_at else 0
    is_as_it_was = (
        known is not None
        and known.state == "approved"
        and known.version == change.version
        and known.heard_at <= began
        and all_seen_at <= began
    )
    before = known or arrival.leave
    if not is_as_it_was:
        # It may have ended before: what Calven has not accepted since is sent once more.
        return _no_news(before, reason="superseded")
    leave = replace(before, state="ended", inferred=True, lacked_at=began, recorded=arrival.leave.recorded)
    return replace(_no_news(leave, reason="not_approved"), is_news=True)


def _no_news(leave: Leave, reason: str) -> Decision:
    """The leave stays as it is; what Calven has not accepted of it is sent."""
    return Decision(
        leave=leave,
        is_news=False,
        ends_unseen=False,
        replaced=None,
        emails=_touched(leave, None),
        reason=reason,
        refused=None,
    )


def _leave_after(
    arrival: Arrival, known: Leave | None, known_replaced: Leave | None, counted_as: str | None
) -> Leave:
    """The leave as the change says it, with what only the ledger knows of it."""
    leave, change = arrival.leave_beside(known), arrival.change
    if arrival.refused:
        # What takes the place of another leave takes over its days, too.
        covered = {*still_covered(known, change), *still_covered(known_replaced, change)}
        leave = leave.with_days(sorted(covered))
    email = leave.email
    for other in (known, known_replaced):
        # A deletion often names the leave only, and a replacement only the leave before it.
        if not email and other:
            email = other.email
    version = counted_as or change.early or change.version
    return replace(leave, version=version, email=email, former=_former_emails(email, known))


def _former_emails(email: str, known: Leave | None) -> tuple[str, ...]:
    """Whose the leave was before its address changed: those employees' days are to be given back."""
    if known is None:
        return ()
    before = dict.fromkeys((*known.former, same_person(known.email)))
    return tuple(other for other in before if other and other != same_person(email))


def _ends_unseen(
    change: LeaveChange, leave: Leave, known: Leave | None, known_replaced: Leave | None
) -> bool:
    """Whether the change ends, and does not merely decline, leave that the ledger has never seen."""
    # A tombstone of this very change says nothing: its dead letter may not have been stored.
    is_new = known is None or (known.unseen and known.version == leave.version)
    return is_new and known_replaced is None and leave.state == "ended" and not change.declined


def _replaced_after(arrival: Arrival, leave: Leave, known_replaced: Leave | None) -> Leave | None:
    """A replaced leave ends for good, also one of which the ledger hears only later."""
    if arrival.replaces is None:
        return None
    if known_replaced and known_replaced.version == REPLACED:
        return None
    return replace(known_replaced or leave, state="ended", version=REPLACED)


def _touched(leave: Leave, known_replaced: Leave | None) -> tuple[str, ...]:
    """Whose days may change: whose the leave is, whose it was before, and whose the replaced one was."""
    if not leave.email or leave.unseen:
        return ()
    of_replaced = known_replaced.email if known_replaced else ""
    return tuple(email for email in (leave.email, *leave.former, of_replaced) if email)


def _reason(change: LeaveChange, leave: Leave, *, is_news: bool) -> str:
    if not is_news:
        return "superseded"
    if change.declined:
        return "declined"
    if leave.state == "approved" and leave.start is None:
        return "part_day"
    return {"requested": "requested", "approved": "unchanged", "ended": "not_approved"}[leave.state]


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the employees whose days a change touches: `changed` are those to be written.

    `is_busy` says that somebody else is submitting for one for whom there is something to send.
    """

    changed: tuple[Employee, ...]
    submissions: tuple[Submission, ...]
    is_busy: bool


def plan_for(
    arrival: Arrival,
    decision: Decision,
    employees: Iterable[Employee],
    term: Term,
    shadowed: frozenset[str] = frozenset(),
) -> Plan:
    """Apply a decided change to its employees, and see what there is to submit for each.

    `shadowed` are the keys of the sources of which nothing is sent.
    """
    changed: list[Employee] = []
    submissions: list[Submission] = []
    is_busy = False
    for before in employees:
        after = _with_change(arrival, decision, before, term.today)
        if arrival.source in shadowed and not arrival.silent:
            # The source is configured no more, and somebody ends its leave.
            after = after.given_back_by(arrival.source)
        after = after.with_origins(shadowed)
        submission = None if arrival.silent else new_submission(after, arrival.cause, term, shadowed)
        if submission:
            submissions.append(submission)
            after = submission.employee
        # Whoever holds the lease has read the employee without this change, and looks again in the end.
        elif not arrival.silent and after.is_leased(term.begins_at) and after.to_send(shadowed):
            is_busy = True
        # A needless write would raise the revision, and have a submission under way look for news.
        if after != before:
            changed.append(after)
    return Plan(tuple(changed), tuple(submissions), is_busy)


def _with_change(arrival: Arrival, decision: Decision, employee: Employee, today: date) -> Employee:
    """An employee without the replaced leave, and with the changed one where it is theirs."""
    leave, name = decision.leave, arrival.name(arrival.change.leave_id)
    gone = {name} if decision.is_news else set[str]()
    if arrival.replaces is not None:
        gone.add(arrival.name(arrival.replaces))
    after = employee.tidied(today).without(gone)
    if not decision.is_news or same_person(employee.email) != same_person(leave.email):
        return after
    # The newest spelling of the address is the one that Calven is told. Where the change names nobody, the
    # leave's own may be older than the employee's.
    if arrival.leave.email:
        after = replace(after, email=leave.email)
    if leave.state == "approved":
        return replace(after, leaves={**after.leaves, name: leave})
    return after.assumed_away(leave, arrival.source) if decision.ends_unseen else after
