"""The badge path for Kisi as it is usually written: Powertools, boto3 and httpx, all imported at the top.

The yardstick of `make bench`: the same job as the relay's, against the same table, secrets and Calven, by
somebody who does not think about cold starts. Not deployed.
"""

import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import httpx
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, NotFoundError, UnauthorizedError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import idempotency, parameters
from aws_lambda_powertools.utilities.parser import BaseModel, ValidationError, envelopes, parse
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AwareDatetime

STACK = os.environ["STACK_NAME"]
SECRET_SECONDS = 300
DAY_SECONDS = 24 * 3600

logger = Logger(service="reference")
tracer = Tracer(service="reference")
metrics = Metrics(service="reference", namespace="CalvenRelay/reference")
app = APIGatewayHttpResolver()

table: Any = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
sqs = boto3.client("sqs")
calven = httpx.Client(base_url=os.environ["CALVEN_BASE_URL"], timeout=4)
token: dict[str, Any] = {"token": "", "expiration": 0}
once = idempotency.IdempotencyConfig(event_key_jmespath="uuid", expires_after_seconds=DAY_SECONDS)
seen = idempotency.DynamoDBPersistenceLayer(
    table.name, key_attr="pk", sort_key_attr="sk", expiry_attr="expires_at"
)


class Unlock(BaseModel):
    """What Kisi sends."""

    uuid: str
    type: str
    created_at: AwareDatetime
    object_id: int | str
    actor_id: int | str | None = None
    success: bool = False


@cache
def stored(pk: str, sk: str) -> dict[str, Any] | None:
    """A record of one version of the configuration, which never changes."""
    item = table.get_item(Key={"pk": pk, "sk": sk}).get("Item")
    return json.loads(item["body"]) if item else None


def secret(name: str, **options: Any) -> Any:
    """A secret of the stack's, by its name."""
    return parameters.get_secret(f"{STACK}/{name}", max_age=SECRET_SECONDS, **options)


def signed(key: str, text: str) -> str:
    """The signature that Kisi and Calven use."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def path(places: dict[str, Any], place: str | None) -> Iterator[str]:
    """A place and every place that contains it."""
    while place:
        yield place
        place = places[place]["within"]


@tracer.capture_method
def verify(source: str) -> None:
    """Refuse what the source has not signed."""
    given = app.current_event.headers.get("x-signature") or ""
    body = app.current_event.decoded_body or ""
    keys = secret(f"access-control/{source}", transform="json")["signingSecrets"]
    if not any(hmac.compare_digest(signed(key, body), given) for key in keys):
        raise UnauthorizedError("invalid signature")


@tracer.capture_method
def settle(unlock: Unlock, door: dict[str, Any], places: dict[str, Any]) -> list[dict[str, Any]]:
    """Move the person, count the places left and entered, and say what is to be told."""
    *_, site = path(places, door["place"])
    day = unlock.created_at.astimezone(ZoneInfo(places[site]["timezone"])).date()
    person = signed(secret("person-key"), str(unlock.actor_id))
    target = door["place"] if door["direction"] == "in" else places[door["place"]]["within"]
    entered, expires_at = list(path(places, target)), int(time.time()) + 16 * DAY_SECONDS
    position = {
        "pk": f"reference#{day}#{person}",
        "sk": "position",
        "path": entered,
        "expires_at": expires_at,
    }
    left = table.put_item(Item=position, ReturnValues="ALL_OLD").get("Attributes", {}).get("path", [])
    events = []
    for place in set(left) ^ set(entered):
        updated = table.update_item(
            Key={"pk": f"reference#{day}", "sk": f"count#{place}"},
            UpdateExpression="ADD people :by SET expires_at = :at",
            ExpressionAttributeValues={":by": 1 if place in entered else -1, ":at": expires_at},
            ReturnValues="UPDATED_NEW",
        )
        people = max(int(updated["Attributes"]["people"]), 0)
        event = {name: places[place][name] for name in ("locationId", "locationType")}
        event |= {"timestamp": unlock.created_at.isoformat(), "occupied": people > 0, "occupancy": people}
        events.append(event | {"eventId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{unlock.uuid}/{place}"))})
    return events


@tracer.capture_method
def forward(source_id: str, events: list[dict[str, Any]]) -> None:
    """Tell Calven."""
    account, now = secret("calven", transform="json"), int(time.time())
    headers = {"x-calven-region": account["region"]}
    if token["expiration"] < now + 60:
        proof = signed(account["apiSecret"], f"{account['apiKey']}{now}")
        asked = {"apiKey": account["apiKey"], "timestamp": now, "hash": proof}
        token.update(calven.post("/v1/auth", json=asked, headers=headers).raise_for_status().json())
    headers["authorization"] = f"Bearer {token['token']}"
    body = {"sourceId": source_id, "occupancyEvents": events}
    answer = calven.post("/v1/occupancy", json=body, headers=headers).raise_for_status().json()
    if any(result["resultCode"] for result in answer["results"]):
        raise ValueError(f"Calven refused an event: {answer['results']}")


@idempotency.idempotent_function(data_keyword_argument="unlock", config=once, persistence_store=seen)  # type: ignore[untyped-decorator]
def relay(unlock: Unlock, source: str) -> dict[str, Any]:
    """Count one badge and forward what it changed; what cannot be forwarded goes to the queue."""
    version = table.get_item(Key={"pk": "config", "sk": "pointer"})["Item"]["version"]
    config = stored(f"config#{version}", "main") or {}
    door = stored(f"config#{version}#{source}", f"door#{unlock.object_id}")
    events = settle(unlock, door, config["places"]) if door else []
    if door and not events:
        return {"status": "ignored"}
    try:
        if not door:
            raise ValueError(f"unmapped door {unlock.object_id}")
        forward(config["sources"][source]["calvenSourceId"] or source, events)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        logger.warning("queued", error=str(error))
        metrics.add_metric("EventsQueued", MetricUnit.Count, 1)
        waiting = {"source": source, "unlock": unlock.model_dump(mode="json"), "events": events}
        sqs.send_message(QueueUrl=os.environ["UNPROCESSED_QUEUE_URL"], MessageBody=json.dumps(waiting))
        return {"status": "queued"}
    logger.info("forwarded", source=source, event_id=unlock.uuid, events=len(events))
    metrics.add_metric("EventsForwarded", MetricUnit.Count, 1)
    return {"status": "forwarded", "events": len(events)}


@app.post("/webhooks/access-control/<source>")
@tracer.capture_method
def webhook(source: str) -> tuple[dict[str, Any], int]:
    """Answer one webhook."""
    try:
        verify(source)
        unlock: Any = parse(
            app.current_event.raw_event, model=Unlock, envelope=envelopes.ApiGatewayV2Envelope
        )
    except parameters.exceptions.GetParameterError:
        raise NotFoundError("unknown source") from None
    except ValidationError:
        raise BadRequestError("unreadable") from None
    if unlock.type != "lock.unlock" or not unlock.success or not unlock.actor_id:
        return {"status": "ignored"}, 200
    answer = relay(unlock=unlock, source=source)
    return answer, 202 if answer["status"] == "queued" else 200


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The function."""
    once.register_lambda_context(context)
    return app.resolve(event, context)
