"""Events that nobody has sent before, as Lambda passes them on: signed webhooks, messages of a queue."""

import base64
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from relay import vendors
from relay.envelope import Envelope, StoredRequest
from relay.events import MOST_ID_CHARACTERS, BadgeEvent, iso
from relayctl.samples import signed

SECRET: dict[str, Any] = {"signingSecrets": ["whsec_" + base64.b64encode(b"bench" * 8).decode()]}
LEVELS = 5
"""How many levels the crowded building has; the quiet one has a single one."""
DOORS = 10
"""Through so many doors the measured badges pass, however many there are."""
LARGE_BYTES = 187_500
"""Of a request's body: 250 kB as a message holds it."""
BADGES_A_MESSAGE = 100
MOST_PERSON = 320
_DAYS = 300
Json = dict[str, Any]


class Events:
    """Makes them. Every badge moves somebody, and every leave takes a day that was not taken."""

    def __init__(self) -> None:
        self._number = 0

    def badges(self, count: int, people: int = 10) -> list[Json]:
        """Badges of so many people, who come in to the quiet building and leave it, by turns."""
        group = self._next()
        ways = ((turn // people) % 2 for turn in range(count))
        return [
            self._badge(f"person-{group}-{turn % people}", f"d{way + turn % DOORS // 2 * 2}")
            for turn, way in enumerate(ways)
        ]

    def arrivals(self, count: int) -> list[Json]:
        """Badges of so many people, each one's first, into the quiet building: two counts change each."""
        group = self._next()
        return [self._badge(f"arrival-{group}-{turn}", f"d{turn % DOORS // 2 * 2}") for turn in range(count)]

    def crowd(self, count: int) -> list[Json]:
        """Badges of so many people, each one's first, into the crowded building."""
        group = self._next()
        return [
            self._badge(f"crowd-{group}-{turn}", f"crowded-{turn % LEVELS + 1}-in") for turn in range(count)
        ]

    def guests(self, count: int) -> list[Json]:
        """Badges of ten people, who come in to the crowded building and leave it, by turns."""
        group = self._next()
        ways = ("out" if (turn // 10) % 2 else "in" for turn in range(count))
        return [
            self._badge(f"guest-{group}-{turn % 10}", f"crowded-1-{way}") for turn, way in enumerate(ways)
        ]

    def leave(self) -> Json:
        """An approved leave of Deel's, of one day."""
        email, day = self._day_off()
        resource = {
            "id": self._id(),
            "type": "Vacation",
            "status": "APPROVED",
            "start_date": day,
            "end_date": day,
            "updated_at": iso(time.time()),
            "requester": {"work_email": email},
        }
        meta = {"event_type": "time-off.reviewed", "tracking_id": self._id()}
        content = {"data": {"meta": meta, "resource": resource}, "timestamp": iso(time.time())}
        return webhook("hris", "deel", content)

    def badges_together(self, count: int) -> Json:
        """One delivery of so many people's first badges, in the format of our own."""
        group = self._next()
        at = iso(time.time())
        badges = [
            {"type": "badge", "id": self._id(), "at": at, "door": "d0", "person": f"together-{group}-{turn}"}
            for turn in range(count)
        ]
        return webhook("access-control", "generic", badges)

    def leaves_together(self, count: int) -> Json:
        """One delivery of so many leaves, in the format of our own: one in twenty is approved."""
        leaves = []
        for turn in range(count):
            email, day = self._day_off()
            what = {"state": "requested" if turn % 20 else "approved", "changedAt": iso(time.time())}
            when = {"email": email, "start": day, "end": day, "leaveType": "Vacation"}
            leaves.append({"type": "leave", "id": self._id(), "leave": self._id(), **what, **when})
        return webhook("hris", "generic", leaves)

    def messages(self, count: int) -> Json:
        """A batch of the Unprocessed queue: so many people's first badges into the crowded building."""
        now, group = datetime.now(UTC), self._next()
        return batch([self._message(f"waited-{group}-{turn}", now) for turn in range(count)])

    def large_messages(self, count: int) -> Json:
        """A batch of the Unprocessed queue: stored requests of our own format, 250 kB each.

        Each holds a hundred badges, of people of the longest names, into the quiet building.
        """
        return batch([self._large_message() for _ in range(count)])

    def _large_message(self) -> Json:
        now, group = datetime.now(UTC), self._next()
        badges = [
            {
                "type": "badge",
                "id": f"{self._id()}-".ljust(MOST_ID_CHARACTERS, "i"),
                "at": iso(now.timestamp()),
                "door": "d0",
                "person": f"large-{group}-{turn}-".ljust(MOST_PERSON, "é"),
            }
            for turn in range(BADGES_A_MESSAGE)
        ]
        body = json.dumps(badges, ensure_ascii=False).encode().ljust(LARGE_BYTES)
        request = StoredRequest(body=base64.b64encode(body).decode())
        return _message(
            Envelope(source="generic", vendor="generic", kind="occupancy", received_at=now, request=request)
        )

    def _badge(self, person: str, door: str) -> Json:
        """A badge of Kisi's, now."""
        content = {
            "uuid": self._id(),
            "actor_type": "User",
            "actor_id": person,
            "actor_name": "Robin Example",
            "object_type": "Lock",
            "object_id": door,
            "object_name": "Lobby in",
            "organization_id": 3120,
            "place_id": 5501,
            "success": True,
            "type": "lock.unlock",
            "error_code": None,
            "error_message": None,
            "created_at": iso(time.time()),
        }
        return webhook("access-control", "kisi", content)

    def _message(self, person: str, now: datetime) -> Json:
        badge = BadgeEvent(event_id=self._id(), at=now, door="crowded-1-in", person=person)
        envelope = Envelope(source="kisi", vendor="kisi", kind="occupancy", received_at=now, event=badge)
        return _message(envelope)

    def _day_off(self) -> tuple[str, str]:
        """An employee and a day that no leave of theirs has."""
        employee, days = divmod(self._next(), _DAYS)
        day = datetime.now(UTC).date() + timedelta(days=days)
        return f"employee-{employee}@example.com", day.isoformat()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _id(self) -> str:
        return f"{time.time_ns()}-{self._next()}"


def webhook(
    family: str, vendor: str, content: Any, source: str = "", secret: Mapping[str, Any] = SECRET
) -> Json:
    """What the HTTP API makes of a vendor's signed request; the source is called as the vendor by default."""
    body, source = json.dumps(content), source or vendor
    signature = signed(vendors.load(vendor), body.encode(), secret, time.time())
    route, path = f"POST /webhooks/{family}/{{source}}", f"/webhooks/{family}/{source}"
    headers = {
        "accept": "*/*",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "host": "example.execute-api.us-east-1.amazonaws.com",
        "user-agent": vendor,
        "x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678",
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    context = {
        "accountId": "123456789012",
        "apiId": "example",
        "domainName": headers["host"],
        "domainPrefix": "example",
        "http": {
            "method": "POST",
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": headers["x-forwarded-for"],
            "userAgent": vendor,
        },
        "requestId": uuid.uuid4().hex,
        "routeKey": route,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()),
        "timeEpoch": int(time.time() * 1000),
    }
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {**headers, **signature.headers},
        "pathParameters": {"source": source},
        "requestContext": context,
        "body": body,
        "isBase64Encoded": False,
    }


def _message(envelope: Envelope) -> Json:
    """An envelope as a message that is received for the first time."""
    message_id = str(uuid.uuid4())
    sent = str(int(envelope.received_at.timestamp() * 1000))
    return {
        "MessageId": message_id,
        "ReceiptHandle": message_id,
        "Body": envelope.body(),
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent},
    }


def batch(messages: Sequence[Mapping[str, Any]]) -> Json:
    """What the event source mapping makes of messages."""
    return {"Records": [_record(message) for message in messages]}


def _record(message: Mapping[str, Any]) -> Json:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message["Attributes"]),
        "messageAttributes": {},
        "eventSource": "aws:sqs",
    }
