"""Entries put into a YAML file: all else in it stays, to the letter; what cannot be extended is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localrun.settings import DEMO
from relayctl.yaml_insert import CannotInsert, Leaf, insert
from relayctl.yaml_reader import read
from tests.moto_table import many

DOOR = {"doors": {"kisi": {"99001": Leaf({"name": "Dock", "place": "?"}, "seen once")}}}
LINE = "'99001': {name: Dock, place: '?'}  # seen once"


def test_at_the_end_of_its_source() -> None:
    """An entry goes behind the last of its source, with the indentation of the others."""
    text = (
        "# ours\n"
        "doors:\n"
        "    kisi:   # the lobby\n"
        '        "1": {place: a}   # first\n'
        "        '2':\n"
        "            place: a   # second\n"
        "        # more to come\n"
        "\n"
        "    brivo: {}\n"
        "sources: {kisi: {vendor: kisi}}\n"
    )
    before, after = text.split("        # more")
    assert insert(text, DOOR) == f"{before}        {LINE}\n        # more{after}"


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", f"\ndoors:\n  kisi:\n    {LINE}\n"),
        ("# nothing yet", f"# nothing yet\n\ndoors:\n  kisi:\n    {LINE}\n"),
        ("doors:\n", f"doors:\n  kisi:\n    {LINE}\n"),
        ("doors:  # none\nb: 1\n", f"doors:  # none\n  kisi:\n    {LINE}\nb: 1\n"),
        ("doors:\n  kisi:\n", f"doors:\n  kisi:\n    {LINE}\n"),
        ("doors:\n  brivo: {a: {place: b}}", f"doors:\n  brivo: {{a: {{place: b}}}}\n  kisi:\n    {LINE}"),
        ("doors: {}\n", "doors: {kisi: {'99001': {name: Dock, place: '?'}}}  # 99001: seen once\n"),
        ("doors: {kisi: {}} # c\n", "doors: {kisi: {'99001': {name: Dock, place: '?'}}} # c\n"),
        (
            "{doors: {kisi: {a: {place: b}}}, b: 1}\n",
            "{doors: {kisi: {a: {place: b}, '99001': {name: Dock, place: '?'}}}, b: 1}  # 99001: seen once\n",
        ),
        ("a: |\n  text\n", f"a: |\n  text\n\ndoors:\n  kisi:\n    {LINE}\n"),
        ("a:\r\n- 1\r\n", f"a:\r\n- 1\r\n\r\ndoors:\r\n  kisi:\r\n    {LINE}\r\n"),
    ],
)
def test_forms(text: str, changed: str) -> None:
    """A mapping may be in lines or in braces, empty, or not there yet."""
    assert insert(text, DOOR) == changed


def test_several_at_once() -> None:
    """Several sections, sources and entries, in lines and in braces."""
    tree = {
        "sources": {"hibob": {"timeOffTypes": {"Jury duty": Leaf("leave", "or sick?")}}},
        "doors": {"kisi-sydney": {"012": Leaf({"place": "?"}), "x": Leaf({"place": "?"})}},
        "sensors": {"new": {"7": Leaf({"place": "?"}, "Desk")}},
    }
    text = (DEMO / "relay.yaml").read_text("utf-8")
    changed = insert(text, tree)
    kept = [line for line in text.splitlines() if not line.startswith("  hibob:")]
    assert [line for line in changed.splitlines() if line in kept] == kept
    document, problems = read(changed)
    assert problems == []
    assert document["sources"]["hibob"]["timeOffTypes"]["Jury duty"] == "leave"
    assert list(document["doors"]["kisi-sydney"]) == ["48211", "48212", "012", "x"]
    assert document["sensors"]["new"] == {"7": {"place": "?"}}


@pytest.mark.parametrize(
    "text",
    [
        "doors: &d {kisi: {a: {place: b}}}\nsensors: *d\n",
        "base: &b\n  kisi:\n    a: {place: b}\ndoors:\n  <<: *b\n",
        "doors: none\n",
        "doors: [1]\n",
        "doors: null\n",
        "- 1\n",
        "doors:\n  kisi: ~\n",
    ],
)
def test_too_clever(text: str) -> None:
    """What cannot be extended so that it says just that more is refused."""
    with pytest.raises(CannotInsert):
        insert(text, DOOR)


KEYS = st.text(min_size=1, max_size=8)
VALUES = st.dictionaries(st.sampled_from(["name", "place"]), st.text(max_size=8), min_size=1)


@many(60)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), st.booleans())
def test_strange_ids(entries: dict[str, Any], in_braces: bool) -> None:
    """Ids and names of whatever characters are written, or refused; no file is ever spoilt."""
    text = "doors: {}  # here\nplaces: {}\n" if in_braces else "doors:\n  kisi:\n    a: {place: b}\n"
    tree = {"doors": {"kisi": {key: Leaf(value, "seen") for key, value in entries.items() if key != "a"}}}
    try:
        changed = insert(text, tree)
    except CannotInsert:
        return
    document, _ = read(changed)
    found = document["doors"]["kisi"]
    assert {key: found[key] for key in tree["doors"]["kisi"]} == {
        key: value for key, value in entries.items() if key != "a"
    }
