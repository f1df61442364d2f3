"""What a container keeps between invocations: clients, caches, the token. Built once, when first needed."""

import os
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

from relay import settings
from relay.aws.clients import ClientMaker, Clients
from relay.aws.queues import Queues
from relay.aws.secrets import Secrets
from relay.aws.table import Table
from relay.calven import Calven
from relay.config.store import ConfigStore
from relay.deadline import Clock
from relay.http import Http
from relay.occupancy.turns import Turns
from relay.settings import Settings
from relay.vendors.support.api import VendorApis
from relay.vendors.support.memory import VendorMemory
from relay.vendors.support.seen import Seen

if TYPE_CHECKING:
    from relay.entrypoints.under_way import UnderWay
    from relay.vendors.support.tokens import RotatingTokens


class Container:
    """The relay's parts, wired together. `clock` gives Unix seconds.

    An `Invocation` uses them until its deadline. `aws` and `http` are those of an operator's process, which
    reaches AWS and vendors in its own way.
    """

    def __init__(
        self,
        environment: Settings,
        clock: Clock = time.time,
        *,
        aws: ClientMaker | None = None,
        http: Http | None = None,
    ) -> None:
        self.settings = environment
        self.clock = clock
        self._aws = aws or Clients()
        self.http = http or Http()
        self.secrets = Secrets(self._aws.client("secretsmanager"), environment.stack_name, clock)
        self.calven = Calven(environment.calven_base_url, self.secrets, self.http, clock)
        self.table = Table(self._aws.client("dynamodb"), environment.table_name)
        self.config = ConfigStore(self.table, clock)
        self.vendor_memory = VendorMemory(self.table, clock)
        self.seen = Seen(self.table, clock)
        # A function, as the tokens' module is loaded for few vendors only.
        self.vendor_apis = VendorApis(self.http, self.vendor_memory, lambda: self.rotating_tokens, clock)
        self.turns = Turns(clock)

    # Most invocations need none of these, and do not load what they are made of.

    @cached_property
    def rotating_tokens(self) -> "RotatingTokens":
        """The tokens of vendors whose refresh token changes with each use."""
        from relay.vendors.support.tokens import RotatingTokens  # noqa: PLC0415

        return RotatingTokens(self.table, self.secrets, self.clock)

    @cached_property
    def under_way(self) -> "UnderWay":
        """What the retry function works on."""
        from relay.entrypoints.under_way import UnderWay  # noqa: PLC0415

        return UnderWay(self.table, self.clock)

    @cached_property
    def queues(self) -> Queues:
        """All queues."""
        environment = self.settings
        return Queues(
            self._aws.client("sqs"),
            environment.unprocessed_queue_url,
            environment.dead_letter_queue_url,
            environment.reconcile_queue_url,
            environment.occupancy_reset_queue_url,
        )


_lock = threading.Lock()
_container: Container | None = None


def container() -> Container:
    """This process's container, from the environment. Raises `relay.settings.InvalidEnvironment`."""
    global _container  # noqa: PLW0603 - a container's state is what this module is for
    # The local run serves requests on several threads of one process.
    with _lock:
        if _container is None:
            _container = Container(settings.read())
        return _container


def initialize() -> None:
    """Build the container before its first event, where Lambda runs this: then it has a whole processor.

    Raises `relay.settings.InvalidEnvironment`.
    """
    # Elsewhere, as in a test, a handler's import must not need an environment.
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        container()
