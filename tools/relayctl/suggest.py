"""`relayctl config suggest`: prints what relay.yaml lacks, or writes it in."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from relay import vendors
from relay.config.versions import UnknownVersion, pull
from relay.invocation import Invocation
from relayctl import known_doors, relay_yaml, suggestions, yaml_insert
from relayctl.in_process import invocation_of
from relayctl.known_doors import Asked, Known
from relayctl.options import Common, common_options, pass_common
from relayctl.output import listing, print_json, printable, working
from relayctl.reconcile import check_source
from relayctl.suggestions import Suggestions, Written
from relayctl.target import Target
from relayctl.yaml_reader import Entries, Malformed, read

MERGE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True)
class _Looked:
    """What relay.yaml lacks; what could not be seen, and which vendors could not be asked."""

    found: Suggestions
    missing: Sequence[str]
    not_asked: Sequence[str]


@click.command("suggest")
@click.option("--merge", "file", type=MERGE, metavar="FILE", help="Write them into this relay.yaml.")
@click.option("--source", help="Of this source only.")
@common_options
@pass_common
def suggest(common: Common, file: Path | None, source: str | None) -> None:
    """Print the doors, sensors and kinds of leave that are known and not in relay.yaml, as YAML to fill in.

    Known is what events named within 90 days, what dead letters name, and what the vendors list whose API
    can. Exit code 1 where something could not be seen.
    """
    target = common.target()
    text = None if file is None else _text(file)
    looked = _look(target, source, None if text is None or file is None else _written(file, text))
    if file is not None and text is not None:
        _merge(common, file, text, looked)
    elif common.as_json:
        print_json(suggestions.as_mapping(looked.found))
    elif looked.found:
        click.echo(yaml_insert.insert("", suggestions.as_tree(looked.found)).lstrip("\n"), nl=False)
    else:
        click.echo("nothing is known that relay.yaml lacks", err=True)
    for what in looked.not_asked:
        click.echo(what, err=True)
    for what in looked.missing:
        click.echo(f"missing: {what}", err=True)
    if looked.missing:
        raise SystemExit(1)


def _look(target: Target, source: str | None, written: Written | None) -> _Looked:
    """Look at everything that knows of doors and kinds of leave."""
    with working("reading dead letters"):
        letters = known_doors.read_letters(target)
    known = [one for one in letters.named if source in (None, one.source)]
    types: dict[str, Sequence[str]] = {}
    missing: list[str] = [*letters.missing]
    not_asked: list[str] = []
    with invocation_of(target) as invocation:
        if source is not None:
            check_source(source, invocation)
        written = written or _in_force(invocation)
        for name in [source] if source else invocation.config.sources:
            if of_source := _types(invocation, name, written):
                types[name] = of_source
            if _has_doors(invocation, name):
                seen, asked = _doors(invocation, name)
                known += seen
                missing += [*filter(None, [asked.failed]), *known_doors.cut_off(invocation, name)]
                not_asked += filter(None, [asked.cannot])
    doors = suggestions.lacking(known_doors.merged(known), written)
    return _Looked(Suggestions(doors, types), missing, not_asked)


def _has_doors(invocation: Invocation, source: str) -> bool:
    return "access-control" in vendors.load(invocation.config.sources[source].vendor).families


def _doors(invocation: Invocation, source: str) -> tuple[list[Known], Asked]:
    """What events of a source named, and what its vendor lists."""
    with listing(f"asking {source}") as progress:
        asked = known_doors.ask_vendor(invocation, source, progress)
    return [*known_doors.seen_by(invocation, source), *known_doors.listed_as(source, asked.listed)], asked


def _types(invocation: Invocation, source: str, written: Written) -> list[str]:
    found = invocation.seen.of(invocation.config.key(source), "leave-type")
    return suggestions.unmapped_types(source, found, written)


def _in_force(invocation: Invocation) -> Written:
    """The configuration that was pushed; an empty one before."""
    try:
        return Written(relay_yaml.as_mapping(pull(invocation.table)))
    except UnknownVersion:
        return Written({})


def _text(file: Path) -> str:
    """A file as it is, its line ends included."""
    try:
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{file}: not UTF-8") from None


def _written(file: Path, text: str) -> Written:
    """What a file says; places that are still to be filled in do not matter here."""
    try:
        document, _ = read(text)
    except Malformed as error:
        where = file if error.line is None else f"{file}:{error.line}"
        raise click.ClickException(f"{where}: {error.said}") from None
    except RecursionError:
        raise click.ClickException(f"{file}: nested too deeply") from None
    if not isinstance(document, Entries):
        raise click.ClickException(f"{file}:1: the top level must be a mapping with `sources` and `places`")
    return Written(document)


def _merge(common: Common, file: Path, text: str, looked: _Looked) -> None:
    """Write what a file lacks into it, and say what is left to be filled in, by line."""
    found, left_out = _of_file(_written(file, text), looked.found)
    changed = text
    if found:
        try:
            changed = yaml_insert.insert(text, suggestions.as_tree(found))
        except yaml_insert.CannotInsert as error:
            raise click.ClickException(f"{file}: {error}: `config suggest` prints them") from None
        _replace(file, changed)
    lines = list(_to_fill_in(changed, found))
    added = {
        "doors": found.count("doors"),
        "sensors": found.count("sensors"),
        "timeOffTypes": found.count_types,
    }
    if common.as_json:
        print_json({"file": str(file), "added": added, "to_fill_in": lines, "not_in_file": left_out})
        return
    click.echo(f"{file}: {_added(added, len(lines))}")
    for line in lines:
        click.echo(f"{file}:{line['line']}: {line['source']} {printable(line['id'])}: {_ask(line)}")
    for name in left_out:
        click.echo(f"{name} is not among the sources of {file}: its doors were left out", err=True)


def _of_file(written: Written, found: Suggestions) -> tuple[Suggestions, list[str]]:
    """What is of a source that a file has, and the sources that it has not."""
    doors = [one for one in found.doors if one.known.source in written.sources]
    types = {source: of_source for source, of_source in found.types.items() if source in written.sources}
    all_sources = {one.known.source for one in found.doors} | set(found.types)
    return Suggestions(doors, types), sorted(all_sources - set(written.sources))


def _to_fill_in(text: str, found: Suggestions) -> Iterator[dict[str, Any]]:
    """What is left to be filled in, with its line in the file."""
    document, _ = read(text)
    for one in suggestions.to_fill_in(found):
        known = one.known
        line = document.line((known.section, known.source, known.id))
        yield {"line": line, "source": known.source, "id": known.id, "name": known.name, "lacks": one.lacks}


def _added(added: dict[str, int], to_fill_in: int) -> str:
    """What was added, in words."""
    words = {"doors": "door", "sensors": "sensor", "timeOffTypes": "kind of leave"}
    parts = [_several(number, words[what]) for what, number in added.items() if number]
    if not parts:
        return "nothing to add"
    rest = f"{to_fill_in} of them to be filled in" if to_fill_in else "check it, and push it"
    return f"added {', '.join(parts)}: {rest}"


def _several(number: int, word: str) -> str:
    one, _, of = word.partition(" ")
    return f"{number} {word}" if number == 1 else f"{number} {one}s{' ' if of else ''}{of}"


def _ask(line: dict[str, Any]) -> str:
    """What is to be filled in, in words."""
    name = f" of {printable(line['name'])!r}" if line["name"] else ""
    return f"fill in the {' and the '.join(line['lacks'])}{name}"


def _replace(file: Path, text: str) -> None:
    """Put a text in a file's place at once: whoever reads it meanwhile reads the old one, or the new one."""
    there = file.resolve()
    try:
        handle, temporary = tempfile.mkstemp(dir=there.parent, prefix=f".{there.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(text.encode("utf-8"))
            shutil.copymode(there, temporary)
            os.replace(temporary, there)  # noqa: PTH105 - `Path.replace` is the same with another name
        finally:
            # It is there only where it has not taken the file's place.
            with suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}: nothing was changed") from None
