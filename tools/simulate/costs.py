"""What badges cost, from what a simulation counted and the prices of docs/explanations/cost.md."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from build.cost import MILLION, Stack, by_service
from build.usage import Use, direct_badge, queued_badge
from localrun.template import Template
from simulate.figures import Sample


def million(found: Sample, *, queued: bool) -> Mapping[str, Any]:
    """Dollars for a million badges like these. A refused write is billed like any other.

    What is logged and sent is as docs/explanations/cost.md has it.
    """
    stack = Stack(Template())
    memory = {"access_control": stack.badge_memory, "retry": stack.retry_memory}
    usual = (
        queued_badge(100, stack.badge_memory, stack.retry_memory)
        if queued
        else direct_badge(stack.badge_memory)
    )
    use: Use = replace(
        usual,
        runs=found.a_badge(sum(found.runs.get(name, 0) for name in memory)),
        gb_seconds=found.a_badge(sum(found.seconds.get(name, 0.0) * size for name, size in memory.items())),
        reads=found.a_badge(found.reads),
        writes=found.a_badge(found.tried),
        sqs=found.a_badge(found.queue_requests),
    )
    services = by_service(use)
    database = services["DynamoDB: reads and writes"]
    functions = services["Lambda: requests"] + services["Lambda: duration"]
    everything = sum(services.values())
    return {
        "DynamoDB": f"${database * MILLION:,.2f}",
        "Lambda": f"${functions * MILLION:,.2f}",
        "all else": f"${(everything - database - functions) * MILLION:,.2f}",
        "a million badges": f"${everything * MILLION:,.2f}",
    }
