"""What a function of this kind cannot do without: Powertools' Logger and Metrics, boto3, and what it needs.

`BENCH_NEEDS` names that: pydantic with a model, httpx with a client, and the clients for AWS.
"""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics

needs = os.environ["BENCH_NEEDS"].split()
logger, metrics = Logger(), Metrics()
if "pydantic" in needs:
    from pydantic import AwareDatetime, BaseModel, Field

    class Badge(BaseModel):
        """A payload: pydantic loads what it needs of itself for the first model."""

        person: str = Field(min_length=1)
        at: AwareDatetime


if "httpx" in needs:
    import httpx

    http = httpx.Client()
services = [need for need in needs if need not in ("pydantic", "httpx")]
session: Any = boto3.session.Session() if services else None
clients = [session.client(service) for service in services]
