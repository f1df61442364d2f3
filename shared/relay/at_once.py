"""Several calls at once, each of which mostly waits for somebody else's answer."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 4

A = TypeVar("A")
B = TypeVar("B")


def each(call: Callable[[A], B], arguments: Sequence[A]) -> list[B]:
    """What the call gives for each of these, in their order.

    Raises what the first of them raised, when all that were begun have ended.
    """
    # Mostly there is one call, which needs no thread.
    if len(arguments) < 2:
        return [call(argument) for argument in arguments]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="at-once") as pool:
        return list(pool.map(call, arguments))
