"""The Unprocessed queue: forwards what could not be forwarded at first."""

from typing import TYPE_CHECKING, Any

from relay import retry
from relay.runtime import relay

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

RESERVE_SECONDS = 5.0
"""Kept of the function's time-out, to store what is left."""


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Process one batch; the answer names the messages that stay in the queue."""
    seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    return retry.handle(relay(), event, seconds, context.aws_request_id)
