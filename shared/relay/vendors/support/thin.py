"""Thin events: webhooks that only announce something, of which the vendor's own API is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from relay.errors import Unparseable
from relay.events import Event, LeaveChange, LeaveState, ThinEvent, iso
from relay.vendors.support.base import VendorApi


@dataclass(frozen=True, kw_only=True)
class LeaveNow:
    """A leave as a vendor's API describes it.

    `address` asks for the employee's e-mail address, which is only done where somebody is to be told.
    `details` are its days and its type, as the fields of a leave change.
    """

    state: LeaveState
    declined: bool
    address: Callable[[], str | None]
    details: Mapping[str, Any]


def leave_now(thin: ThinEvent, api: VendorApi, path: str, read: Callable[[Any], LeaveNow]) -> Sequence[Event]:
    """Ask what the leave of a thin event is now: what the API has at a path; ended where it has nothing."""
    # Its version is the time of asking, not of the answer: a slow answer is not a newer one.
    known: dict[str, Any] = {
        "event_id": thin.event_id,
        "leave_id": thin.subject,
        "version": iso(api.now()),
        "replaces": thin.replaces,
    }
    found = api.get(path)
    if found is None:
        return [LeaveChange(**known, state="ended")]
    leave = read(unwrapped(found))
    email = None if leave.state == "requested" else leave.address()
    return [LeaveChange(**known, state=leave.state, declined=leave.declined, email=email, **leave.details)]


def has_ended(found: Any, states: Mapping[str, LeaveState]) -> bool:
    """Whether something has a status that ends leave: what has ended may stay with the vendor, as such."""
    status = found.get("status") if isinstance(found, Mapping) else None
    return isinstance(status, str) and states.get(status.strip().lower()) == "ended"


def with_address(thin: ThinEvent, api: VendorApi, path: str, *names: str) -> Sequence[Event]:
    """Ask for the address that a thin event's change lacks: what the API has at a path, under these names."""
    return with_address_of(thin, lambda employee: address_at(path, employee, api, *names))


def with_address_of(thin: ThinEvent, address: Callable[[str], str | None]) -> Sequence[Event]:
    """The change of a thin event, with the address of its employee, which it lacks."""
    if thin.change is None or thin.employee is None:
        raise Unparseable("event: it names no change of an employee's")
    email = address(thin.employee)
    # `model_copy` would take the address as it is, whatever its length.
    return [LeaveChange.model_validate({**thin.change.model_dump(), "email": email})]


def address_at(path: str, employee: str, api: VendorApi, *names: str) -> str | None:
    """An employee's e-mail address: what the API has at a path, under the first of these names."""
    return api.email(employee, lambda: first_text(api.get(path), *names))


def thin_without_address(change: LeaveChange, employee: str | None) -> Event:
    """A change as a thin event, where somebody is to be told whose address only the vendor's API knows."""
    if change.state == "requested" or change.email or employee is None:
        return change
    return ThinEvent(event_id=change.event_id, subject=change.leave_id, employee=employee, change=change)


def unwrapped(found: Any) -> Any:
    """What an API answers for one thing: by itself, under `data` or `_data`, or alone in a list there."""
    for name in ("data", "_data"):
        inner = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(inner, list) and len(inner) == 1:
            [inner] = inner
        if isinstance(inner, Mapping):
            return inner
    return found


def first_text(found: Any, *names: str) -> str | None:
    """The first text under one of these keys, of an object that may be wrapped."""
    for node in (found, unwrapped(found)):
        for name in names:
            value = node.get(name) if isinstance(node, Mapping) else None
            if isinstance(value, str) and value.strip():
                return value.strip()
    return None


def segment(text: str) -> str:
    """Text as one segment of a path or one value of a query."""
    return quote(text, safe="")
