"""Paylocity: approved time off, and nothing else: it announces neither changes nor cancellations.

Follows https://developer.paylocity.com/integrations/reference/time-off-approval-webhooks and
https://developer.paylocity.com/integrations/reference/webhooks-authentication. Unsigned: Basic
authentication or a header. A delivery has no id: employee and dates stand for the leave. Not confirmed on
live traffic: anything.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from relay.events import Amount, Event, LeaveChange, Webhook, iso, read_json
from relay.vendors.support.base import Vendor
from relay.vendors.support.fields import (
    OptionalText,
    Payload,
    Said,
    Text,
    day,
    digest,
    hours,
    or_none,
    without_blanks,
)
from relay.vendors.support.fixed_tokens import TOKEN_IN_HEADER, Basic
from relay.vendors.support.proof import AnyOf


class _Approval(Payload):
    company: OptionalText = Field(default=None, alias="companyId")
    employee: Text = Field(alias="employeeId")
    address: Said = Field(default=None, alias="employeeWorkEMailAddress")
    older_address: Said = Field(default=None, alias="employeeWorkEmail")
    hours: Annotated[float | None, BeforeValidator(or_none)] = Field(default=None, alias="hoursPerDay")
    all_day: Annotated[bool | None, BeforeValidator(or_none)] = Field(default=None, alias="isAllDayEvent")
    start: Annotated[str, BeforeValidator(without_blanks)] = Field(alias="timeOffStartDate")
    end: Said = Field(default=None, alias="timeOffEndDate")

    def each_day(self) -> Amount | None:
        """The hours that are taken of each day, where it is not whole days; None where nothing says so."""
        if self.all_day:
            return None
        between = self._hours_between()
        given = self.hours or between
        # What is said a day is more than what lies between the times only by mistake.
        return hours(min(given, between) if given and between else given)

    def _hours_between(self) -> float | None:
        """The hours between the times of one day; None where there are none, or several days."""
        if self.end is None or day(self.start) != day(self.end):
            return None
        try:
            start, end = datetime.fromisoformat(self.start), datetime.fromisoformat(self.end)
        except ValueError:
            return None
        between = (end.hour - start.hour) + (end.minute - start.minute) / 60
        # From midnight to midnight is a date without times.
        return between if between > 0 else None


def parse(webhook: Webhook) -> Sequence[Event]:
    """Each delivery is an approved leave."""
    found = _Approval.model_validate(read_json(webhook.body))
    leave_id = digest(found.company or "-", found.employee, found.start, found.end)
    return [
        LeaveChange(
            event_id=leave_id,
            leave_id=leave_id,
            state="approved",
            # Nothing says when it was approved. A resend is newer, and says the same.
            version=iso(webhook.received_at),
            email=found.address or found.older_address,
            start=day(found.start),
            end=day(found.end),
            each_day=found.each_day(),
        )
    ]


VENDOR = Vendor(
    name="paylocity",
    title="Paylocity",
    families=("hris",),
    docs="https://developer.paylocity.com/integrations/reference/time-off-approval-webhooks",
    signature="none: Basic authentication, or a token in a header",
    forwards="approvals",
    ignores="nothing; Paylocity announces no change and no cancellation",
    direction="-",
    confidence="medium",
    scheme=AnyOf((Basic(), TOKEN_IN_HEADER)),
    parse=parse,
    settings=frozenset({"wholeDayHours"}),
    unused=frozenset({"timeOffTypes"}),
    subjects={
        "employeeWorkEMailAddress": "person",
        "employeeWorkEmail": "person",
        "employeeId": "leave",
    },
)
