"""The element of a page that shows keyed rows, and says what is clicked or chosen in them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nicegui import ui

from console.rows import Row, Shown, changes, shown

Act = Callable[[str, str, dict[str, str]], Any]
"""Takes an action, its value, and what is chosen in the element's fields by their names."""


class Live(ui.element, component=Path(__file__).parent / "live.js"):
    """Rows that are kept as Python says: a table where there is a `head`, else a block."""

    def __init__(self, act: Act, *, head: str = "", caption: str = "", kind: str = "") -> None:
        super().__init__()
        self._props.update(head=head, caption=caption, kind=kind)
        self._shown: Shown = {}
        self._known: object = None
        self.on("act", lambda event: act(event.args["action"], event.args["value"], event.args["chosen"]))

    def show_of(self, known: object, make: Callable[[], Sequence[Row]]) -> None:
        """The same with rows that are made only where what they are made of is not what it was."""
        if known != self._known:
            self._known = known
            self.show(make())

    def show(self, rows: Sequence[Row]) -> None:
        """Have the page show these rows: what it shows already is not sent again."""
        after = shown(rows)
        patch = changes(self._shown, after)
        if patch is not None:
            self._shown = after
            self.run_method("patch", patch)
