"""The process's environment: the functions', without the user's own AWS settings."""

import os
from collections.abc import MutableMapping

from localrun.aws import ACCESS_KEY, Resources
from localrun.settings import Settings
from localrun.template import REGION, STACK, Template
from localrun.world import Urls

_LOCAL_HOSTS = "127.0.0.1,localhost"


def prepare(environment: MutableMapping[str, str], template: Template) -> None:
    """Takes the user's AWS settings and proxy out of the way, and adds what the template says.

    What the user sets of the template's variables stays, such as the log level.
    """
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, (environment.get(name), _LOCAL_HOSTS)))
    environment.update({**template.environment, **environment})
    environment.update(
        AWS_ACCESS_KEY_ID=ACCESS_KEY,
        AWS_SECRET_ACCESS_KEY=ACCESS_KEY,
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_REGION=REGION,
        AWS_DEFAULT_REGION=REGION,
        # The terminal shows one line an event.
        POWERTOOLS_METRICS_DISABLED="true",
    )


def of_functions(settings: Settings, urls: Urls, resources: Resources) -> dict[str, str]:
    """What the functions are told here, where a deployment tells them something else."""
    return {
        "AWS_ENDPOINT_URL": urls.aws,
        "STACK_NAME": STACK,
        "TABLE_NAME": resources.table,
        "UNPROCESSED_QUEUE_URL": resources.unprocessed_queue_url,
        "DEAD_LETTER_QUEUE_URL": resources.dead_letter_queue_url,
        "RECONCILE_QUEUE_URL": resources.reconcile_queue_url,
        "OCCUPANCY_RESET_QUEUE_URL": resources.occupancy_reset_queue_url,
        "CALVEN_BASE_URL": urls.sandbox or str(settings.calven_base_url).rstrip("/"),
        "FORWARD_MODE": settings.forward_mode,
        "RETRY_BASE_SECONDS": f"{settings.retry_base_seconds:g}",
    }
