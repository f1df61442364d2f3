"""What a door's name says of its place and its direction, in plain English words; nothing else is guessed."""

import re
from collections.abc import Iterable, Sequence

from relay.events import Direction

DIRECTIONS: dict[str, Direction] = {"in": "in", "entry": "in", "out": "out", "exit": "out"}
WORD = re.compile(r"[^\W_]+")

Words = tuple[str, ...]


def direction_in(name: str) -> Direction | None:
    """The direction that a name begins or ends with; None where it has none, or one of each.

    In the middle, `in` is a preposition.
    """
    found = _words(name)
    said = {DIRECTIONS[word] for word in (*found[:1], *found[-1:]) if word in DIRECTIONS}
    return said.pop() if len(said) == 1 else None


def place_in(name: str, places: Iterable[str]) -> str | None:
    """The one place whose key, or the end of whose key, is in a name; None where it is none or several.

    Of places that a name fits, those count of which it has the most words: `Sydney L3` is in `sydney-l3`, and
    not in `sydney`. A number alone names no place.
    """
    words = _without_direction(_words(name))
    found: dict[str, int] = {}
    for place in places:
        length = _longest(_words(place), words)
        if length:
            found[place] = length
    best = [place for place, length in found.items() if length == max(found.values())]
    return best[0] if len(best) == 1 else None


def _words(text: str) -> Words:
    return tuple(WORD.findall(text.casefold()))


def _without_direction(words: Words) -> Words:
    """The words without a direction at either end: a place may be called `exit` only in between."""
    first = 1 if words[:1] and words[0] in DIRECTIONS else 0
    last = len(words) - 1 if words[first:] and words[-1] in DIRECTIONS else len(words)
    return words[first:last]


def _longest(key: Words, words: Words) -> int:
    """How many words the longest end of a key has that is in a name; 0 where none is."""
    for start in range(len(key)):
        end = key[start:]
        if any(map(_has_letter, end)) and _contains(words, end):
            return len(end)
    return 0


def _has_letter(word: str) -> bool:
    return not word.isnumeric()


def _contains(words: Sequence[str], part: Sequence[str]) -> bool:
    """Whether these words stand in that order beside each other."""
    return any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))
