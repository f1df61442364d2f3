"""What the table holds is written as boto3 writes it, and comes back as it was."""

from decimal import Decimal, Inexact, Rounded
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from relay.aws.attributes import MOST_NUMBER, deserialize, serialize

PLAIN = st.none() | st.booleans() | st.integers(-MOST_NUMBER, MOST_NUMBER) | st.text()
VALUES = st.recursive(
    PLAIN | st.frozensets(st.text(), min_size=1),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ITEMS = st.dictionaries(st.text(), VALUES, max_size=3)


def in_order(attribute: Any) -> Any:
    """The same, with the texts of each set in one order."""
    match attribute:
        case {"SS": texts}:
            return {"SS": sorted(texts)}
        case dict():
            return {name: in_order(value) for name, value in attribute.items()}
        case list():
            return [in_order(value) for value in attribute]
    return attribute


def as_stored(value: Any) -> Any:
    """The value as it comes back: no tuple is stored as one."""
    match value:
        case list() | tuple():
            return [as_stored(entry) for entry in value]
        case dict():
            return {name: as_stored(entry) for name, entry in value.items()}
    return value


@given(ITEMS)
def test_written_as_boto3_writes_it(item: dict[str, Any]) -> None:
    """Every value that the table holds becomes the very attribute that boto3 makes of it."""
    theirs = {name: TypeSerializer().serialize(value) for name, value in item.items()}
    assert in_order(serialize(item)) == in_order(theirs)


@given(ITEMS)
def test_comes_back(item: dict[str, Any]) -> None:
    """What is written comes back with its types, as boto3 reads it too."""
    written = serialize(item)
    found = deserialize(written)
    assert found == as_stored(item)
    assert found == {name: TypeDeserializer().deserialize(value) for name, value in written.items()}
    assert not any(isinstance(value, Decimal) for value in found.values())


@pytest.mark.parametrize(
    "value", [1.5, Decimal(1), b"bytes", object(), frozenset(), {1}, {"a", 1}, [1.5], {"a": {"b": b""}}]
)
def test_no_other_type(value: Any) -> None:
    """A type that would not come back as it was is not written, at any depth."""
    with pytest.raises(TypeError, match="the table holds no"):
        serialize({"value": value})


@given(st.integers(10**38) | st.integers(max_value=-(10**38)))
def test_no_longer_number(number: int) -> None:
    """A number that DynamoDB would round is refused, as boto3 refuses it."""
    with pytest.raises((Inexact, Rounded)):
        TypeSerializer().serialize(number)
    with pytest.raises(ValueError, match="38 digits"):
        serialize({"value": number})


@pytest.mark.parametrize("number", ["100", "1E+2", "100.0", "1.0E2"])
def test_forms_of_a_number(number: str) -> None:
    """However DynamoDB writes a whole number, it is an int."""
    assert deserialize({"value": {"N": number}}) == {"value": 100}
    assert isinstance(deserialize({"value": {"N": number}})["value"], int)


@pytest.mark.parametrize("attribute", [{"B": b""}, {"NS": ["1"]}, {}, {"S": "a", "N": "1"}])
def test_no_other_attribute(attribute: Any) -> None:
    """Nor is one read that nothing here has written."""
    with pytest.raises(TypeError):
        deserialize({"value": attribute})
