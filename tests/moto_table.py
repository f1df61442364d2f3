"""A ledger of its own on moto, its requests counted, and whatever else may happen between two of them."""

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import boto3
from hypothesis import Phase, settings
from moto import mock_aws

from relay.aws.table import Item, Key, Table
from relay.time_off.items import INDEX, SOURCE
from tests.rig import Clock
from tests.servers import aws_client

NAME = "ledger"
SESSION = boto3.session.Session("testing", "testing", region_name="us-east-1")
"""One for all tests: a session reads boto3's data files, which takes longer than most tests."""

FEW = settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""For properties on moto, which is slow: few and small examples, not worth the minutes of shrinking them."""


def many(examples: int) -> settings:
    """For properties in memory. `EXAMPLES=70` in the environment has each try seventy times as many."""
    return settings(max_examples=examples * int(os.environ.get("EXAMPLES", "1")), deadline=None)


class Crash(Exception):
    """The process ends here."""


class Ledger:
    """An empty table, requests to it by operation (`requests`), and a clock that only the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.requests: list[str] = []
        self._aws = mock_aws()

    def __enter__(self) -> Self:
        """Create the table as the template does."""
        self._aws.start()
        self.client, self._other = SESSION.client("dynamodb"), aws_client("dynamodb")
        self.client.create_table(
            TableName=NAME,
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
                {"AttributeName": SOURCE, "AttributeType": "S"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": INDEX,
                    "KeySchema": [
                        {"AttributeName": SOURCE, "KeyType": "HASH"},
                        {"AttributeName": "pk", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        self.client.meta.events.register("before-send.dynamodb.*", self._count)
        self.table, self.other = Table(self.client, NAME), Table(self._other, NAME)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget it all."""
        self._aws.stop()

    def _count(self, request: Any, **_: Any) -> None:
        self.requests.append(request.headers["X-Amz-Target"].decode().rpartition(".")[2])

    def item(self, key: Key) -> Item | None:
        """One item, read without being counted."""
        return self.other.get([key]).get(key)

    def forget(self, key: Key) -> None:
        """Delete an item, as its time to live does."""
        self._other.delete_item(TableName=NAME, Key={"pk": {"S": key[0]}, "sk": {"S": key[1]}})

    def before(self, operation: str, act: Callable[[], Any], *, times: int = 1) -> None:
        """Do something right before each of the next requests of that kind, through `other` or not at all."""
        left = [act] * times

        def happen(**_: Any) -> None:
            if left:
                left.pop()()

        self.client.meta.events.register(f"before-call.dynamodb.{operation}", happen)

    def fail(self, operation: str, answer: dict[str, Any]) -> None:
        """Have the next request of that kind answered with an error."""
        left = [answer]

        def refuse(**_: Any) -> Any:
            return (_Refusal(), left.pop()) if left else None

        self.client.meta.events.register(f"before-call.dynamodb.{operation}", refuse)


class _Refusal:
    status_code = 400
