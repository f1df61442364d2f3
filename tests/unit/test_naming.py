"""What a door's name says of its place and direction, and that nothing else is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayctl.naming import direction_in, place_in

PLACES = ("sydney", "sydney-l3", "sydney-l4", "level-3", "boardroom", "north-floor-5", "south-floor-5")
NAMES = st.text(min_size=1, max_size=12)
WORDS = st.lists(st.sampled_from(["lobby", "l3", "north", "door", "3", "sydney", "Reader"]), max_size=5)
SAID = {"in": "in", "In": "in", "ENTRY": "in", "out": "out", "Exit": "out"}


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("L3 out", "out"),
        ("Lobby In", "in"),
        ("Level 3 – Exit", "out"),
        ("in_lobby", "in"),
        ("ENTRY: North", "in"),
        ("Entry", "in"),
        ("Door in lobby", None),
        ("Entry/Exit", None),
        ("In - Lobby - Out", None),
        ("EG Eingang", None),
        ("Main entrance", None),
        ("Login", None),
        ("Without", None),
        ("", None),
        ("–", None),
    ],
)
def test_direction(name: str, direction: str | None) -> None:
    """Only a whole word at an end of the name is a direction."""
    assert direction_in(name) == direction


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("L3 out", "sydney-l3"),
        ("Sydney L3 Out", "sydney-l3"),
        ("Sydney lobby", "sydney"),
        ("Level 3 – Exit", "level-3"),
        ("BOARDROOM", "boardroom"),
        ("L3 to L4", None),
        ("Gate 3 in", None),
        ("Gate 5", None),
        ("Floor 5 in", None),
        ("North floor 5", "north-floor-5"),
        ("L33", None),
        ("Lobby In", None),
        ("", None),
    ],
)
def test_place(name: str, place: str | None) -> None:
    """A place is proposed where its key, or the end of it, is in the name, and that of no other place."""
    assert place_in(name, PLACES) == place


@given(WORDS, st.sampled_from(sorted(SAID)), st.booleans())
def test_a_direction_at_either_end(words: list[str], word: str, first: bool) -> None:
    """Whatever else a name says, one direction at its end or beginning is the direction."""
    name = " ".join([word, *words] if first else [*words, word])
    assert direction_in(name) == SAID[word]
    assert direction_in(name.upper()) == direction_in(f"  {name}. ") == SAID[word]


@given(NAMES, st.lists(NAMES, max_size=5, unique=True))
def test_place_is_one_that_there_is(name: str, places: list[str]) -> None:
    """What is proposed is a place, the same in any order of them, and never where there is none."""
    found = place_in(name, places)
    assert found is None or found in places
    assert place_in(name, reversed(places)) == found
    assert place_in(name, []) is None


@given(WORDS)
def test_direction_names_no_place(words: list[str]) -> None:
    """A direction at the end is no part of what names a place."""
    name = " ".join(words)
    assert place_in(f"{name} in", PLACES) == place_in(f"exit {name}", PLACES) == place_in(name, PLACES)


@given(st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_two_places_are_none(one: str, other: str) -> None:
    """A name with two places of as many words is of neither."""
    found = place_in(f"{one} – {other}", PLACES)
    if one != other and one.count("-") == other.count("-"):
        assert found is None
    else:
        assert found in (one, other, None)
