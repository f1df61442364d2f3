"""Which relay a command speaks to: a running `make run`, or a deployed stack."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import click
import httpx
from botocore.config import Config as ClientConfig

from relay.aws.table import Table
from relayctl import network
from relayctl.network import AWS_ERRORS, is_local

OUTPUTS = {
    "table": "TableName",
    "unprocessed_queue_url": "UnprocessedQueueUrl",
    "dead_letter_queue_url": "DeadLetterQueueUrl",
    "api_url": "ApiUrl",
}


CONNECTIONS = 16
"""So many calls may be under way at the same time: to read a full queue, each of few letters."""
DIRECT = ClientConfig(proxies={})
"""No proxies: without them boto3 takes the environment's."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One relay: where its API, table and queues are, and the Calven that it tells.

    `sandbox_url` is the local Calven sandbox's, `vendor_api_url` that of the vendors' stand-in, if any.
    """

    stack: str
    api_url: str
    table: str
    unprocessed_queue_url: str
    dead_letter_queue_url: str
    region: str | None = None
    endpoint: str | None = None
    calven_url: str | None = None
    sandbox_url: str | None = None
    vendor_api_url: str | None = None

    def client(self, service: Any) -> Any:
        """A boto3 client for the target; the local one takes no real credentials."""
        key = "local" if self.endpoint else None
        session = boto3.session.Session(key, key, region_name=self.region)
        config = ClientConfig(
            connect_timeout=3,
            read_timeout=20,
            retries={"total_max_attempts": 3},
            max_pool_connections=CONNECTIONS,
        )

        def make(more: ClientConfig) -> Any:
            return session.client(service, endpoint_url=self.endpoint, config=config.merge(more))

        return make(DIRECT) if self.endpoint else _direct_if_local(make)

    def ledger(self) -> Table:
        """The relay's table, as the relay itself reads it."""
        return Table(self.client("dynamodb"), self.table)


def _direct_if_local(make: Callable[[ClientConfig], Any]) -> Any:
    """A boto3 client that asks AWS by the environment's proxies, and an emulator on this machine without."""
    client = make(ClientConfig())
    if not is_local(client.meta.endpoint_url):
        return client
    client.close()
    return make(DIRECT)


def local_url() -> str:
    """Where `make run` listens, by the same `PORT`."""
    return f"http://127.0.0.1:{os.environ.get('PORT') or '8080'}"


def local(url: str | None = None) -> Target:
    """The running `make run`: at a URL of its own if that is one's, else by `PORT`.

    Raises `click.ClickException` where none runs.
    """
    for base in dict.fromkeys(((url or local_url()).partition("/webhooks/")[0].rstrip("/"), local_url())):
        try:
            with network.client(base, 5) as http:
                answer = http.get(f"{base}/_local")
            return _local(base, answer.raise_for_status().json())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
            continue
    hint = "start one with `make run`, with the same PORT"
    raise click.ClickException(f"no local relay answers at {local_url()}: {hint}")


def _local(base: str, about: Mapping[str, str]) -> Target:
    return Target(
        stack=about["stack"],
        api_url=base,
        table=about["table"],
        unprocessed_queue_url=about["unprocessed_queue_url"],
        dead_letter_queue_url=about["dead_letter_queue_url"],
        region=about["region"],
        endpoint=about["aws_endpoint"],
        calven_url=about["calven_url"],
        sandbox_url=about["sandbox_url"],
        vendor_api_url=about["vendor_api_url"],
    )


def tell_sandbox(target: Target, locations: Sequence[str]) -> None:
    """Have the local Calven sandbox know these location ids, as Calven would know them before a push."""
    if target.sandbox_url:
        url = f"{target.sandbox_url}/_sandbox/locations"
        httpx.post(url, json={"locations": list(locations)}, timeout=5, trust_env=False)


def deployed(stack: str) -> Target:
    """A deployed stack, found by its outputs. Raises `click.ClickException` where it cannot be read.

    `RELAY_API_URL` stands for the API's URL where that is not the one in the outputs: a domain of its own,
    or an emulator of AWS. `AWS_REGION` names the region, as for the AWS CLI and SAM; boto3 does not read it.
    """
    region = os.environ.get("AWS_REGION") or None
    try:
        client = _direct_if_local(
            lambda config: boto3.client("cloudformation", region_name=region, config=config)
        )
        found = client.describe_stacks(StackName=stack)["Stacks"][0]
    except AWS_ERRORS as error:
        raise click.ClickException(f"cannot read the stack {stack!r}: {error}") from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
    if elsewhere := os.environ.get("RELAY_API_URL"):
        outputs[OUTPUTS["api_url"]] = elsewhere
    return Target(
        stack=stack, region=region, calven_url=parameters.get("CalvenBaseUrl"), **_required(outputs)
    )


def _required(outputs: Mapping[str, str]) -> dict[str, str]:
    missing = [name for name in OUTPUTS.values() if name not in outputs]
    if missing:
        raise click.ClickException(f"the stack has no output {', '.join(missing)}: is it this relay's?")
    return {field: outputs[name] for field, name in OUTPUTS.items()}
