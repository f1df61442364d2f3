"""A relay whose AWS clients are made once, and which notices what AWS denies."""

from dataclasses import dataclass, field, fields
from threading import Lock
from typing import Any

from relayctl.target import Target

DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation")
PREFIXES = {"monitoring": "cloudwatch"}
"""What IAM calls a service where that is not the name that it signs with."""


@dataclass(frozen=True, kw_only=True)
class WatchedTarget(Target):
    """One relay, as `Target` has it; `denied` is the permission that was missing last."""

    clients: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    denied: list[str] = field(default_factory=list, compare=False)
    lock: Lock = field(default_factory=Lock, compare=False, repr=False)

    def client(self, service: Any) -> Any:
        """The client of a service, which is made once: making one costs more than most reads."""
        with self.lock:
            if service not in self.clients:
                made = super().client(service)
                made.meta.events.register("after-call", self._note)
                self.clients[service] = made
            return self.clients[service]

    def _note(self, model: Any, parsed: Any, **_: Any) -> None:
        """Note which permission an answer says is missing."""
        code = str(parsed.get("Error", {}).get("Code", "")) if isinstance(parsed, dict) else ""
        if code.rpartition("#")[2] in DENIED:
            self.denied[:] = [permission(model.service_model.signing_name, model.name)]


def watched(target: Target) -> WatchedTarget:
    """The same relay, watched."""
    return WatchedTarget(**{one.name: getattr(target, one.name) for one in fields(target)})


def permission(service: str, operation: str) -> str:
    """What IAM calls the permission for an operation of a service; a batch of SQS's needs that for one."""
    name = operation.removesuffix("Batch") if service == "sqs" else operation
    return f"{PREFIXES.get(service, service)}:{name}"


def denied_permission(target: WatchedTarget | None, error: Exception) -> str | None:
    """The permission that was missing, where that is why a read failed."""
    if target is None or not target.denied or not any(code in str(error) for code in DENIED):
        return None
    return target.denied[0]
