"""What a container keeps between requests: clients, caches, the token. Built once, when first needed."""

import os
import threading
import time
from functools import cached_property

from relay import settings
from relay.aws import Clients
from relay.calven import Calven
from relay.config_store import ConfigStore
from relay.deadline import Clock
from relay.dynamo import Table
from relay.headcount import Headcount
from relay.http import Http
from relay.leave import Leaves
from relay.readings import Readings
from relay.reports import Reports
from relay.secrets import Secrets
from relay.settings import Settings
from relay.unprocessed import Queues
from relay.vendor_api import VendorApis
from relay.vendor_memory import VendorMemory


class Relay:
    """The relay's parts, wired together. `clock` gives Unix seconds."""

    def __init__(self, environment: Settings, clock: Clock = time.time) -> None:
        self.settings = environment
        self.clock = clock
        self._aws = Clients()
        self.http = Http()
        self.secrets = Secrets(self._aws.client("secretsmanager"), environment.stack_name, clock)
        self.calven = Calven(str(environment.calven_base_url), self.secrets, self.http, clock)
        table = Table(self._aws.client("dynamodb"), environment.table_name)
        self.config = ConfigStore(table, clock)
        self.headcount = Headcount(table, clock)
        self.readings = Readings(table, clock)
        self.reports = Reports(table)
        self.leaves = Leaves(table, clock)
        self.vendor_memory = VendorMemory(table, clock)
        self.vendor_apis = VendorApis(self.http, self.vendor_memory, clock)

    @cached_property
    def queues(self) -> Queues:
        """Both queues; most requests need neither."""
        environment = self.settings
        return Queues(
            self._aws.client("sqs"), environment.unprocessed_queue_url, environment.dead_letter_queue_url
        )


_lock = threading.Lock()
_relay: Relay | None = None


def relay() -> Relay:
    """The container's relay, from the environment. Raises `relay.settings.InvalidEnvironment`."""
    global _relay  # noqa: PLW0603 - a container's state is what this module is for
    with _lock:
        if _relay is None:
            _relay = Relay(settings.read())
        return _relay


def initialize() -> None:
    """Build the relay before the first event, where Lambda runs this: an initialisation has a whole processor.

    Raises `relay.settings.InvalidEnvironment`.
    """
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        relay()
