"""Reconciles one source, whatever it is a source of."""

from relay import vendors
from relay.invocation import Invocation
from relay.reconciliation.events import EventReconciliation
from relay.reconciliation.leave import LeaveReconciliation
from relay.reconciliation.report import Report
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.listing import EventList, LeaveList


def reconcile(invocation: Invocation, name: str, wishes: Wishes) -> Report:
    """Ask the vendor of a configured source what happened; what was found.

    Raises `TableUnavailable` and `QueueUnavailable`.
    """
    config = invocation.config
    vendor = vendors.load(config.sources[name].vendor)
    lists = vendor.lists
    if isinstance(lists, LeaveList):
        return LeaveReconciliation(invocation, name, vendor, lists, wishes).run()
    if isinstance(lists, EventList):
        return EventReconciliation(invocation, name, vendor, lists, wishes).run()
    return Report(name, vendor.name, "unable", f"{vendor.title} cannot be asked what happened")
