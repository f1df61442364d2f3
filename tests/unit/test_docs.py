"""The documentation says what the code does, and its links lead somewhere."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from relay import vendors
from relay.config.model import Door, Place, Sensor, Source
from relayctl.main import main
from tests.vendor_files import missing

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda page: page.relative_to(ROOT).as_posix()
)
HEADINGS = ["Set up", "Secret", "What becomes of each event", "Limits", "Not confirmed on live traffic"]
MOST_WORDS = 1500
FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
IN_CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([^"]+)">')
DOCUMENT = re.compile(r"\bdocs/[\w./-]+\.(?:md|json)(?:#[\w-]+)?")


def named(page: Path) -> str:
    """A page as people name it."""
    return page.relative_to(ROOT).as_posix()


@cache
def anchors(page: Path) -> frozenset[str]:
    """What may stand behind a `#`: the page's headings as GitHub writes them, and its own anchors."""
    text = FENCED.sub("", page.read_text("utf-8"))
    seen: Counter[str] = Counter()
    found = set(ANCHOR.findall(text))
    for heading in HEADING.findall(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)


def leads_somewhere(link: str, folder: Path) -> bool:
    """Whether there is the file of a link, and the heading in it."""
    path, _, anchor = link.partition("#")
    target = folder / path
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target.resolve())


def test_made_from_the_code() -> None:
    """Tables of vendors and cost, the generic format's schema and the demo are what `make docs` writes."""
    command = [sys.executable, str(ROOT / "tools" / "build" / "docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name in vendors.NAMES if name != "generic"])
def test_page(name: str) -> None:
    """Each vendor's page has what it takes to set the vendor up, and says what is not sure."""
    lacks = list(missing(name))
    assert not lacks, "\n".join(lacks)
    file = f"docs/reference/vendors/{name}.md"
    vendor, page = vendors.load(name), (ROOT / file).read_text("utf-8")
    headings = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    found = [heading for heading in headings if heading not in ("Configuration", "Listing")]
    assert found == HEADINGS, f"{file}: its headings are {', '.join(HEADINGS)}; and Configuration, if need be"
    lists = vendor.lists is not None
    assert lists == ("Listing" in headings), f"{file}: it has a part Listing where the record `lists`"
    assert vendor.title in page.splitlines()[0], f"{file}: it begins with the title, {vendor.title}"
    for scheme in vendor.schemes:
        assert scheme.credentials in page, f"{file}: its secret has the list {scheme.credentials}"
    says_lists = "Listing" in headings
    assert says_lists == (vendor.lists is not None), f"{file}: it has a section Listing where its API lists"
    shows_api = '"api": {' in page
    assert shows_api == (vendor.api is not None), f"{file}: its secret has `api` where the record has one"
    if "other event" in vendor.ignores:
        assert "`other_event`" in page, f"{file}: other events are ignored, as `other_event`"


def test_readme_is_short() -> None:
    """The README is read in one go; what is longer has a page of its own."""
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= MOST_WORDS


def test_readme_leads_to_each_page() -> None:
    """Nobody has to look into folders: a page is a link away, a vendor's two."""
    readme = (ROOT / "README.md").read_text("utf-8")
    pages = {named(page) for page in PAGES if page.parent != REFERENCE / "vendors"} - {"README.md"}
    assert pages <= set(LINK.findall(readme))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link within the repository leads to a file that there is, and to a heading in it."""
    text = IN_CODE.sub("", FENCED.sub("", page.read_text("utf-8")))
    links = [link for link in LINK.findall(text) if "://" not in link]
    broken = [
        link
        for link in links
        if not leads_somewhere(link if link[0] != "#" else page.name + link, page.parent)
    ]
    assert broken == []


def test_documents_that_code_names_exist() -> None:
    """What the template, the command, tests and code say of a document leads to it."""
    files = [ROOT / "template.yaml", ROOT / "Makefile"]
    files += [
        path for folder in ("shared", "functions", "tools", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    said = {(named(path), link) for path in files for link in DOCUMENT.findall(_own(path))}
    assert said
    assert [found for found in sorted(said) if not leads_somewhere(found[1], ROOT)] == []


def _own(path: Path) -> str:
    """A file's text without the addresses of others."""
    return re.sub(r"https?://\S+", "", path.read_text("utf-8"))


def test_configuration_names_each_key() -> None:
    """The page of `relay.yaml` has every key of a source, a place, a door and a sensor."""
    page = (REFERENCE / "configuration.md").read_text("utf-8")
    models = (Source, Place, Door, Sensor)
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}
    assert [key for key in sorted(keys) if f"\n| `{key}` |" not in page] == []


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    """Every command by its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_commands_are_listed() -> None:
    """The page of commands has a row for each."""
    page = (REFERENCE / "commands.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `([a-z ]+?)(?: \[?[A-Z].*)?` \|", page, re.MULTILINE))
    assert rows == set(commands(main))


def test_targets_are_listed() -> None:
    """`make help` lists each target that says what it does."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    said = re.findall(r"^([^\s:]+):.*?## (.+)$", makefile, re.MULTILINE)
    # Else it says more where the tests were begun by `make`.
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()] == [[*one] for one in said]


def reasons() -> Iterator[str]:
    """Each reason that the relay's code names where it gives one."""
    for path in (ROOT / "shared" / "relay").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.keyword(arg="reason", value=ast.Constant(value=str(reason))):
                    yield reason
                case ast.Assign(
                    targets=[ast.Name(id="reason" | "default_reason")], value=ast.Constant(value=str(reason))
                ):
                    yield reason


def test_answers_explain_each_reason() -> None:
    """The page of answers says what each reason means."""
    page = (REFERENCE / "answers.md").read_text("utf-8")
    given = set(reasons()) - {""}
    assert "unmapped_door" in given
    assert [reason for reason in sorted(given) if f"\n| `{reason}` |" not in page] == []
