"""The table without moto: a few hundred times as fast, and whatever else may happen around each request."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from relay.aws.table import Conflict, Item, Key, Table, Update


class Memory(Table):
    """A table in a dictionary. `happen` is called before and after each request."""

    def __init__(self, happen: Callable[[], None] = lambda: None) -> None:
        self.items: dict[Key, Item] = {}
        self.happen = happen

    def interrupt(self, requests: int, act: Callable[[], object]) -> None:
        """Have something happen once, before or after a request, when so many such moments have passed."""
        left = requests

        def happen() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                self.happen = lambda: None
                act()

        self.happen = happen

    def get(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """The items that exist."""
        if not keys:
            return {}
        self.happen()
        found = {key: self.items[key] for key in keys if key in self.items}
        self.happen()
        return found

    def query(self, pk: str, prefix: str) -> Iterator[Item]:
        """Every item of one partition whose sort key begins so."""
        self.happen()
        keys = sorted(key for key in self.items if key[0] == pk and key[1].startswith(prefix))
        found = [{"pk": key[0], "sk": key[1], **self.items[key]} for key in keys]
        self.happen()
        yield from found

    def partition(self, pk: str) -> Iterator[Item]:
        """Every item of one partition."""
        yield from self.query(pk, "")

    def query_index(self, index: str, attribute: str, value: str) -> Iterator[Item]:
        """Every item whose attribute has this value."""
        del index
        self.happen()
        found = [{"pk": key[0], "sk": key[1], **item} for key, item in sorted(self.items.items())]
        self.happen()
        yield from (item for item in found if item.get(attribute) == value)

    def write(self, updates: Sequence[Update]) -> None:
        """Carry out every update, or none."""
        if not updates:
            return
        self.happen()
        refused = [number for number, update in enumerate(updates) if not _met(self._item(update), update)]
        found = {number: self._item(updates[number]) for number in refused}
        if not refused:
            for update in updates:
                if update.set or update.remove:
                    kept = self.items.get(update.key, {})
                    kept = {name: value for name, value in kept.items() if name not in update.remove}
                    self.items[update.key] = {**kept, **update.set}
        self.happen()
        if refused:
            raise Conflict(found)

    def _item(self, update: Update) -> Item:
        return self.items.get(update.key, {})


def _met(item: Item, update: Update) -> bool:
    expected = all(item.get(name) == value for name, value in update.expect.items())
    below = all(_below(item.get(name), value) for name, value in update.below.items())
    return expected and below and all(name in item for name in update.present)


def _below(found: Any, value: Any) -> bool:
    if found is None:
        return True
    return bool(found[0] < value[0]) if isinstance(value, list) else bool(found < value)
