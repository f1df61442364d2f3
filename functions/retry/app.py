"""The Unprocessed queue: forwards what could not be forwarded at first."""

from typing import TYPE_CHECKING, Any

from functions import started
from relay.container import container, initialize
from relay.deadline import of_function
from relay.entrypoints import queue

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

initialize()
started()


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Process one batch; the answer names the messages that stay in the queue."""
    return queue.handle(container(), event, of_function(context), context.aws_request_id)
