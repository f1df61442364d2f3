"""The floor: the wire of a badge webhook and nothing else, to compare the relay's handler with.

The same requests with the same contents, by boto3 and httpx; of the relay's own work only the signature and
the payload's JSON. It counts nobody right: no deadline, no order, no conflict, no retry, no log, no metric.
`BENCH_COUNTS` says how many counts a badge changes, 1 or 2.
"""

import hashlib
import hmac
import json
import os
import time
from typing import Any
from uuid import uuid4

import boto3
import httpx

TABLE = os.environ["TABLE_NAME"]
CALVEN = os.environ["CALVEN_BASE_URL"]
STACK = os.environ["STACK_NAME"]
LOCATIONS = ("L1", "L0")[: int(os.environ["BENCH_COUNTS"])]

dynamodb: Any = boto3.client("dynamodb")
secretsmanager: Any = boto3.client("secretsmanager")
http = httpx.Client(trust_env=False)


def _secret(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        secretsmanager.get_secret_value(SecretId=f"{STACK}/{name}")["SecretString"]
    )
    return value


def _token(secret: dict[str, Any]) -> str:
    timestamp = int(time.time())
    signed = hmac.new(secret["apiSecret"].encode(), f"{secret['apiKey']}{timestamp}".encode(), hashlib.sha256)
    body = {"apiKey": secret["apiKey"], "timestamp": timestamp, "hash": signed.hexdigest()}
    token: str = http.post(f"{CALVEN}/v1/auth", json=body, headers={"x-calven-region": "usce1"}).json()[
        "token"
    ]
    return token


KEY = _secret("access-control/kisi")["signingSecrets"][0].encode()
TOKEN = _token(_secret("calven"))


def _keys(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in pairs]


def _update(key: dict[str, Any], values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "TableName": TABLE,
        "Key": key,
        "UpdateExpression": "SET " + ", ".join(f"#n{i} = :v{i}" for i in range(len(values))),
        "ExpressionAttributeNames": {f"#n{i}": name for i, name in enumerate(values)},
        "ExpressionAttributeValues": {f":v{i}": value for i, value in enumerate(values.values())},
    }


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer a badge of Kisi's."""
    body = event["body"].encode()
    if not hmac.compare_digest(hmac.digest(KEY, body, "sha256").hex(), event["headers"]["x-signature"]):
        return {"statusCode": 401}
    badge = json.loads(body)
    person, day = f"floor#{badge['actor_id']}", "floor#day"
    keys = _keys((person, "position"), (day, "count#hq"), (person, "early"), (day, "reported"))
    dynamodb.batch_get_item(RequestItems={TABLE: {"Keys": keys, "ConsistentRead": True}})
    at, ids = str(time.time_ns() // 1_000_000), [str(uuid4()) for _ in LOCATIONS]
    common: dict[str, Any] = {"revision": {"N": "1"}, "expires_at": {"N": at}}
    within, *of_site = [
        {
            "people": {"N": "1"},
            "version": {"N": "1"},
            "at": {"N": at},
            "event_id": {"S": id_},
            "source": {"S": "kisi"},
            "ended": {"BOOL": False},
            "late": {"BOOL": False},
            "name": {"S": "level-1"},
            "type": {"S": "level"},
            "moved": {"BOOL": False},
        }
        for id_ in ids
    ]
    counts: dict[str, Any] = {"within#l1": {"L": list(within.values())}}
    for values in of_site:
        counts |= values
    position: dict[str, Any] = {
        "path": {"L": [{"S": "l1"}, {"S": "hq"}]},
        "at": {"N": at},
        "event": {"S": badge["uuid"]},
        "moved": {"BOOL": False},
    }
    updates = [_update(keys[0], {**position, **common}), _update(keys[1], {**counts, **common})]
    dynamodb.transact_write_items(TransactItems=[{"Update": update} for update in updates])
    events = [
        {
            "timestamp": badge["created_at"],
            "locationId": location,
            "locationType": "level",
            "eventId": id_,
            "occupied": True,
            "occupancy": 1,
        }
        for location, id_ in zip(LOCATIONS, ids, strict=True)
    ]
    headers = {"authorization": f"Bearer {TOKEN}", "x-calven-region": "usce1"}
    answer = http.post(
        f"{CALVEN}/v1/occupancy", json={"sourceId": "kisi", "occupancyEvents": events}, headers=headers
    )
    if any(result["resultCode"] for result in answer.json()["results"]):
        return {"statusCode": 202}
    told = {f"place#{location}": {"L": [{"N": "1"}, {"N": "1"}]} for location in LOCATIONS}
    dynamodb.update_item(**_update(keys[-1], {**told, "expires_at": {"N": at}}))
    return {"statusCode": 200, "body": json.dumps({"status": "forwarded", "events": len(LOCATIONS)})}
