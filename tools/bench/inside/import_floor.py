"""What a function of this kind cannot do without: Powertools' Logger and Metrics, pydantic, httpx, boto3.

Its clients for AWS are those that `BENCH_CLIENTS` names; a path that calls no Calven has no httpx.
"""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from pydantic import AwareDatetime, BaseModel, Field


class Badge(BaseModel):
    """A payload: pydantic loads what it needs of itself for the first model."""

    person: str = Field(min_length=1)
    at: AwareDatetime


services = os.environ["BENCH_CLIENTS"].split()
logger, metrics = Logger(), Metrics()
session: Any = boto3.session.Session()
clients = [session.client(service) for service in services if service != "httpx"]
if "httpx" in services:
    import httpx

    http = httpx.Client()
