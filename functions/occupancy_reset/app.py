"""A schedule, every 15 minutes, and a queue: closes operating days, and tells Calven what is pending."""

from typing import TYPE_CHECKING, Any

from functions import started
from relay.container import container, initialize
from relay.deadline import of_function
from relay.entrypoints import schedule

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

initialize()
started()


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, int]:
    """Close and sweep every site, or those that messages name."""
    return schedule.handle(container(), event, of_function(context), context.aws_request_id)
