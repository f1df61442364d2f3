"""`relay.yaml` with thousands of places, or many levels of them, is checked like any other."""

from relay.config.file import MOST_GUESSES, MOST_LEVELS, Names
from tests.config_files import Loads, problems


def test_long_cycle(loads: Loads) -> None:
    """In a cycle of more levels than there may be, each place is within itself."""
    places = "".join(
        f"  p{n}: {{locationId: L{n}, locationType: zone, within: p{(n + 1) % 30}}}\n" for n in range(30)
    )
    assert problems(loads, f"places:\n{places}") == [
        f"relay.yaml:{n + 2}: 'p{n}' is within itself" for n in range(30)
    ]


def test_long_chain(loads: Loads) -> None:
    """Of a chain of thousands of places, each that lies too deep is told."""
    places = "".join(
        f"  p{n}: {{locationId: L{n}, locationType: zone{f', within: p{n - 1}' if n else ''}}}\n"
        for n in range(3000)
    )
    assert len(problems(loads, f"places:\n{places}")) == 3000 - MOST_LEVELS


def test_what_was_meant_among_many() -> None:
    """Of thousands of names, the one that is meant is found wherever the mistake is."""
    names = Names(f"Building {n % 7} room {n}" for n in range(5000))
    assert names.did_you_mean("bulding 3 room 4203") == ": did you mean 'Building 3 room 4203'?"
    assert names.did_you_mean("Building 3 room 42x03") == ": did you mean 'Building 3 room 4203'?"
    assert names.did_you_mean("Building 3 rom 4203") == ": did you mean 'Building 3 room 4203'?"
    assert names.did_you_mean("lobby") == ""


def test_guesses_end() -> None:
    """After many wrong words it is told that the next ones are unknown, not what they may have meant."""
    names = Names(["sydney"])
    guesses = [names.did_you_mean(f"sydny{n}") for n in range(MOST_GUESSES + 1)]
    assert set(guesses[:-1]) == {": did you mean 'sydney'?"}
    assert guesses[-1] == ""
    assert names.did_you_mean("sydny0") == guesses[0]


def test_deep_tree(loads: Loads) -> None:
    """A tree of more levels than a badge can change at once is refused."""
    places = "".join(
        f"  p{n}: {{locationId: L{n}, locationType: zone{f', within: p{n - 1}' if n else ''}}}\n"
        for n in range(MOST_LEVELS + 1)
    )
    [told] = problems(loads, f"places:\n{places}")
    assert f"more than {MOST_LEVELS} levels deep" in told
