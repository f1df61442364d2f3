"""What commands print: JSON and nothing else, or a table for people."""

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    click.echo(json.dumps(value, indent=2))


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
