"""What the table holds, as DynamoDB writes it: text, whole numbers, bools, nothing, sets, lists and maps.

boto3 has the same for every type that there is. These are called for each value of each item, a thousand
times a second, and take a third of its time.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# DynamoDB's numbers have 38 digits, and it would refuse others.
MOST_NUMBER = 10**38 - 1


def serialize(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as DynamoDB takes it; raises `TypeError` and `ValueError` for what it does not take."""
    return {name: _attribute(value) for name, value in item.items()}


def _attribute(value: Any) -> dict[str, Any]:
    """A value with its type; sets are of texts."""
    match value:
        case str():
            return {"S": value}
        case bool():  # before `int`, which it is too
            return {"BOOL": value}
        case int():
            return {"N": _number(value)}
        case None:
            return {"NULL": True}
        case list() | tuple():
            return {"L": [_attribute(entry) for entry in value]}
        case frozenset() | set():
            return {"SS": _texts(value)}
        case Mapping():
            return {"M": serialize(value)}
    raise TypeError(f"the table holds no {type(value).__name__}")


def _number(value: int) -> str:
    if abs(value) > MOST_NUMBER:
        raise ValueError("the table holds no number of more than 38 digits")
    return str(value)


def _texts(values: frozenset[Any] | set[Any]) -> list[str]:
    if not values or not all(isinstance(value, str) for value in values):
        raise TypeError("the table holds no set that is empty or not of texts")
    return list(values)


def deserialize(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as it was before `serialize`, tuples as lists; raises `TypeError` for an attribute of none."""
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Mapping[str, Any]) -> Any:
    """The value of an attribute. Its numbers are whole, whatever form DynamoDB gives them."""
    if len(attribute) != 1:
        raise TypeError("an attribute has one type")
    [(kind, value)] = attribute.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return int(Decimal(value))
        case "NULL":
            return None
        case "L":
            return [_value(entry) for entry in value]
        case "SS":
            return set(value)
        case "M":
            return deserialize(value)
    raise TypeError(f"the table holds no attribute of type {kind}")
