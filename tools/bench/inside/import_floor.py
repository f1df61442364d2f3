"""What a function of this kind cannot do without: Powertools' Logger and Metrics, pydantic, httpx, boto3.

Its clients for AWS are those that `BENCH_CLIENTS` names; a path that calls no Calven has no httpx.
"""

import os

import boto3
import pydantic
from aws_lambda_powertools import Logger, Metrics

services = os.environ["BENCH_CLIENTS"].split()
logger, metrics, model = Logger(), Metrics(), pydantic.BaseModel
session = boto3.session.Session()
clients = [session.client(service) for service in services if service != "httpx"]
if "httpx" in services:
    import httpx

    http = httpx.Client()
