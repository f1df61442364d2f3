"""Queue messages as Lambda passes them, and what a function's answer means for them."""

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from localrun.invoke import FAILED
from localrun.template import REGION

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

Json = dict[str, Any]


def to_event(messages: "list[MessageTypeDef]", queue_arn: str) -> Json:
    """The event for a batch of received messages."""
    return {"Records": [_record(message, queue_arn) for message in messages]}


def kept(answer: Any, message_ids: list[str]) -> set[str]:
    """The ids of the messages that stay in the queue, by Lambda's rules for `ReportBatchItemFailures`.

    Nothing and an empty answer mean success; a message that is not of the batch, or a malformed answer, that
    the whole batch failed.
    """
    everything = set(message_ids)
    if answer is None:
        return set()
    if answer is FAILED or not isinstance(answer, dict):
        return everything
    items = answer.get("batchItemFailures") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return everything
    named = [item.get("itemIdentifier") for item in items]
    return set(named) if all(name in message_ids for name in named) else everything


def _record(message: "MessageTypeDef", queue_arn: str) -> Json:
    attributes = message.get("MessageAttributes", {})
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }


def _attribute(value: Any) -> Json:
    lowered: Json = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        lowered["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        lowered["binaryValue"] = b64encode(value["BinaryValue"]).decode()
    return lowered
