"""Where AWS's clients send their calls: by botocore's rules, which each operation is looked up in once."""

from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from relay.aws.clients import Clients

OPERATIONS = ("ListTables", "DescribeEndpoints")


class _Raw:
    def stream(self) -> list[bytes]:
        """The answer's content."""
        return [b"{}"]


def calls(times: int) -> tuple[list[str], list[str]]:
    """The URLs that so many calls of each operation go to, and the operations that were looked up."""
    client = Clients().client("dynamodb")
    urls: list[str] = []
    looked_up: list[str] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        urls.append(request.url)
        return AWSResponse(request.url, 200, HTTPHeaders(), _Raw())

    def look_up(model: Any, **_: Any) -> None:
        looked_up.append(model.name)

    client.meta.events.register("before-send.dynamodb", answer)
    client.meta.events.register("before-endpoint-resolution.dynamodb", look_up)
    for _ in range(times):
        client.list_tables()
        client.describe_endpoints()
    return urls, looked_up


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "https://dynamodb.eu-west-1.amazonaws.com/"),
        (
            {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_DEFAULT_REGION": "us-east-1"},
            "https://dynamodb-fips.us-east-1",
        ),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://dynamodb.eu-west-1.api.aws/"),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, "https://dynamodb.cn-north-1.amazonaws.com.cn/"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}, "http://127.0.0.1:5000/"),
    ],
    ids=["region", "FIPS", "dual stack", "China", "local"],
)
def test_by_the_rules(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str) -> None:
    """Each call goes where AWS's rules say, the second like the first."""
    for name, value in {"AWS_DEFAULT_REGION": "eu-west-1", **environment}.items():
        monkeypatch.setenv(name, value)
    urls, looked_up = calls(3)
    assert len(urls) == 6
    assert all(each.startswith(url) for each in urls)
    assert looked_up == list(OPERATIONS)
