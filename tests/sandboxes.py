"""What the relays of a session share: a server for their sandboxes, the vendors' APIs, a table as seeded."""

import copyreg
import pickle
import threading
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Any, Self

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from starlette.types import Receive, Scope, Send

from localrun.aws import Aws, Resources
from localrun.sandbox import Sandbox
from localrun.serve import Served
from localrun.settings import DEMO
from localrun.template import Template
from localrun.vendor_api import create as create_vendor_api
from relay.aws.clients import Clients
from relay.config.file import RelayYaml
from relayctl import relay_yaml

# A queue of moto's has a condition to wait on. Its copy gets one of its own.
copyreg.pickle(threading.Condition, lambda _: (threading.Condition, ()))


class Seeded:
    """Moto's table, queues and secrets as the configuration leaves them, for every relay of a session.

    To make and store them anew for each test takes most of what its relay takes.
    """

    def __init__(self) -> None:
        self._kept: tuple[Resources, bytes] | None = None

    def fill(self, make: Callable[[], Resources]) -> Resources:
        """Have moto hold them: by making them the first time, and as a copy from then on."""
        secrets, tables, queues = map(_backend, ("secretsmanager", "dynamodb", "sqs"))
        if self._kept is None:
            self._kept = make(), pickle.dumps((secrets.secrets, tables.tables, queues.queues))
        resources, kept = self._kept
        secrets.secrets, tables.tables, queues.queues = pickle.loads(kept)  # noqa: S301 - of this process
        return resources


class SharedClients(Clients):
    """The functions' own clients, each made once for all relays: to make one takes longer than most tests."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, Any] = {}

    def client(self, service: Any) -> Any:
        """A service's client."""
        if service not in self._made:
            self._made[service] = super().client(service)
        return self._made[service]


@cache
def _read_demo() -> tuple[Template, RelayYaml]:
    """The template and the demo's configuration, read once a process."""
    return Template(), relay_yaml.load(DEMO / "relay.yaml")


def _backend(service: Any) -> Any:
    return get_backend(service)[DEFAULT_ACCOUNT_ID]["us-east-1"]


class Sandboxes:
    """Serves a sandbox that each test replaces, and the vendors' own APIs."""

    def __init__(self) -> None:
        self.current: Sandbox | None = None
        self._calven, self._vendors = Served(self._serve), Served(create_vendor_api())
        self.url = self.vendor_api = ""
        self.aws, self.clients = Aws(None), SharedClients()
        self.template, self.config = _read_demo()
        self.seeded = Seeded()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.current is not None
        await self.current(scope, receive, send)

    def __enter__(self) -> Self:
        """Start both servers."""
        self.url, self.vendor_api = self._calven.start(), self._vendors.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both servers."""
        self._calven.stop()
        self._vendors.stop()
        self.aws.close()
