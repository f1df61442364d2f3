"""A vendor is its module, its samples with what is expected of them, and its page."""

import pytest

from tests.recorded import every
from tests.vendor_files import as_yaml, expected, known, meaning, missing


@pytest.mark.parametrize("vendor", known())
def test_pieces(vendor: str) -> None:
    """Of each vendor every piece is there."""
    lacks = list(missing(vendor))
    assert not lacks, "\n".join(lacks)


@pytest.mark.parametrize(("vendor", "name"), every())
def test_sample(vendor: str, name: str) -> None:
    """Each sample becomes what is expected of it."""
    file, found = f"events/{vendor}/expected.yaml", meaning(vendor, name)
    became = as_yaml(name, found)
    listed = expected(vendor)
    assert name in listed, (
        f"events/{vendor}/{name}.json: nothing says what is expected of it: add it to {file}, "
        f"if this is right:\n{became}"
    )
    assert found == listed[name], (
        f"events/{vendor}/{name}.json becomes\n{became}\nand not, as {file} expects,\n"
        f"{as_yaml(name, listed[name])}"
    )


@pytest.mark.parametrize("vendor", known())
def test_expectations_without_a_sample(vendor: str) -> None:
    """Nothing is expected of a sample that is not there."""
    there = {name for of, name in every() if of == vendor}
    for name in expected(vendor):
        assert name in there, f"events/{vendor}/expected.yaml: there is no events/{vendor}/{name}.json"
