"""The employees in the ledger, found by the leave of their sources."""

from collections.abc import Mapping, Sequence

from relay.aws.table import Table
from relay.config.model import Config
from relay.events import same_person
from relay.time_off.items import employees_of, leaves_of
from relay.time_off.submission import Employee


def addresses(table: Table, config: Config, sources: Sequence[str]) -> dict[str, str]:
    """The address of everybody of whom these sources have leave in the ledger, by `same_person`."""
    found: dict[str, str] = {}
    for name in sources:
        for leave in leaves_of(table, config.key(name)).values():
            if leave.email:
                found.setdefault(same_person(leave.email), leave.email)
    return found


def employees(table: Table, addresses: Mapping[str, str]) -> dict[str, Employee]:
    """Each of these people as the ledger has them, by `same_person`."""
    found = employees_of(table, list(addresses.values()))
    return {same_person(address): employee for address, employee in found}
