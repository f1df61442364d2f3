"""Makes moto's SQS cost what a call is about, not the square of what its queue holds.

moto reads the clock for each message whenever it looks at a queue, counts the queue's messages for each
message that it sends or delivers, throws dice for each letter of a receipt, and looks for a receipt in every
message. With some thousands of messages one call then takes seconds, in which no other is served. Here each
look is one plain walk with one reading of the clock, nothing is counted that nobody asked for, a receipt is
drawn at once, and leads to its message. What the calls do and answer is moto's. One thread at a time, which
`moto_server` guarantees.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_urlsafe
from typing import Any
from weakref import WeakValueDictionary

from moto.core.utils import unix_time, unix_time_millis
from moto.sqs import models
from moto.sqs.models import Message, Queue, SQSBackend

_mark_received = Message.mark_received
_delete_message = Queue.delete_message
_change_message_visibility = SQSBackend.change_message_visibility
RECEIPT_BYTES = 138
"""As long as moto's receipts."""
_by_receipt: WeakValueDictionary[str | None, Message] = WeakValueDictionary()


def install() -> None:
    """Replaces moto's own way, for this process."""
    replaced: tuple[tuple[Any, str, object], ...] = (
        (models, "generate_receipt_handle", _receipt),
        (Message, "mark_received", _received),
        (Queue, "messages", property(_visible)),
        (Queue, "approximate_number_of_messages_delayed", property(_delayed)),
        (Queue, "approximate_number_of_messages_not_visible", property(_hidden)),
        (Queue, "delete_message", _delete),
        (SQSBackend, "change_message_visibility", _change_visibility),
        (SQSBackend, "is_message_valid_based_on_retention_period", _is_kept),
    )
    for owner, name, ours in replaced:
        if not hasattr(owner, name):
            raise AttributeError(f"moto's {owner.__name__} has no {name} any more")
        setattr(owner, name, ours)


def _visible(queue: Queue) -> list[Message]:
    now = unix_time_millis()
    return [each for each in _all(queue) if now > each.visible_at and now >= each.delayed_until]


def _delayed(queue: Queue) -> int:
    now = unix_time_millis()
    return sum(now < each.delayed_until for each in _all(queue))


def _hidden(queue: Queue) -> int:
    now = unix_time_millis()
    return sum(now <= each.visible_at for each in _all(queue))


def _is_kept(backend: SQSBackend, queue_name: str, message: Message) -> bool:
    """Whether a message is younger than its queue keeps messages; moto asks for each that it delivers."""
    seconds: int = getattr(backend.get_queue(queue_name), "message_retention_period")  # noqa: B009 - untyped
    return message.sent_timestamp is None or seconds + message.sent_timestamp / 1000 > unix_time()


def _receipt() -> str:
    return token_urlsafe(RECEIPT_BYTES)


def _received(message: Message, visibility_timeout: int | None = None) -> None:
    _mark_received(message, visibility_timeout)
    _by_receipt[message.receipt_handle] = message


def _delete(queue: Queue, receipt_handle: str) -> None:
    with _only(queue, receipt_handle):
        _delete_message(queue, receipt_handle)


def _change_visibility(
    backend: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
) -> None:
    with _only(backend.get_queue(queue_name), receipt_handle):
        _change_message_visibility(backend, queue_name, receipt_handle, visibility_timeout)


@contextmanager
def _only(queue: Queue, receipt_handle: str) -> Iterator[None]:
    """Have a queue hold only the message of a receipt for once, so that moto need not look for it."""
    everything = _all(queue)
    message = _by_receipt.get(receipt_handle)
    found = [message] if message is not None and message in everything else []
    _hold(queue, list(found))
    try:
        yield
    finally:
        if found and not _all(queue):
            everything.remove(found[0])
        _hold(queue, everything)


def _all(queue: Queue) -> list[Message]:
    return queue._messages  # noqa: SLF001 - moto has no other name for them


def _hold(queue: Any, messages: list[Message]) -> None:
    queue._messages = messages  # noqa: SLF001 - moto has no other name for them
