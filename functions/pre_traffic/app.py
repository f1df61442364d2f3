"""CodeDeploy's hook before traffic shifts: a smoke test of each new version."""

from typing import Any

from functions import started
from relay.entrypoints import deployment

# No container is built: the hook has neither table nor queues in its environment.
started()


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Test both versions, and tell CodeDeploy whether traffic may shift to them."""
    return deployment.handle(event)
