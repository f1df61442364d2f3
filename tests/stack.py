"""A deployed stack, as `relayctl --stack` finds it: CloudFormation's outputs and parameters, in moto."""

import json

from localrun.template import STACK
from tests.rig import Rig
from tests.servers import aws_client


def deploy(
    rig: Rig,
    name: str = STACK,
    api_url: str = "https://api.example.com",
    *,
    calven: bool = True,
    calven_url: str = "",
) -> None:
    """A stack with the outputs and the parameter that the template's has; an older one's has none.

    Its Calven is the rig's sandbox, unless `calven_url` is another.
    """
    resources = rig.resources
    outputs = {
        "ApiUrl": api_url,
        "TableName": resources.table,
        "UnprocessedQueueUrl": resources.unprocessed_queue_url,
        "DeadLetterQueueUrl": resources.dead_letter_queue_url,
    }
    template = {
        "Parameters": {"CalvenBaseUrl": {"Type": "String"}} if calven else {},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    url = calven_url or str(rig.sandbox.base_url)
    parameter = {"ParameterKey": "CalvenBaseUrl", "ParameterValue": url}
    parameters = [parameter] if calven else []
    aws_client("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps(template), Parameters=parameters
    )
