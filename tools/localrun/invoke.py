"""Calls a function's handler as Lambda does: loaded once, then event and context for each invocation."""

import time
import traceback
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from localrun.template import ACCOUNT, REGION, Function

Handler = Callable[[dict[str, Any], Any], Any]

FAILED = object()
"""The answer of a handler that raised."""
_log_group: ContextVar[str] = ContextVar("log_group", default="")


def log_group() -> str:
    """The log group of the function that is being called in this thread; empty outside of one."""
    return _log_group.get()


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler about its invocation."""

    function_name: str
    memory_limit_in_mb: int
    invoked_function_arn: str
    log_group_name: str
    deadline: float
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the function's timeout."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


def context(function: Function) -> Context:
    """The context of an invocation that begins now."""
    return Context(
        function_name=function.logical_id,
        memory_limit_in_mb=function.memory,
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.logical_id}",
        log_group_name=function.log_group,
        deadline=time.monotonic() + function.timeout,
    )


def load(function: Function) -> Handler:
    """The handler that the template names, such as `functions.hris.app.handler`."""
    module, _, name = function.handler.rpartition(".")
    handler: Handler = getattr(import_module(module), name)
    return handler


def call(function: Function, handler: Handler, event: dict[str, Any]) -> Any:
    """The handler's answer, or `FAILED` with the traceback on standard error."""
    before = _log_group.set(function.log_group)
    try:
        return handler(event, context(function))
    except Exception:  # noqa: BLE001 - a failed invocation is the function's own matter
        traceback.print_exc()
        return FAILED
    finally:
        _log_group.reset(before)
