"""How `relay.yaml` is read as YAML: as ruamel reads it, whatever comes, with the lines of an editor."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError

from relayctl.yaml_reader import Malformed, read
from tests.config_files import EXAMPLE, LOCATION_TYPES, Loads, problems


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("places:\n  ? [a, b]\n  : {locationId: L, locationType: location}\n", "into quotes"),
        ("doors:\n  kisi:\n    +5: {place: s}\n", "put the key +5 into quotes"),
        ("doors:\n  kisi:\n    0x10: {place: s}\n", "into quotes"),
        ("sources: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("sources:\n  kisi: {vendor: kisi}\n places: {}\n", ":3: the indentation does not fit"),
        ("- sources\nplaces: {}\n", ":2: the indentation does not fit"),
        ("sources:\n  kisi: vendor: kisi\n", ":2: a `:` cannot stand here"),
        ("sources\nplaces: {}\n", ":2: a `:` cannot stand here"),
        ("sources:\n  - a\n  b\n", ":4: a key without its `:`"),
        ('sources: "\nplaces: {}\n', ":3: a quote that is not closed"),
        ("sources:\n\tkisi: {}\n", ":2: a tab: indent with blanks"),
        ("sources:\n  a: @b\n", ":2: found character '@' that cannot start any token"),
        ("sources:\n  a: *b\n", ":2: found undefined alias 'b'"),
        ("sources:\n  a: &a {vendor: *a}\n", ":2: found undefined alias 'a'"),
        ("sources:\n  a: {<<: 3}\n", ":2: expected a mapping or list of mappings for merging"),
        ("sources:\n  a: {<<: {vendor: kisi}, <<: {enabled: no}}\n", ":2: duplicate key '<<'"),
        ("sources:\n  a: {vendor: !kind kisi}\n", ":2: unknown tag '!kind'"),
        ("sources:\n  a: {vendor: 2026-13-01}\n", ":2: '2026-13-01' is no timestamp"),
        ("sources:\n  a: {vendor: +_}\n", ":2: '+_' is no int"),
    ],
)
def test_strange_yaml(loads: Loads, text: str, found: str) -> None:
    """What YAML allows and nobody means is refused in words, with its line, never with a traceback."""
    assert any(found in problem for problem in problems(loads, text))


VALUES_OF_YAML = st.sampled_from(
    [
        *(
            "no",
            "on",
            "yes",
            "y",
            "true",
            "TRUE",
            "tRUE",
            "False",
            "null",
            "Null",
            "~",
            "''",
            "a b",
            "x#y",
        ),
        *("0", "-0", "7", "012", "0o14", "0x1F", "0b11", "1_000", "+5", "0o9", "12:30:00", "1.2.3"),
        *(
            "1e3",
            "1.",
            "-.5",
            ".5e+3",
            ".inf",
            "-.INF",
            "4.0",
            "2026-01-01",
            "2026-01-01T10:00:00Z",
            "!!str 012",
        ),
        *("!!int '12'", "! x", "'it''s'", r'"\\x41\\u263a\\n"', "a\u2028b"),
    ]
)
SAID = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=8)
"""Texts that both readers take as they stand, so without NEL, of which ruamel makes a blank."""
QUOTED = SAID.map(partial(json.dumps, ensure_ascii=False))
KEYS = st.sampled_from(["a", "b", "on", "17", "-3", "x y", "'012'"]) | QUOTED


def _flow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A list or mapping of YAML in brackets."""
    lists = st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]")
    mappings = st.dictionaries(KEYS, inner, max_size=4)
    return lists | mappings.map(lambda parts: f"{{{', '.join(f'{k}: {v}' for k, v in parts.items())}}}")


def _block(parts: dict[str, dict[str, str]]) -> str:
    """A mapping of YAML in lines, with an anchor at each part, and all parts before in a merge key."""
    lines = []
    for number, (key, part) in enumerate(parts.items()):
        lines += [f"{key}: &part{number}", f"    <<: [{', '.join(f'*part{n}' for n in range(number))}]"]
        lines += [f"    {inner}: {value}  # a comment" for inner, value in part.items()]
    return "".join(f"{line}\n" for line in lines)


FLOWS = st.recursive(VALUES_OF_YAML | QUOTED, _flow, max_leaves=12)
BLOCKS = st.dictionaries(KEYS, st.dictionaries(KEYS, FLOWS, max_size=4), max_size=4)


def _with_texts_for_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _with_texts_for_keys(value) for key, value in node.items()}
    return [_with_texts_for_keys(one) for one in node] if isinstance(node, list) else node


@given(BLOCKS.map(_block) | FLOWS)
def test_reads_as_ruamel_does(text: str) -> None:
    """What a file says is what ruamel.yaml reads in it, by YAML 1.2, with texts for keys."""
    document, found = read(text)
    duplicates = [what for _, what in found]
    assert all(what.startswith("duplicate key ") for what in duplicates)
    try:
        expected = YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError:
        assert duplicates
        return
    if not duplicates:
        assert document == _with_texts_for_keys(expected)


@given(st.text(max_size=60) | st.text("ab:-?[]{},#&*!|>'\"%@`<~ \n\t1.", max_size=40))
def test_reads_whatever_comes(text: str) -> None:
    """Whatever stands in a file is read, or refused as what is no YAML."""
    with suppress(Malformed):
        read(text)


def test_version_of_yaml() -> None:
    """A file that calls itself YAML 1.1 is read as that."""
    assert read("no: no")[0] == {"no": "no"}
    assert read("%YAML 1.1\n---\na: no\nb: 012\n")[0] == {"a": False, "b": 10}


def test_lines_of_what_is_repeated(loads: Loads) -> None:
    """What stands in a repeated part is told at the line where it stands."""
    text = """\
        places:
          sydney: &level
            locationId: a
            locationType: floor
          other: *level
        """
    assert problems(loads, text) == [
        f"relay.yaml:4: places.other.locationType: {LOCATION_TYPES}",
        f"relay.yaml:4: places.sydney.locationType: {LOCATION_TYPES}",
    ]


@pytest.mark.parametrize("letter", ["\x85", "\u2028", "\u2029"])
def test_lines_are_those_of_editors(loads: Loads, letter: str) -> None:
    """What YAML 1.1 took for the end of a line is a letter like others, and counts none."""
    text = EXAMPLE.replace("Lobby in", f"Lobby{letter}in")
    assert loads(text).doors["kisi-sydney"]["48211"].name == f"Lobby{letter}in"
    [told] = problems(loads, text.replace("boardroom}", "perth}"))
    assert told.startswith("relay.yaml:14: ")
