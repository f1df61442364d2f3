"""`relay.yaml` is checked to the line, and says where places lie and what things are called."""

from collections.abc import Callable
from pathlib import Path

import pytest

from localrun.settings import DEMO
from relay.config.file import RelayYaml
from relay.config.model import Config, Door, Place, Sensor, Source
from relayctl.relay_yaml import InvalidConfig, load
from tests.config_files import EXAMPLE, LOCATION_TYPES, Loads, problems

# What is valid


def test_example(loads: Loads) -> None:
    """The documented example is valid, with a default for all that it leaves out."""
    found = loads(EXAMPLE)
    assert found == RelayYaml(
        sources={
            "kisi-sydney": Source(vendor="kisi", calvenSourceId="Kisi Sydney"),
            "hibob": Source(vendor="hibob", timeOffTypes={"Holiday": "holiday", "Sick": "sick"}),
            "sensors": Source(vendor="verkada"),
        },
        places={
            "sydney": Place(locationId="D0FA9F18", locationType="location", timezone="Australia/Sydney"),
            "sydney-l3": Place(locationId="5C2D9A37", locationType="level", within="sydney"),
            "boardroom": Place(locationId="E1A7C3D2", locationType="space", within="sydney-l3"),
        },
        doors={
            "kisi-sydney": {
                "48211": Door(place="sydney-l3", direction="in", name="Lobby in"),
                "48212": Door(place="sydney-l3", direction="out", name="Lobby out"),
            }
        },
        sensors={"sensors": {"EG7859.43": Sensor(place="boardroom")}},
    )


def test_defaults() -> None:
    """What may be left out has the documented default."""
    source, place = Source(vendor="kisi"), Place(locationId="x", locationType="zone")
    assert (source.unmapped_doors, source.enabled, source.part_days) == ("dead-letter", True, "skip")
    assert (place.timezone, place.reset_at, place.within) == ("UTC", "04:00", None)
    assert Door(place="x").direction == "in"


def test_demo() -> None:
    """The configuration of the local run is valid."""
    assert load(DEMO / "relay.yaml").doors


@pytest.mark.parametrize("text", ["sources:\nplaces:\ndoors:\nsensors:\n", "sources: {}\n", "doors:\n"])
def test_empty_sections(loads: Loads, text: str) -> None:
    """A section without entries is one that is not there."""
    assert loads(text) == RelayYaml()


@pytest.mark.parametrize("key", ["48211", "'48211'", '"0048211"', "0e0cbec9-599b", "EG7859.43"])
def test_ids_are_texts(loads: Loads, key: str) -> None:
    """A door's id is the text that stands there, also where YAML reads a plain number."""
    found = loads(EXAMPLE.replace('"48211"', key))
    assert set(found.doors["kisi-sydney"]) == {key.strip("'\""), "48212"}


@pytest.mark.parametrize(
    "key", ["0048211", "0x1F", "48_211", "48211.10", "48e2", "2026-01-01", "true", "null"]
)
def test_ambiguous_ids(loads: Loads, key: str) -> None:
    """An id that YAML reads as something else than it looks like has to be put into quotes."""
    [told] = problems(loads, EXAMPLE.replace('"48211"', key))
    assert told.startswith("relay.yaml:11: put the key ")
    assert told.endswith(" into quotes")


def test_repeated_parts(loads: Loads) -> None:
    """YAML's anchors and merge keys may be used."""
    found = loads(
        """\
        places:
          sydney: &level {locationId: a, locationType: level}
          other: {<<: *level, locationId: b}
        """
    )
    assert found.places["other"] == Place(locationId="b", locationType="level")


# What is not

MAPPING = "Input should be a valid dictionary or instance of Source"

ZONE = "places.sydney.timezone: not a time zone of the IANA database, such as Australia/Sydney"
HOUR = r"places.sydney.resetAt: String should match pattern '^([01]\d|2[0-3]):[0-5]\d$'"
SOURCE_NAME = "String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'"
PLACE_NAME = r"String should match pattern '^[^#/|\s][^#/|]{0,63}$'"

SHAPES = [
    ("sources:", "source:", "1: unknown key 'source'"),
    ("sources:", "version: 3\nsources:", "1: unknown key 'version'"),
    ("partDays: skip", "partdays: skip", "3: unknown key 'partdays'"),
    ("partDays: skip", "part_days: skip", "3: unknown key 'part_days'"),
    ("name: Lobby in", "label: Lobby in", "11: unknown key 'label'"),
    ("{vendor: kisi,", "{", "2: 'vendor' is missing"),
    ("{locationId: 5C2D9A37, ", "{", "7: 'locationId' is missing"),
    ("place: boardroom", "", "14: 'place' is missing"),
    ("{vendor: verkada}", "verkada", f"4: sources.sensors: {MAPPING}"),
    ("{vendor: verkada}", "", f"4: sources.sensors: {MAPPING}"),
    ("sensors:\n  sensors:", "sensors: [a]\n#", "13: sensors: Input should be a valid dictionary"),
]
VALUES = [
    ("vendor: kisi", "vendor: kizi", "2: unknown vendor 'kizi'"),
    ("vendor: kisi", "vendor: [kisi]", "2: sources.kisi-sydney.vendor: Input should be a valid string"),
    ("dead-letter", "x", "2: sources.kisi-sydney.unmappedDoors: Input should be 'dead-letter' or 'ignore'"),
    (
        "enabled: true",
        "enabled: perhaps",
        "2: sources.kisi-sydney.enabled: Input should be a valid boolean, unable to interpret input",
    ),
    (
        '"Kisi Sydney"',
        '""',
        "2: sources.kisi-sydney.calvenSourceId: String should have at least 1 character",
    ),
    ("partDays: skip", "partDays: half", "3: sources.hibob.partDays: Input should be 'skip' or 'whole'"),
    (
        "Sick: sick",
        "Sick: ill",
        "3: sources.hibob.timeOffTypes.Sick: Input should be 'holiday', 'leave' or 'sick'",
    ),
    ("locationType: level", "locationType: floor", f"7: places.sydney-l3.locationType: {LOCATION_TYPES}"),
    (
        "direction: out",
        "direction: o",
        "12: doors.kisi-sydney.48212.direction: Input should be 'in' or 'out'",
    ),
    ("Australia/Sydney", "Mars/Olympus", f"6: {ZONE}"),
    ("Australia/Sydney", "Australia", f"6: {ZONE}"),
    ("Australia/Sydney", "../Sydney", f"6: {ZONE}"),
    ("Australia/Sydney", "UTC+10", f"6: {ZONE}"),
    ('"04:00"', "4am", f"6: {HOUR}"),
    ('"04:00"', "24:00", f"6: {HOUR}"),
    ("  hibob:", "  my/bob:", f"3: sources.my/bob: {SOURCE_NAME}"),
    ("  boardroom: {loc", "  board#room: {loc", f"8: places.board#room: {PLACE_NAME}"),
]
PLACES = [
    ("within: sydney}", "within: perth}", "7: unknown place 'perth'"),
    ("place: sydney-l3, direction: out", "place: perth", "12: unknown place 'perth'"),
    ("{place: boardroom}", "{place: perth}", "14: unknown place 'perth'"),
    ("5C2D9A37", "D0FA9F18", "7: duplicate locationId, 'sydney' has it too, on line 6"),
    ("5C2D9A37", '" "', "7: Calven's ids have no blanks around them"),
    ("5C2D9A37", '" 5C2D9A37"', "7: Calven's ids have no blanks around them"),
    ("within: sydney-l3}", "within: boardroom}", "8: 'boardroom' is within itself"),
    (
        "within: sydney}",
        "within: sydney, resetAt: '05:00'}",
        "7: resetAt belongs to the site, and differs from it here",
    ),
    (
        "within: sydney}",
        "within: sydney, timezone: UTC}",
        "7: timezone belongs to the site, and differs from it here",
    ),
]
FEEDS = [
    ('"48212"', '"48211"', "12: duplicate key '48211', on line 11 already"),
    ('"48212"', "48211", "12: duplicate key '48211', on line 11 already"),
    ('"48212"', "4" * 201, "12: an id has 200 characters at most"),
    ('"48212"', '""', "12: an id is not empty"),
    ('"48212"', '"  "', "12: an id is not empty"),
    ("doors:\n  kisi-sydney:", "doors:\n  kisi-perth:", "10: unknown source 'kisi-perth'"),
    ("doors:\n  kisi-sydney:", "doors:\n  hibob:", "10: 'hibob' is an HR system: it has no doors"),
    ("sensors:\n  sensors:", "sensors:\n  deel:", "14: unknown source 'deel'"),
    ("sensors:\n  sensors:", "sensors:\n  hibob:", "14: 'hibob' is an HR system: it has no sensors"),
    ("{place: boardroom}", "{place: sydney-l3}", "14: 'sydney-l3' is fed by doors already"),
    ("{place: boardroom}", "{place: sydney}", "14: 'sydney' is fed by doors already"),
]


@pytest.mark.parametrize(("old", "new", "found"), [*SHAPES, *VALUES, *PLACES, *FEEDS])
def test_problem(loads: Loads, old: str, new: str, found: str) -> None:
    """A fault in the example is told with its line."""
    assert old in EXAMPLE
    told = [problem.partition(" with value")[0] for problem in problems(loads, EXAMPLE.replace(old, new, 1))]
    assert [one.partition(": did you mean")[0] for one in told] == [f"relay.yaml:{found}"]


TOP_LEVEL = "the top level must be a mapping with `sources` and `places`"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", f":1: {TOP_LEVEL}"),
        (b"# nothing\n", f":1: {TOP_LEVEL}"),
        (b"- sources\n", f":1: {TOP_LEVEL}"),
        (b"sources\n", f":1: {TOP_LEVEL}"),
        (b"sources:\n  a: {vendor: kisi\n", ":3: did not find expected ',' or '}'"),
        (b"sources:\n\ta: b\n", ":2: found character '\\t' that cannot start any token"),
        (b"sources: {}\n---\nplaces: {}\n", ":2: but found another document"),
        (b"sources: {}\nsources: {}\n", ":2: duplicate key 'sources', on line 1 already"),
        (b"sources: \x07\n", ": unacceptable character #x0007: control characters are not allowed"),
        (b"sources: \xff\n", ": not UTF-8"),
    ],
)
def test_not_a_configuration(loads: Loads, text: bytes, found: str) -> None:
    """What is no YAML, or no mapping, is told with its line where there is one."""
    [told] = problems(loads, text)
    plain = told.partition(" with value")[0]
    where, _, what = f"relay.yaml{found}".partition(": ")
    in_words = plain.startswith(f"{where}: ") and plain.endswith(f" ({what})")
    assert plain == f"relay.yaml{found}" or in_words


def test_missing_file(tmp_path: Path) -> None:
    """A file that cannot be read is told as such."""
    with pytest.raises(InvalidConfig, match=r"relay\.yaml: No such file or directory$"):
        load(tmp_path / "relay.yaml")
    with pytest.raises(InvalidConfig, match="Is a directory"):
        load(tmp_path)


def test_every_problem_in_order(loads: Loads) -> None:
    """All problems are told together, in the order of their lines."""
    text = EXAMPLE.replace("place: sydney-l3", "place: perth").replace("vendor: kisi", "vendor: kizi")
    assert problems(loads, text.replace("sensors:     {vendor", "other: {vendor")) == [
        "relay.yaml:2: unknown vendor 'kizi': did you mean 'kisi'?",
        "relay.yaml:11: unknown place 'perth'",
        "relay.yaml:12: unknown place 'perth'",
        "relay.yaml:14: unknown source 'sensors'",
    ]


def test_problem_in_a_repeated_part(loads: Loads) -> None:
    """What a merge key brings along is told at the line of the entry that it is brought to."""
    text = """\
        places:
          sydney: &level {locationId: a, locationType: level}
          other: {<<: *level}
        """
    assert problems(loads, text) == ["relay.yaml:3: duplicate locationId, 'sydney' has it too, on line 2"]


def test_cycle(loads: Loads) -> None:
    """A cycle is told at each of its places, and at none that only lies in one of them."""
    text = """\
        places:
          a: {locationId: a, locationType: level, within: b}
          b: {locationId: b, locationType: level, within: c}
          c: {locationId: c, locationType: level, within: b}
        sources: {kisi: {vendor: kisi}}
        doors: {kisi: {"1": {place: a}}}
        sensors: {kisi: {"1": {place: c}}}
        """
    assert problems(loads, text) == [
        "relay.yaml:3: 'b' is within itself",
        "relay.yaml:4: 'c' is within itself",
        "relay.yaml:7: 'c' is fed by doors already",
    ]


def test_a_place_may_repeat_its_site(loads: Loads) -> None:
    """A place may say the time zone and the reset hour that its site has."""
    same = "within: sydney, timezone: Australia/Sydney, resetAt: '04:00'}"
    assert loads(EXAMPLE.replace("within: sydney}", same)).places["sydney-l3"].timezone == "Australia/Sydney"


def test_sensors_beside_doors(loads: Loads) -> None:
    """A sensor may watch a place within one that doors lead to, or beside it."""
    text = EXAMPLE.replace("place: boardroom", "place: perth")
    text = text.replace("doors:", "  perth: {locationId: p, locationType: location}\ndoors:")
    assert loads(text).sensors["sensors"]["EG7859.43"].place == "perth"
    assert loads(EXAMPLE).sensors["sensors"]["EG7859.43"].place == "boardroom"


# What it says


def test_places(loads: Loads) -> None:
    """A place lies within every place up to its site; outside lies nowhere."""
    config = loads(EXAMPLE).config()
    assert config.path("boardroom") == ("boardroom", "sydney-l3", "sydney")
    assert config.path("sydney") == ("sydney",)
    assert config.path(None) == config.path("perth") == ()
    assert config.site("boardroom") == config.site("sydney") == "sydney"
    assert config.sites == ("sydney",)


def test_calven_source_id(loads: Loads) -> None:
    """A source is called in Calven's log as configured, else by its name."""
    config = loads(EXAMPLE).config()
    assert config.calven_source_id("kisi-sydney") == "Kisi Sydney"
    assert config.calven_source_id("hibob") == "hibob"
    assert config.calven_source_id("long-gone") == "long-gone"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Holiday", "holiday"), ("SICK", "sick"), ("holidays", "leave"), ("", "leave"), (None, "leave")],
)
def test_time_off_type(loads: Loads, name: str | None, kind: str) -> None:
    """A vendor's type name is looked up without regard to case, and is `leave` where none matches."""
    assert loads(EXAMPLE).sources["hibob"].time_off_type(name) == kind


@pytest.mark.parametrize("again", ["holiday", "HOLIDAY", '" Holiday "'])
def test_one_type_twice(loads: Loads, again: str) -> None:
    """Two names that the functions take for one are an error, with the line of both."""
    text = EXAMPLE.replace("Sick: sick", f"Sick: sick, {again}: leave")
    [problem] = problems(loads, text)
    assert problem.startswith("relay.yaml:3: ")
    assert "is the same type as 'Holiday'" in problem
    assert problem.endswith(", on line 3")


def test_config_of_a_file(loads: Loads) -> None:
    """What is held in memory are sources and places, without the doors, and survives its JSON."""
    found = loads(EXAMPLE)
    config = found.config()
    assert (config.sources, config.places) == (found.sources, found.places)
    assert type(config) is Config
    assert Config.model_validate_json(config.model_dump_json(by_alias=True)) == config


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("{vendor: kisi, partDays: whole}", "partDays does nothing for Kisi"),
        ("{vendor: kisi, timeOffTypes: {}}", "timeOffTypes does nothing for Kisi"),
        ("{vendor: kisi, wholeDayHours: 4}", "wholeDayHours does nothing for Kisi"),
        ("{vendor: deel, wholeDayHours: 4}", "wholeDayHours does nothing for Deel"),
        ("{vendor: deel, unmappedDoors: ignore}", "unmappedDoors does nothing for Deel"),
        ("{vendor: deel, calvenSourceId: x}", "calvenSourceId does nothing for Deel"),
        ("{vendor: paylocity, timeOffTypes: {}}", "timeOffTypes does nothing for Paylocity"),
        ("{vendor: kisi, securityActions: [1]}", "securityActions does nothing for Kisi"),
        ("{vendor: brivo, remoteUnlocks: count}", "remoteUnlocks does nothing for Brivo"),
        ("{vendor: butlr, reconcile: 1d}", "Butlr cannot be asked what happened"),
        ('{vendor: butlr, reconcile: "off"}', "Butlr cannot be asked what happened"),
    ],
)
def test_keys_that_do_nothing(loads: Callable[[str | bytes], RelayYaml], source: str, key: str) -> None:
    """A key that has no effect for a vendor is an error, with its line: whoever wrote it expects one."""
    assert problems(loads, f"sources:\n  one: {source}\n") == [f"relay.yaml:2: {key}"]


@pytest.mark.parametrize(
    "source",
    [
        "{vendor: verkada, remoteUnlocks: count, calvenSourceId: x, unmappedDoors: ignore}",
        "{vendor: brivo, securityActions: [2004, 2005]}",
        "{vendor: hibob, wholeDayHours: 7.5, partDays: whole, timeOffTypes: {}, silentAfterHours: 0}",
        "{vendor: generic, calvenSourceId: x, partDays: whole}",
    ],
)
def test_keys_that_do_something(loads: Callable[[str | bytes], RelayYaml], source: str) -> None:
    """Each key is taken where it has an effect."""
    assert list(loads(f"sources:\n  one: {source}\n").sources) == ["one"]


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        ("vendor: kisi", "vendor: Kissi", "did you mean 'kisi'?"),
        ("place: sydney-l3", "place: sidney-l3", "did you mean 'sydney-l3'?"),
        ("Australia/Sydney", "Australia/Sidney", "did you mean 'Australia/Sydney'?"),
        ("Australia/Sydney", "posix/Australia/Sydney", "did you mean 'Australia/Sydney'?"),
        ("Australia/Sydney", "australia/sydney", "did you mean 'Australia/Sydney'?"),
        ("Australia/Sydney", "localtime", "unknown time zone 'localtime'"),
        ("unmappedDoors", "unmappeddoors", "did you mean 'unmappedDoors'?"),
        ("within: sydney-l3", "within: sydny-l3", "did you mean 'sydney-l3'?"),
    ],
)
def test_what_was_meant(loads: Loads, old: str, new: str, meant: str) -> None:
    """An unknown name is told with the one that is nearest to it."""
    assert any(meant in problem for problem in problems(loads, EXAMPLE.replace(old, new)))
