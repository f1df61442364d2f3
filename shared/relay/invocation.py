"""One run of a function: all that its code is handed, instead of looking for it."""

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from relay.aws.queues import Queues
from relay.aws.secrets import Secrets
from relay.aws.table import Table
from relay.calven import Calven
from relay.config.model import Config
from relay.config.store import Configuration
from relay.container import Container
from relay.deadline import WAITED_FOR, Deadline, Pace
from relay.observability import Telemetry
from relay.occupancy.reported import Reports
from relay.settings import Settings
from relay.vendors.support.api import VendorApis
from relay.vendors.support.memory import VendorMemory
from relay.vendors.support.seen import Seen

if TYPE_CHECKING:
    from relay.occupancy.closing import Closing
    from relay.occupancy.ledger import Headcount
    from relay.occupancy.relocation import Relocation
    from relay.occupancy.sensors import Readings
    from relay.occupancy.unsent import Unsent
    from relay.time_off.ledger import Leaves
    from relay.time_off.resumption import Resumption


class Invocation:
    """Its deadline, pace and telemetry, the configuration that it read, and the parts that it works with.

    Every call that a part makes ends by the deadline.
    """

    def __init__(
        self, container: Container, deadline: Deadline, telemetry: Telemetry, pace: Pace = WAITED_FOR
    ) -> None:
        self.deadline = deadline
        self.telemetry = telemetry
        self.pace = pace
        self._container = container

    def until(self, deadline: Deadline) -> "Invocation":
        """The same, with another deadline. What was read of the configuration is kept."""
        other = Invocation(self._container, deadline, self.telemetry, self.pace)
        # A cached property is in there once it has been read; to ask for it would read the table.
        if "configuration" in vars(self):
            other.configuration = self.configuration.until(deadline)
        return other

    def now(self) -> float:
        """Unix seconds."""
        return self._container.clock()

    def utc_now(self) -> datetime:
        """The same as a time."""
        return datetime.fromtimestamp(self.now(), UTC)

    @property
    def settings(self) -> Settings:
        """The environment."""
        return self._container.settings

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration, read at its first use. Raises `TableUnavailable`."""
        configuration = Configuration(self._container.config.until(self.deadline))
        # The telemetry is there first, so that it can say that the configuration cannot be read.
        self.telemetry.by_source = configuration.config.metrics_by_source
        return configuration

    @property
    def config(self) -> Config:
        """Its sources and places. Raises `TableUnavailable`."""
        return self.configuration.config

    @property
    def calven(self) -> Calven:
        """Calven's API; each call is told its deadline."""
        return self._container.calven

    @cached_property
    def table(self) -> Table:
        """The table."""
        return self._container.table.until(self.deadline)

    @cached_property
    def queues(self) -> Queues:
        """All queues."""
        return self._container.queues.until(self.deadline)

    @cached_property
    def secrets(self) -> Secrets:
        """The stack's secrets."""
        return self._container.secrets.until(self.deadline)

    @cached_property
    def vendor_memory(self) -> VendorMemory:
        """What is remembered of vendors' employees and events."""
        return self._container.vendor_memory.until(self.deadline)

    @cached_property
    def seen(self) -> Seen:
        """What events named, for operators."""
        return self._container.seen.until(self.deadline)

    @cached_property
    def vendor_apis(self) -> VendorApis:
        """What questions to vendors' APIs share."""
        return self._container.vendor_apis.until(self.deadline)

    @cached_property
    def reports(self) -> Reports:
        """The note of what Calven has been told."""
        return Reports(self.table)

    # Each of these serves one kind of event, and a function that gets none of it does not load it.

    @cached_property
    def headcount(self) -> "Headcount":
        """The ledger of people and counts."""
        from relay.occupancy.ledger import Headcount  # noqa: PLC0415

        return Headcount(self.table, self._container.clock, self._container.turns)

    @cached_property
    def closing(self) -> "Closing":
        """The end of operating days."""
        from relay.occupancy.closing import Closing  # noqa: PLC0415

        return Closing(self.table, self.headcount, self._container.clock)

    @cached_property
    def unsent(self) -> "Unsent":
        """The note that something is not sent after all."""
        from relay.occupancy.unsent import Unsent  # noqa: PLC0415

        return Unsent(self.table)

    @cached_property
    def readings(self) -> "Readings":
        """The ledger of what sensors saw."""
        from relay.occupancy.sensors import Readings  # noqa: PLC0415

        return Readings(self.table, self._container.clock)

    @cached_property
    def relocation(self) -> "Relocation":
        """What is left to be done for a push."""
        from relay.occupancy.relocation import Relocation  # noqa: PLC0415

        return Relocation(self.table, self.headcount, self.readings, self._container.clock)

    @cached_property
    def leaves(self) -> "Leaves":
        """The ledger of leave."""
        from relay.time_off.ledger import Leaves  # noqa: PLC0415

        return Leaves(self.table, self._container.clock)

    @cached_property
    def resumption(self) -> "Resumption":
        """What Calven is told of sources that are live again."""
        from relay.time_off.resumption import Resumption  # noqa: PLC0415

        return Resumption(self.table, self.queues, self._container.clock)
