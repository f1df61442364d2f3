"""Configurations as files."""

from collections.abc import Callable

import pytest

from relay.config.file import RelayYaml
from relayctl.relay_yaml import InvalidConfig

EXAMPLE = """\
sources:
  kisi-sydney: {vendor: kisi, calvenSourceId: "Kisi Sydney", unmappedDoors: dead-letter, enabled: true}
  hibob:       {vendor: hibob, partDays: skip, timeOffTypes: {Holiday: holiday, Sick: sick}}
  sensors:     {vendor: verkada}
places:
  sydney:    {locationId: D0FA9F18, locationType: location, timezone: Australia/Sydney, resetAt: "04:00"}
  sydney-l3: {locationId: 5C2D9A37, locationType: level, within: sydney}
  boardroom: {locationId: E1A7C3D2, locationType: space, within: sydney-l3}
doors:
  kisi-sydney:
    "48211": {name: Lobby in,  place: sydney-l3, direction: in}
    "48212": {name: Lobby out, place: sydney-l3, direction: out}
sensors:
  sensors: {"EG7859.43": {place: boardroom}}
"""

Loads = Callable[[str | bytes], RelayYaml]


def problems(loads: Loads, text: str | bytes) -> list[str]:
    """What is wrong with a text, without the folder."""
    with pytest.raises(InvalidConfig) as invalid:
        loads(text)
    assert str(invalid.value).splitlines() == invalid.value.problems
    return [problem[problem.index("relay.yaml") :] for problem in invalid.value.problems]


LOCATION_TYPES = "Input should be 'level', 'location', 'place', 'space' or 'zone'"
