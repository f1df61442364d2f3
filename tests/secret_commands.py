"""`relayctl secrets`, and what it has stored."""

from collections.abc import Callable

from click.testing import Result

from localrun.template import STACK
from tests.rig import Rig

Command = Callable[..., Result]

VALUE = "example-value-of-a-secret"


def delete(rig: Rig, name: str) -> None:
    """Delete a secret for good."""
    rig.aws.secrets.delete_secret(SecretId=f"{STACK}/{name}", ForceDeleteWithoutRecovery=True)
