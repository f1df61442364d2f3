"""What is suggested for relay.yaml: what it lacks, with what a name says, and placeholders for the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.vendors.support.seen import Found
from relayctl.known_doors import Known, merged
from relayctl.suggestions import (
    Suggestions,
    Written,
    as_mapping,
    as_tree,
    lacking,
    suggested,
    unmapped_types,
)

WRITTEN = Written(
    {
        "sources": {
            "kisi": {"vendor": "kisi"},
            "envoy": {"vendor": "envoy"},
            "hibob": {"vendor": "hibob", "timeOffTypes": {"Holiday": "holiday"}},
            "odd": {"vendor": 7},
        },
        "places": {"sydney": {}, "sydney-l3": {"within": "sydney"}},
        "doors": {"kisi": {"1": {"place": "sydney-l3"}}},
    }
)


def door(name: str | None = None, source: str = "kisi", **more: Any) -> Known:
    """A door that nothing places."""
    return Known(section="doors", source=source, id="7", name=name, **more)


@pytest.mark.parametrize(
    ("known", "value", "lacks"),
    [
        (door("L3 out"), {"name": "L3 out", "place": "sydney-l3", "direction": "out"}, []),
        (door("L3 north"), {"name": "L3 north", "place": "sydney-l3", "direction": "?"}, ["direction"]),
        (door("Dock in"), {"name": "Dock in", "place": "?", "direction": "in"}, ["place"]),
        (door("Dock"), {"name": "Dock", "place": "?"}, ["place"]),
        (door(), {"place": "?"}, ["place"]),
        (door("Sydney", "envoy"), {"name": "Sydney", "place": "sydney"}, []),
        (door("Sydney", "odd"), {"name": "Sydney", "place": "sydney"}, []),
        (door("Sydney", "gone"), {"name": "Sydney", "place": "sydney"}, []),
        (Known(section="sensors", source="kisi", id="l3", name=None), {"place": "sydney-l3"}, []),
        (Known(section="sensors", source="kisi", id="x", name="L3 in"), {"place": "sydney-l3"}, []),
    ],
)
def test_suggested(known: Known, value: dict[str, str], lacks: list[str]) -> None:
    """A direction is asked for only where the place is known, and the vendor's events say none."""
    found = suggested(known, WRITTEN)
    assert (found.value, found.lacks) == (value, lacks)


def test_comment() -> None:
    """The comment says when it was seen, and a sensor's name, without what a terminal obeys."""
    sensor = Known(
        section="sensors", source="s", id="1", name="Desk\x1b", last_seen="2026-11-04T04:00:00.000Z"
    )
    comments = [suggested(one, WRITTEN).comment for one in (sensor, door(letters=1), door(letters=2), door())]
    assert comments == ["Desk\\u001b, last seen 2026-11-04", "seen once", "seen 2 times", "not seen yet"]


def test_lacking() -> None:
    """What the file places is not suggested; of the rest the most frequent comes first."""
    known = [
        Known(section="doors", source="kisi", id="1"),
        Known(section="sensors", source="kisi", id="1"),
        Known(section="doors", source="kisi", id="3", letters=1),
        Known(section="doors", source="kisi", id="2", letters=5),
    ]
    assert [(one.known.section, one.known.id) for one in lacking(known, WRITTEN)] == [
        ("doors", "2"),
        ("doors", "3"),
        ("sensors", "1"),
    ]


@pytest.mark.parametrize(
    "document", [{}, {"places": None}, {"sources": [], "doors": {"kisi": 7}, "places": "x"}]
)
def test_half_a_file(document: dict[str, Any]) -> None:
    """A file that is wrong elsewhere lacks what it lacks."""
    [one] = lacking([door("L3 out")], Written(document))
    assert one.place == "?"


def test_types() -> None:
    """A kind of leave is suggested once, however it is written, and not where the table has it."""
    names = ("holiday ", "Jury duty", "JURY DUTY", "Sabbatical")
    found = unmapped_types("hibob", [Found("leave-type", name, name, 0) for name in names], WRITTEN)
    assert [name.casefold() for name in found] == ["jury duty", "sabbatical"]
    both = Suggestions([suggested(door("L3 out"), WRITTEN)], {"hibob": found})
    assert as_mapping(both)["timeOffTypes"] == {"hibob": dict.fromkeys(found, "leave")}
    assert as_tree(both)["sources"]["hibob"]["timeOffTypes"]["Sabbatical"].value == "leave"
    assert as_mapping(Suggestions([], {})) == {"doors": {}, "sensors": {}}


KNOWN = st.builds(
    Known,
    section=st.sampled_from(["doors", "sensors"]),
    source=st.just("kisi"),
    id=st.sampled_from(["1", "2"]),
    name=st.none() | st.sampled_from(["North", "South"]),
    last_seen=st.none() | st.sampled_from(["2026-11-03T00:00:00.000Z", "2026-11-04T00:00:00.000Z"]),
    letters=st.integers(0, 2),
)


@given(st.lists(KNOWN, max_size=6), st.lists(KNOWN, max_size=6))
def test_merged(some: list[Known], others: list[Known]) -> None:
    """Each door is there once, with the last name that anybody knew, and the latest time."""
    everything = [*some, *others]
    found = merged(some, others)
    keys = [(one.section, one.id) for one in found]
    assert sorted(keys) == sorted({(one.section, one.id) for one in everything})
    for one in found:
        same = [other for other in everything if (other.section, other.id) == (one.section, one.id)]
        assert one.name == next((other.name for other in reversed(same) if other.name), None)
        assert one.last_seen == max(filter(None, [other.last_seen for other in same]), default=None)
        assert one.letters == sum(other.letters for other in same)
