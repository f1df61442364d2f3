"""How DoorFlow lists what happened: by page numbers."""

from typing import Any

import pytest

from relay.errors import Unparseable
from relay.events import BadgeEvent, Ignored
from tests.listing import entries
from tests.scripted_api import run


def admissions(count: int, first: int) -> list[dict[str, Any]]:
    """So many people admitted at DoorFlow's doors."""
    return [{**entries("doorflow")["admitted"], "id": first + n} for n in range(count)]


def test_pages() -> None:
    """DoorFlow's pages have numbers, oldest first, until one is not full."""
    found, script = run("doorflow", [admissions(500, 1), admissions(500, 501), admissions(3, 1001)])
    assert len({event.event_id for event in found if isinstance(event, BadgeEvent)}) == 1003
    window = {"since": "2026-10-31T23:59:59.000Z", "sort": "ASC", "n": "500"}
    assert script.queries == [{**window, "page": str(n)} for n in (1, 2, 3)]
    assert {one.headers["authorization"] for one in script.asked} == {"Bearer t0ken"}
    found, script = run("doorflow", [admissions(500, 1), []])
    assert (len(found), len(script.asked)) == (500, 2)


def test_repeats_itself() -> None:
    """An API that does not look at the page's number is found out."""
    with pytest.raises(Unparseable, match="the same"):
        run("doorflow", [admissions(500, 1)])


def test_rejection() -> None:
    """A rejection moves nobody, in the list too."""
    rejected = {**entries("doorflow")["admitted"], "event_code": 20, "person_id": None}
    found, _ = run("doorflow", [[rejected]])
    assert found == [Ignored(event_id="123456789", reason="denied")]
