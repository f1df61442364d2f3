"""What commands print: JSON and nothing else, or a table for people."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import indent
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    click.echo(json.dumps(value, indent=2))


def print_json_array(values: Iterable[Any]) -> None:
    """The same for an array that may be long, of which only one value at a time is made into text."""
    before = "["
    for value in values:
        click.echo(f"{before}\n{indent(json.dumps(value, indent=2), '  ')}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on standard output, as wide as its cells where it goes into a pipe."""
    table = Table(box=None, header_style="bold")
    for column in columns:
        # Folded, not cut: whoever copies an id needs all of it.
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(printable(str(cell)) for cell in row))
    console = Console(highlight=False, markup=False)
    Console(highlight=False, markup=False, width=console.width if console.is_terminal else 240).print(table)


def printable(text: str) -> str:
    """The text with what a terminal would obey escaped: some of it comes from vendors' payloads."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


@contextmanager
def counting(what: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal: the function takes how many of how many are done."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@contextmanager
def listing(what: str) -> Iterator[Callable[[int], None]]:
    """The same for a list whose length nobody knows: the function takes how much of it has been read."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} listed"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A sign of life on standard error, where that is a terminal, for what cannot be counted."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(what):
        yield
