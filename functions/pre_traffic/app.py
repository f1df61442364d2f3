"""CodeDeploy's hook before traffic shifts: sends a signed synthetic event through each new version.

https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
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

from functions import started
from relay.observability import logger
from relay.vendors.support.signatures import StandardWebhooks

BODIES = {
    "ACCESS_CONTROL_VERSION": {"type": "badge", "id": "rehearsal", "at": "2026-01-01T00:00:00Z", "door": "-"},
    "HRIS_VERSION": {
        "type": "leave",
        "id": "rehearsal",
        "leave": "rehearsal",
        "state": "requested",
        "changedAt": "2026-01-01T00:00:00Z",
    },
}
"""What is sent to the version that each variable of the environment names."""

started()


def handler(event: Mapping[str, str], _context: object) -> dict[str, str]:
    """Rehearse both versions, and tell CodeDeploy whether traffic may shift to them."""
    client = boto3.client("lambda")
    failed = [name for name, body in BODIES.items() if not _rehearsed(client, os.environ[name], body)]
    status = "Failed" if failed else "Succeeded"
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return {"status": status}


def rehearsal(body: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A signed event of API Gateway's form, with the secret that it was signed with beside it."""
    content = json.dumps(body)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "rehearsal": {"secret": secret},
        "headers": dict(StandardWebhooks().sign(content.encode(), secret, now).headers),
        "pathParameters": {"source": "rehearsal"},
        "requestContext": {"http": {"method": "POST"}, "timeEpoch": int(now * 1000)},
        "body": content,
        "isBase64Encoded": False,
    }


def _rehearsed(client: Any, version: str, body: Mapping[str, Any]) -> bool:
    try:
        payload = json.dumps(rehearsal(body, time.time())).encode()
        answer = json.loads(client.invoke(FunctionName=version, Payload=payload)["Payload"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        logger.error("rehearsal failed", version=version, error=type(error).__name__)
        return False
    done = isinstance(answer, dict) and answer.get("statusCode") == 200
    logger.info("rehearsal", version=version, answer=answer.get("body") if done else answer, passed=done)
    return done
