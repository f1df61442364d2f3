"""A schedule, every 15 minutes, and a queue: asks vendors what happened that no webhook has told."""

from typing import TYPE_CHECKING, Any

from functions import started
from relay.container import container, initialize
from relay.deadline import of_function
from relay.entrypoints import reconcile

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

initialize()
started()


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Ask for the sources that are due, or run the one that a message names."""
    return reconcile.handle(container(), event, of_function(context), context.aws_request_id)
