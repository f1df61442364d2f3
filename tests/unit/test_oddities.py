"""What is valid in a relay.yaml, and perhaps not meant; and what a wrong word may have meant."""

from pathlib import Path

import pytest

from localrun.settings import DEMO
from relayctl import relay_yaml
from relayctl.relay_yaml import InvalidConfig, load, oddities

SITE = """\
sources: {kisi: {vendor: kisi}, verkada: {vendor: verkada}}
places:
  hq: {locationId: A, locationType: location, timezone: UTC}
  l1: {locationId: B, locationType: level, within: hq}
"""
NO_WAY_OUT = "doors lead in to {!r} and none leads out: whoever comes in counts until the day ends"
NO_WAY_IN = "doors lead out of {!r} and none leads in: nobody is ever counted in it"


def one_way(tmp_path: Path, doors: str) -> list[str]:
    """What is odd about the directions of some doors."""
    file = tmp_path / "relay.yaml"
    file.write_text(f"{SITE}doors: {doors}\n")
    return [odd for odd in oddities(load(file)) if odd.startswith("doors lead")]


@pytest.mark.parametrize(
    ("doors", "expected"),
    [
        ("{kisi: {a: {place: l1}}}", [NO_WAY_OUT.format("l1")]),
        ("{kisi: {a: {place: l1}, b: {place: l1, direction: out}}}", []),
        ("{kisi: {a: {place: l1}, b: {place: hq, direction: out}}}", []),
        ("{kisi: {b: {place: l1, direction: out}}}", [NO_WAY_IN.format("l1")]),
        ("{kisi: {a: {place: l1}, b: {place: hq, direction: out}, c: {place: hq}}}", []),
        ("{verkada: {a: {place: l1}}}", []),
        (
            "{kisi: {a: {place: hq}, b: {place: l1, direction: out}}}",
            [NO_WAY_OUT.format("hq"), NO_WAY_IN.format("l1")],
        ),
    ],
)
def test_one_way(tmp_path: Path, doors: str, expected: list[str]) -> None:
    """A place that people can only enter, or only leave, is odd; not where the event tells the direction."""
    assert one_way(tmp_path, doors) == expected


def test_blanks_around_an_id(tmp_path: Path) -> None:
    """An id is what a vendor sends, blanks and all; where `relay.yaml` has some, they are seldom meant."""
    file = tmp_path / "relay.yaml"
    file.write_text(SITE + 'doors: {kisi: {" a": {place: l1}, "b c": {place: hq}}}\n')
    told = [odd for odd in oddities(load(file)) if "blanks" in odd]
    assert told == ["' a' of 'kisi' has blanks around it: only an id that is sent so fits"]


def test_demo_has_no_surprise() -> None:
    """Whoever copies the demo is warned of nothing but what the demo means so."""
    found = oddities(load(DEMO / "relay.yaml"))
    assert [odd for odd in found if "timezone" in odd or "neither" in odd or "no door" in odd] == []


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("locationType: locaton", "did you mean 'location'?"),
        ("locationType: xyz", "'space' or 'zone'"),
    ],
)
def test_meant(tmp_path: Path, wrong: str, meant: str) -> None:
    """A mistyped word of a few is guessed; one that is near none of them only has them listed."""
    file = tmp_path / "relay.yaml"
    file.write_text(SITE.replace("locationType: location", wrong))
    with pytest.raises(InvalidConfig) as invalid:
        relay_yaml.load(file)
    [problem] = invalid.value.problems
    assert problem.endswith(meant)
