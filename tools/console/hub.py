"""What all open pages share: the readers, and a feed of each thing that they show."""

from collections.abc import Callable
from typing import Any, TypeVar

from console.feed import Feed, Snapshot
from console.log_state import LogState
from console.readers import Lines, Places, Queues, Readers, SourceHealth
from relay.time_off.submission import Employee
from relayctl.dead_letters import Reading
from relayctl.target import Target

T = TypeVar("T")

LETTERS_SECONDS = 300.0
"""Reading the dead letters hides them for a moment: it is done when their number changes, and so often."""


class Hub:
    """The feeds of one relay. `is_local` says that it is that of `make run`.

    Locally the log is read each second, and what happened there has everything else read at once. CloudWatch
    takes few questions a second and shows lines late, so that a deployed relay's table is asked more often.
    """

    def __init__(self, find: Callable[[], Target], name: str, *, is_local: bool) -> None:
        self.name = name
        self.is_local = is_local
        self.readers = Readers(find)
        often, seldom = (10.0, 10.0) if is_local else (2.0, 20.0)
        self.log: Feed[Lines, LogState] = Feed(self.readers.log.read, self._take, 1.0 if is_local else 5.0)
        self.places: Feed[Places, Places] = Feed(self.readers.places, _same, often)
        self.sources: Feed[list[SourceHealth], list[SourceHealth]] = Feed(self.readers.sources, _same, seldom)
        self.people: Feed[list[Employee], list[Employee]] = Feed(self.readers.people, _same, seldom)
        self.queues: Feed[Queues, Queues] = Feed(self.readers.queues, self._counted, 2.0)
        self.letters: Feed[Reading, Reading] = Feed(
            self._read_letters, _same, LETTERS_SECONDS, kept=LETTERS_SECONDS
        )
        self._dead = -1

    @property
    def feeds(self) -> tuple[Feed[Any, Any], ...]:
        """All of them."""
        return self.log, self.places, self.sources, self.people, self.queues, self.letters

    @property
    def has_sandbox(self) -> bool:
        """Whether the relay's Calven is the sandbox. It asks nothing: until something was read it is not."""
        target = self.readers.known
        return target is not None and target.sandbox_url is not None

    def wake(self) -> None:
        """Have everything read that somebody looks at: something has happened."""
        for feed in self.feeds:
            feed.wake()

    @property
    def events(self) -> LogState:
        """What is known of events by now."""
        return self.readers.log.state

    def _read_letters(self) -> Reading:
        return self.readers.letters(self.letters.show_so_far)

    def _take(self, lines: Lines) -> LogState:
        state = self.readers.log.take(lines)
        if lines.new:
            for feed in (self.log, self.places, self.sources, self.people, self.queues):
                feed.wake()
        return state

    def _counted(self, queues: Queues) -> Queues:
        """The queues as they are; dead letters that are not as many as were read are read again."""
        known = self.letters.last.value
        is_news = queues.dead != self._dead
        self._dead = queues.dead
        if is_news and known is not None and queues.dead != len(known.letters) + known.hidden:
            self.letters.wake()
        return queues


def _same(value: T) -> T:
    return value


def trouble(*snapshots: Snapshot[Any]) -> str:
    """What is wrong with what a page shows, if anything: a read that fails, or one that is behind."""
    for snapshot in snapshots:
        if snapshot.error:
            return snapshot.error
    behind = max((snapshot.behind for snapshot in snapshots), default=0.0)
    return f"behind: a read has been under way for {behind:.0f} s" if behind else ""
