"""The note that an operating day is closed, and whether anything of it may still have to be told.

`day#<day>` / `closed` says when the day was closed (`at`, ms). `done` says that Calven has been told all of
it: the schedule does not look at the day again. Whatever changes a count of a closed day takes `done` away in
the same transaction, and gives `late` another value: so nobody notes `done` for counts that are others now.
"""

from dataclasses import dataclass
from uuid import uuid4

from relay.aws.table import Item, Key, Update
from relay.occupancy.days import KEPT_SECONDS, Day


@dataclass(frozen=True, slots=True)
class Closed:
    """That a day is closed: since when (ms), and whether Calven has been told all of it.

    `late` is another value after each change of a count since then.
    """

    at: int
    late: str | None = None
    done: bool = False


def closed_key(day: str) -> Key:
    """Where it says that a day (by its key) is closed."""
    return f"day#{day}", "closed"


def closed_of(item: Item | None) -> Closed | None:
    """The note as it is stored; None for a day that is not closed."""
    return None if item is None else Closed(item["at"], item.get("late"), item.get("done", False))


def closing(day: Day, now: int) -> Update:
    """Close a day (at `now`, ms) that is not closed."""
    values = {"at": now, "expires_at": day.end // 1000 + KEPT_SECONDS}
    return Update(key=closed_key(day.key), set=values, expect={"at": None})


def day_guard(day: str, closed_at: int | None) -> Update:
    """What goes into each transaction that changes a count of a day (by its key).

    It refuses the transaction where the day is not as it was read: one that is closed since then has other
    counts to report. A closed day has something to report again.
    """
    if closed_at is None:
        return Update(key=closed_key(day), expect={"at": None})
    # Random, as a count would have to be read first.
    return Update(key=closed_key(day), set={"late": uuid4().hex}, remove=["done"], expect={"at": closed_at})


def all_told(day: Day, closed: Closed) -> Update:
    """Note that Calven has been told all of a day, where no count has changed since it was read."""
    return Update(key=closed_key(day.key), set={"done": True}, expect={"at": closed.at, "late": closed.late})
