"""Values of items as DynamoDB has them on the wire, `{"S": "text"}`: compared, added, measured."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

Value = Mapping[str, Any]
Item = Mapping[str, Value]
_SETS = frozenset({"SS", "NS", "BS"})


def equal(left: Value | None, right: Value | None) -> bool:
    """Whether two values are the same: numbers however they are written, sets in any order."""
    if left is None or right is None:
        return False
    (kind, one), (other_kind, other) = *left.items(), *right.items()
    if kind != other_kind:
        return False
    if kind == "N":
        return Decimal(one) == Decimal(other)
    if kind in _SETS:
        return set(one) == set(other)
    return bool(one == other)


def _ordered(left: Value | None, right: Value | None) -> tuple[Any, Any] | None:
    """Two values that can be compared; None where they cannot."""
    if left is None or right is None:
        return None
    (kind, one), (other_kind, other) = *left.items(), *right.items()
    if kind != other_kind or kind not in ("S", "N", "B"):
        return None
    return (Decimal(one), Decimal(other)) if kind == "N" else (one, other)


def compare(left: Value | None, sign: str, right: Value | None) -> bool:
    """A comparison as DynamoDB makes it: what is not there, or of another type, is in no order."""
    if sign == "=":
        return equal(left, right)
    if sign == "<>":
        return left is not None and right is not None and not equal(left, right)
    pair = _ordered(left, right)
    if pair is None:
        return False
    one, other = pair
    return bool({"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[sign])


def entry(value: Value | None, number: int) -> Value | None:
    """An entry of a list; nothing of what is no list, or is shorter."""
    entries: list[Value] = value.get("L", []) if value else []
    return entries[number] if number < len(entries) else None


def add(one: Value, other: Value, sign: int) -> Value:
    """The sum of two numbers, or their difference."""
    return {"N": str(Decimal(one["N"]) + sign * Decimal(other["N"]))}


def length(value: Value | None) -> Value | None:
    """How long a text is, or how many entries there are."""
    if value is None:
        return None
    [inner] = value.values()
    return {"N": str(len(inner))}


def begins(value: Value | None, prefix: Value | None) -> bool:
    """Whether a text begins with another."""
    return bool(value and prefix and "S" in value and value["S"].startswith(prefix["S"]))


def contains(value: Value | None, part: Value | None) -> bool:
    """Whether a text has another in it, or a set or a list an entry."""
    if not value or not part:
        return False
    [(kind, inner)], [(_, searched)] = value.items(), part.items()
    return part in inner if kind == "L" else searched in inner


PREDICATES: Mapping[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "begins_with": begins,
    "contains": contains,
}
FUNCTIONS: Mapping[str, Callable[..., Value | None]] = {
    "if_not_exists": lambda value, default: default if value is None else value,
    "list_append": lambda one, other: {"L": [*one["L"], *other["L"]]},
}
