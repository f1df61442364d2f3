"""What a vendor is beside its module: samples, what is expected of them, and a page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from relay import vendors
from relay.events import Event
from relayctl import samples
from tests.recorded import events

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference" / "vendors"
Meaning = list[Event] | Literal["ping", "handshake"]
"""What a sample becomes: events; or no event, where the vendor tries the URL or hands over a secret."""

_FILE: TypeAdapter[dict[str, Meaning]] = TypeAdapter(dict[str, Meaning])


class _Plain(yaml.BaseLoader):
    """YAML in which everything is text, as a date and a door's number are, but `true` and `false`."""


_BOOL = "tag:yaml.org,2002:bool"
_Plain.add_implicit_resolver(_BOOL, re.compile("true|false"), ["t", "f"])
_Plain.add_constructor(_BOOL, lambda _, node: node.value == "true")


def expected(vendor: str) -> dict[str, Meaning]:
    """What `events/<vendor>/expected.yaml` says of each sample; nothing where there is no such file."""
    path = ROOT / "events" / vendor / "expected.yaml"
    if not path.exists():
        return {}
    try:
        return _FILE.validate_python(yaml.load(path.read_text("utf-8"), Loader=_Plain) or {})  # noqa: S506
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AssertionError(f"events/{vendor}/expected.yaml: {where}: {first['msg']}") from None


def expected_event(vendor: str, name: str) -> Event:
    """The one event that a sample becomes."""
    found = expected(vendor)[name]
    assert isinstance(found, list)
    [event] = found
    return event


def meaning(vendor: str, name: str) -> Meaning:
    """What a sample becomes."""
    record, body = vendors.load(vendor), samples.body(vendor, name)
    if record.is_ping(body):
        return "ping"
    if record.handshake(body) is not None:
        return "handshake"
    return list(events(vendor, name))


def as_yaml(name: str, found: Meaning) -> str:
    """What a sample becomes, as `expected.yaml` has it."""
    said: object = found
    if not isinstance(found, str):
        dumps = [event.model_dump(mode="json", exclude_defaults=True) for event in found]
        said = [
            {"form": event.form, **dump, **_named(event)} for event, dump in zip(found, dumps, strict=True)
        ]
    return yaml.safe_dump({name: said}, sort_keys=False)


def _named(event: Event) -> dict[str, str]:
    """What the vendor calls the door or sensor: it goes along with the event, and is no part of it."""
    name = getattr(event, "name", None)
    return {"name": name} if name else {}


def known() -> list[str]:
    """Every vendor of which there is a module, a folder of samples, or a page."""
    found = set(vendors.NAMES)
    found.update(path.name for path in (ROOT / "events").iterdir() if path.is_dir())
    found.update(path.stem for path in PAGES.glob("*.md") if path.name != "README.md")
    return sorted(found)


def missing(vendor: str) -> Iterator[str]:
    """A sentence for each piece that a vendor lacks."""
    module = f"shared/relay/vendors/{vendor}.py"
    if not (ROOT / module).exists():
        yield f"{module}: there is no such module, but there are samples or a page of that vendor: write it"
    if not list((ROOT / "events" / vendor).glob("*.json")):
        yield f"events/{vendor}: there is no sample: add one for each of the vendor's events"
    page = PAGES / f"{vendor}.md"
    if not page.exists():
        name = page.relative_to(ROOT)
        yield f"{name}: there is no such page: write how the vendor is set up, and what becomes of its events"
