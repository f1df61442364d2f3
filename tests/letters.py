"""Dead letters, and the command that works on them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from click.testing import Result

from tests.rig import Rig

Command = Callable[..., Result]


def letter(
    rig: Rig, number: int, *, reason: str = "rejected", source: str = "deel", hours: float = 1
) -> None:
    """Put a dead letter into its queue, so many hours old."""
    received_at = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    envelope = {
        "id": f"letter-{number}",
        "source": source,
        "vendor": "deel",
        "kind": "time_off",
        "reason": reason,
        "detail": "Calven answered 400",
        "received_at": received_at,
        "attempts": 3,
        "event": {"form": "ignored", "reason": "requested"},
    }
    put(rig, json.dumps(envelope))


def put(rig: Rig, body: str) -> None:
    """Put a message into the dead-letter queue."""
    rig.aws.sqs.send_message(QueueUrl=rig.resources.dead_letter_queue_url, MessageBody=body)


def three(rig: Rig) -> None:
    """Three letters: of two reasons, two sources and three ages."""
    letter(rig, 1, hours=1)
    letter(rig, 2, reason="unmapped_door", source="kisi-sydney", hours=5)
    letter(rig, 3, reason="unmapped_door", hours=50)
