"""A schedule, every 15 minutes: closes operating days and tells Calven what is still to be told."""

from typing import TYPE_CHECKING, Any

from relay import reset
from relay.runtime import relay

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

RESERVE_SECONDS = 5.0
"""Kept of the function's time-out, to store what is left."""


def handler(_event: dict[str, Any], context: "LambdaContext") -> dict[str, int]:
    """Close and sweep every site."""
    seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    return reset.handle(relay(), seconds, context.aws_request_id)
