"""CodeDeploy's side: a signed synthetic event through each new version, before it takes traffic.

https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
The version's own side is `smoke_test`. This module loads nothing of it: the hook's function needs neither the
table nor the vendors' modules.
"""

import base64
import json
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from relay.observability import logger
from relay.vendors.support.signatures import StandardWebhooks

BODIES = {
    "ACCESS_CONTROL_VERSION": {
        "type": "badge",
        "id": "smoke-test",
        "at": "2026-01-01T00:00:00Z",
        "door": "-",
    },
    "HRIS_VERSION": {
        "type": "leave",
        "id": "smoke-test",
        "leave": "smoke-test",
        "state": "requested",
        "changedAt": "2026-01-01T00:00:00Z",
    },
}
"""What is sent to the version that each variable names, in the generic vendor's format."""


def handle(event: Mapping[str, str]) -> dict[str, str]:
    """Test both versions, and tell CodeDeploy whether traffic may shift to them."""
    client = boto3.client("lambda")
    # Both are tested, whatever the first says: the log then names all that is broken.
    passed = [passes(client, os.environ[variable], body) for variable, body in BODIES.items()]
    status = "Succeeded" if all(passed) else "Failed"
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return {"status": status}


def passes(client: Any, version: str, body: Mapping[str, Any]) -> bool:
    """Whether a version answers 200 to an event of its own; one that cannot be invoked does not pass."""
    payload = json.dumps(synthetic_event(body, time.time())).encode()
    try:
        answer = json.loads(client.invoke(FunctionName=version, Payload=payload)["Payload"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        logger.error("smoke test failed", version=version, error=type(error).__name__)
        return False
    # A crash is an object with `errorMessage`, and no status.
    passed = isinstance(answer, dict) and answer.get("statusCode") == 200
    logger.info("smoke test", version=version, answer=answer.get("body") if passed else answer, passed=passed)
    return passed


def synthetic_event(body: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A signed event of API Gateway's form, with the secret that it was signed with beside it."""
    content = json.dumps(body)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "smoke_test": {"secret": secret},
        "headers": dict(StandardWebhooks().sign(content.encode(), secret, now).headers),
        "pathParameters": {"source": "smoke-test"},
        "requestContext": {"http": {"method": "POST"}, "timeEpoch": int(now * 1000)},
        "body": content,
        "isBase64Encoded": False,
    }
