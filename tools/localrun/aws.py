"""The table, the queues and the secrets that the template declares, made in moto's server."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from localrun.aws_faults import OWN_AGENT
from localrun.template import REGION, EventSource, Template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

ACCESS_KEY = "local"
RECONCILE_QUEUE = "ReconcileQueue"
"""The logical id of the queue of sources that are to be reconciled."""
OCCUPANCY_RESET_QUEUE = "OccupancyResetQueue"
"""The logical id of the queue of sites whose days are to be closed."""


class Aws:
    """Clients of the AWS at an endpoint, whatever credentials and proxies the user has. To be closed."""

    def __init__(self, endpoint: str | None) -> None:
        session = boto3.Session(ACCESS_KEY, ACCESS_KEY, region_name=REGION)
        config = Config(proxies={}, max_pool_connections=20, user_agent_extra=OWN_AGENT)
        self.dynamodb: DynamoDBClient = session.client("dynamodb", endpoint_url=endpoint, config=config)
        self.sqs: SQSClient = session.client("sqs", endpoint_url=endpoint, config=config)
        self.secrets: SecretsManagerClient = session.client(
            "secretsmanager", endpoint_url=endpoint, config=config
        )
        # Its types are no dependency: one call is made.
        self.logs: Any = session.client("logs", endpoint_url=endpoint, config=config)

    def close(self) -> None:
        """Closes the connections."""
        for client in (self.dynamodb, self.sqs, self.secrets, self.logs):
            client.close()


@dataclass(frozen=True)
class Resources:
    """What the template's resources are called here."""

    table: str
    unprocessed_queue_url: str
    dead_letter_queue_url: str
    reconcile_queue_url: str
    occupancy_reset_queue_url: str

    def queue_url(self, source: EventSource) -> str:
        """The queue that feeds a function."""
        of_queues = {
            RECONCILE_QUEUE: self.reconcile_queue_url,
            OCCUPANCY_RESET_QUEUE: self.occupancy_reset_queue_url,
        }
        return of_queues.get(source.queue, self.unprocessed_queue_url)


def create(template: Template, aws: Aws) -> Resources:
    """Makes the table and the queues as the template declares them."""
    queues = template.of_type("AWS::SQS::Queue")
    source = queues[template.event_sources[0].queue]
    redrive = source["RedrivePolicy"]
    dead_letter_url = _queue(template, aws, queues[template.target(redrive["deadLetterTargetArn"])])
    answer = aws.sqs.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])
    policy = {
        "deadLetterTargetArn": answer["Attributes"]["QueueArn"],
        "maxReceiveCount": template.resolve(redrive["maxReceiveCount"]),
    }
    unprocessed_url = _queue(template, aws, source, RedrivePolicy=json.dumps(policy))
    asked_urls = [_queue(template, aws, queues[name]) for name in (RECONCILE_QUEUE, OCCUPANCY_RESET_QUEUE)]
    return Resources(_table(template, aws), unprocessed_url, dead_letter_url, *asked_urls)


def _queue(template: Template, aws: Aws, properties: dict[str, Any], **attributes: str) -> str:
    for name in ("VisibilityTimeout", "MessageRetentionPeriod"):
        if name in properties:
            attributes[name] = str(template.resolve(properties[name]))
    created = aws.sqs.create_queue(
        QueueName=template.resolve(properties["QueueName"]),
        Attributes=attributes,  # type: ignore[arg-type]
    )
    return created["QueueUrl"]


def _table(template: Template, aws: Aws) -> str:
    ((logical_id, properties),) = template.of_type("AWS::DynamoDB::Table").items()
    name: str = template.resolve(properties.get("TableName", logical_id))
    aws.dynamodb.create_table(
        TableName=name,
        KeySchema=properties["KeySchema"],
        AttributeDefinitions=properties["AttributeDefinitions"],
        GlobalSecondaryIndexes=properties["GlobalSecondaryIndexes"],
        BillingMode="PAY_PER_REQUEST",
    )
    aws.dynamodb.update_time_to_live(
        TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"]
    )
    return name
