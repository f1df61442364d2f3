"""Several requests for one submission: sent at once while Calven answers, one by one while it does not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from relay.at_once import AT_ONCE
from relay.aws.secrets import Secrets
from relay.calven import Calven
from tests.rig import Clock
from tests.servers import http_of
from tests.unit.calven.stand_ins import (
    ACCEPTED,
    UNAVAILABLE,
    FakeCalven,
    events_of,
    in_time,
    occupancy,
    statuses,
)

SYSTEMS = [f"Lobby {number}" for number in range(3 * AT_ONCE)]
"""Each needs a request of its own."""
EVENTS = [occupancy(f"e-{system}", system) for system in SYSTEMS]


class Crowded(FakeCalven):
    """A Calven that counts how many requests with events it has in hand at once.

    While `together` is set, each waits for as many others as are sent at once. One of a system in `down` is
    answered 503.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.together: threading.Barrier | None = None
        self.down: set[str] = set()
        self.asked: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        if request.url.path != "/v1/occupancy":
            return super().__call__(request)
        system = events_of(request)[0]["eventId"].removeprefix("e-")
        with self._in_hand(system):
            if self.together is not None:
                self.together.wait(timeout=10)
            return httpx.Response(503) if system in self.down else super().__call__(request)

    @contextmanager
    def _in_hand(self, system: str) -> Iterator[None]:
        with self._lock:
            self.asked.append(system)
            self._now += 1
            self.most = max(self.most, self._now)
        yield
        with self._lock:
            self._now -= 1


@pytest.fixture
def crowded(clock: Clock) -> Crowded:
    """Calven, with requests that are counted."""
    return Crowded(clock)


@pytest.fixture
def client(crowded: Crowded, secrets: Secrets, clock: Clock) -> Iterator[Calven]:
    """The client of that Calven."""
    with http_of(crowded) as http:
        yield Calven("https://calven.test/", secrets, http, clock)


def test_at_once(client: Calven, crowded: Crowded) -> None:
    """Once Calven has answered, requests for several systems are under way together, and all have results."""
    client.submit(EVENTS[:1], in_time())
    crowded.together = threading.Barrier(AT_ONCE)
    found = client.submit(EVENTS, in_time(10))
    assert statuses(found) == {f"e-{system}": ACCEPTED for system in SYSTEMS}
    assert crowded.most == AT_ONCE


@pytest.mark.parametrize("asked_before", [False, True])
def test_one_by_one(client: Calven, crowded: Crowded, asked_before: bool) -> None:
    """A Calven that was never asked, or failed last, is asked once; while it fails, nothing else is sent."""
    crowded.down = set(SYSTEMS)
    if asked_before:
        client.submit(EVENTS[:1], in_time())
    crowded.asked.clear()
    found = client.submit(EVENTS, in_time())
    assert crowded.asked == SYSTEMS[:1]
    assert statuses(found) == {f"e-{system}": UNAVAILABLE for system in SYSTEMS}
    crowded.down.clear()
    assert set(statuses(client.submit(EVENTS, in_time())).values()) == {ACCEPTED}
    assert crowded.most == 1


def test_failure_among_several(client: Calven, crowded: Crowded) -> None:
    """What is under way when one fails keeps its own result; what was not begun waits, and is certain."""
    client.submit(EVENTS[:1], in_time())
    crowded.asked.clear()
    crowded.down = {SYSTEMS[0]}
    found = client.submit(EVENTS, in_time())
    sent = set(crowded.asked) - crowded.down
    assert len(crowded.asked) < len(SYSTEMS)
    for system in SYSTEMS:
        expected = ACCEPTED if system in sent else UNAVAILABLE
        assert statuses(found)[f"e-{system}"] == expected
        assert not found[f"e-{system}"].uncertain
