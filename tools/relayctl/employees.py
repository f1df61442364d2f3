"""The employees in the ledger, found by the leave of their sources."""

from collections.abc import Mapping, Sequence

from relay.aws.table import Table
from relay.config.model import Config
from relay.events import same_person
from relay.time_off.items import INDEX, SOURCE, employee_from, employee_key, leave_from
from relay.time_off.submission import Employee


def addresses(table: Table, config: Config, sources: Sequence[str]) -> dict[str, str]:
    """The address of everybody of whom these sources have leave in the ledger, by `same_person`."""
    found: dict[str, str] = {}
    for name in sources:
        for item in table.query_index(INDEX, SOURCE, config.key(name)):
            leave = leave_from(item)
            if leave is not None and leave.email:
                found.setdefault(same_person(leave.email), leave.email)
    return found


def employees(table: Table, addresses: Mapping[str, str]) -> dict[str, Employee]:
    """Each of these people as the ledger has them, by `same_person`."""
    keys = {person: employee_key(email) for person, email in addresses.items()}
    items = table.get(list(keys.values()))
    return {person: employee_from(items.get(key), addresses[person]) for person, key in keys.items()}
