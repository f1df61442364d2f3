"""What AWS bills for reading and writing items."""

from math import ceil

from simulate.values import Item, Value

_READ_UNIT, _WRITE_UNIT = 4096, 1024


def read_units(read: int) -> int:
    """What reading so many bytes costs, consistently."""
    return max(ceil(read / _READ_UNIT), 1)


def write_units(item: Item) -> int:
    """What writing an item costs."""
    return max(ceil(size(item) / _WRITE_UNIT), 1)


def size(item: Item) -> int:
    """The bytes of an item.

    As https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html counts.
    """
    return sum(len(name.encode()) + _bytes(value) for name, value in item.items())


def _bytes(value: Value) -> int:
    [(kind, inner)] = value.items()
    match kind:
        case "S":
            return len(inner.encode())
        case "N":
            return len(inner.strip("-0.")) // 2 + 2
        case "SS":
            return sum(len(entry.encode()) for entry in inner)
        case "NS":
            return sum(len(entry) // 2 + 2 for entry in inner)
        case "L":
            return 3 + sum(1 + _bytes(entry) for entry in inner)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _bytes(entry) for name, entry in inner.items())
        case "BOOL" | "NULL":
            return 1
    return len(inner)
