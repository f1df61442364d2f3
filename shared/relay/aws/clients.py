"""AWS clients whose calls end in time for the vendor that waits.

boto3's time-outs are per attempt, per address and per read, the same for every call. While a vendor waits, a
call gets what is left until its deadline; one that takes longer is given up, and goes on behind the answer
at most as long as the client's own time-outs let it. What it may still write is safe: writes are conditional,
and an event that is stored twice is settled once.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import TIMEOUT_MAX
from typing import Any, Protocol, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from relay.deadline import LEAST_AWS_SECONDS, QUEUE_RESERVE_SECONDS, Deadline

CLIENT = Config(
    connect_timeout=1,
    read_timeout=1,
    # Unlike `max_attempts`, it counts the first attempt too.
    retries={"total_max_attempts": 2, "mode": "standard"},
    tcp_keepalive=True,
    # Beyond the default of ten, each call would make a connection and throw it away.
    max_pool_connections=100,
    # Both are a tenth of each call's processor time. AWS says what is wrong with a parameter as well.
    parameter_validation=False,
    user_agent="calven-relay",
)
ANSWER_SECONDS = 0.1
"""Kept of the deadline for the answer itself, when an event is stored."""

# A call that is given up goes on in its thread, so that the next one needs another.
_threads = ThreadPoolExecutor(max_workers=100, thread_name_prefix="aws")

C = TypeVar("C")


class ClientMaker(Protocol):
    """Makes clients for AWS services."""

    def client(self, service: Any) -> Any:
        """A service's client."""


class Clients:
    """Makes those of a function, from one session."""

    def __init__(self) -> None:
        self._session = boto3.session.Session()

    def client(self, service: Any) -> Any:
        """A service's client."""
        client = self._session.client(service, config=CLIENT)
        _look_up_endpoints_once(client)
        return client


def _look_up_endpoints_once(client: Any) -> None:
    """Have a client look up the endpoint of each operation once.

    For each call botocore asks its rules anew (for FIPS, dual stack, AWS's partitions), which is a tenth of
    the call's processor time. They are about the region and the account, which are a client's own.
    """
    resolver = client._ruleset_resolver  # noqa: SLF001 - there is no setting for it
    look_up = resolver.construct_endpoint
    endpoints: dict[str, Any] = {}

    def endpoint(operation_model: Any, **asked: Any) -> Any:
        name = operation_model.name
        if name not in endpoints:
            endpoints[name] = look_up(operation_model=operation_model, **asked)
        return endpoints[name]

    resolver.construct_endpoint = endpoint


def until(client: C, deadline: Deadline, reserve: float = QUEUE_RESERVE_SECONDS) -> C:
    """The client, each of whose calls ends so many seconds before the deadline, with `ReadTimeoutError`."""
    return cast("C", _Bounded(client, deadline, reserve))


class _Bounded:
    def __init__(self, client: Any, deadline: Deadline, reserve: float) -> None:
        self._client = client
        self._deadline = deadline
        self._reserve = reserve

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        # `client.exceptions` is an object with attributes, not an operation.
        return self._bounded(attribute) if callable(attribute) else attribute

    def _bounded(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            left = self._deadline.left() - self._reserve
            future = _threads.submit(operation, **parameters)
            try:
                # A deadline may be infinite, which no lock waits for.
                return future.result(min(max(left, LEAST_AWS_SECONDS), TIMEOUT_MAX))
            except TimeoutError:
                # A `BotoCoreError`, as of a call that nobody has answered: callers handle it already.
                raise ReadTimeoutError(endpoint_url=self._client.meta.endpoint_url) from None

        return call
