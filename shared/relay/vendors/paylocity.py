"""Paylocity: approved time off, and nothing else: it announces neither changes nor cancellations.

Follows https://developer.paylocity.com/integrations/reference/time-off-approval-webhooks and
https://developer.paylocity.com/integrations/reference/webhooks-authentication. Unsigned: Basic
authentication or a header. A delivery has no id: employee and dates stand for the leave. Not confirmed on
live traffic: anything.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from pydantic import BaseModel, Field, ValidationError

from relay.events import Event, LeaveChange, Webhook, iso, read_json, unparseable
from relay.signatures import AnyOf, Basic
from relay.vendors.base import Vendor
from relay.vendors.common import TOKEN_IN_HEADER, WHOLE_DAY_HOURS, Text, day


class _Approval(BaseModel):
    company: Text = Field(default="-", alias="companyId")
    employee: Text = Field(alias="employeeId")
    address: str | None = Field(default=None, alias="employeeWorkEMailAddress")
    older_address: str | None = Field(default=None, alias="employeeWorkEmail")
    hours: float | None = Field(default=None, alias="hoursPerDay")
    all_day: bool | None = Field(default=None, alias="isAllDayEvent")
    start: str = Field(alias="timeOffStartDate")
    end: str = Field(alias="timeOffEndDate")

    def is_part_day(self) -> bool:
        """Whether it is part of one day: too few hours, as `hoursPerDay` or the times of day say."""
        if self.all_day or day(self.start) != day(self.end):
            return False
        try:
            start, end = datetime.fromisoformat(self.start), datetime.fromisoformat(self.end)
        except ValueError:
            return False
        hours = (end.hour - start.hour) + (end.minute - start.minute) / 60
        return 0 < min(hours, self.hours or hours) < WHOLE_DAY_HOURS


def parse(webhook: Webhook) -> Sequence[Event]:
    """Each delivery is an approved leave."""
    try:
        found = _Approval.model_validate(read_json(webhook.body))
        said = (found.company, found.employee, found.start, found.end)
        leave_id = sha256("|".join(said).encode()).hexdigest()
        return [
            LeaveChange(
                event_id=leave_id,
                leave_id=leave_id,
                state="approved",
                version=iso(webhook.received_at),
                email=found.address or found.older_address or None,
                start=day(found.start),
                end=day(found.end),
                every_day_part=found.is_part_day(),
            )
        ]
    except ValidationError as error:
        raise unparseable(error) from None


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
)
