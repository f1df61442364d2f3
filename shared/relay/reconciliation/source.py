"""Reconciles one source, whatever it is a source of."""

from collections.abc import Sequence

from relay import vendors
from relay.errors import SecretUnreadable
from relay.invocation import Invocation
from relay.reconciliation.events import EventReconciliation
from relay.reconciliation.leave import LeaveReconciliation
from relay.reconciliation.report import Report
from relay.reconciliation.wishes import Wishes
from relay.vendors.support.base import Vendor
from relay.vendors.support.listing import EventList, LeaveList


def hindrance(invocation: Invocation, name: str) -> str:
    """Why a configured source cannot be asked what happened; empty where it can.

    Raises `TableUnavailable`.
    """
    source = invocation.config.sources[name]
    vendor = vendors.load(source.vendor)
    if not source.enabled:
        return "it is not enabled"
    if vendor.lists is None:
        return f"{vendor.title} cannot be asked what happened"
    needs = vendor.lists.needs if isinstance(vendor.lists, LeaveList) else ()
    return without_api(invocation, name, vendor, needs)


def without_api(invocation: Invocation, name: str, vendor: Vendor, needs: Sequence[str] = ()) -> str:
    """Why a source's secret does not let its vendor's API be asked; empty where it does.

    `needs` are optional fields of the secret's `api` that the question needs. Raises `TableUnavailable`.
    """
    try:
        api = invocation.secrets.source(vendor.family, name).api
    except SecretUnreadable as error:
        return f"its secret cannot be used: {error}"
    if not api:
        return "its secret has no `api`"
    missing = [field for field in needs if field not in api]
    return f"its secret has no api.{missing[0]}" if missing else ""


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
