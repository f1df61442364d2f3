"""The guide to adding a vendor is followed to the letter, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "adding-a-vendor.md").read_text("utf-8")
PARTS = ("shared", "functions", "tools", "tests", "events", "docs")
FILES = ("README.md", "pyproject.toml", "template.yaml")
PIECES = re.compile(
    r"^\*\*`(?P<path>[^`]+)`\*\*\n\n(?P<fence>`{3,})\w+\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL
)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VENDOR = "acme"
MODULE = f"shared/relay/vendors/{VENDOR}.py"
SAMPLE, EXPECTED = f"events/{VENDOR}/badge-in.json", f"events/{VENDOR}/expected.yaml"
DENIED = f"events/{VENDOR}/denied.json"
PAGE = f"docs/reference/vendors/{VENDOR}.md"
CHECK = ("pytest", "-k", VENDOR, "tests/unit/test_vendor_samples.py")


class Project:
    """A copy of the project, with the vendor of the guide in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            shutil.copytree(ROOT / part, folder / part)
        for name in FILES:
            shutil.copy2(ROOT / name, folder)
        self.pieces = [match["path"] for match in PIECES.finditer(GUIDE)]
        for match in PIECES.finditer(GUIDE):
            path = folder / match["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(match["text"], "utf-8")

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """A command in the copy, with the copy's own code."""
        places = (self.folder / "shared", self.folder / "tools", self.folder)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
        environment.pop("PYTEST_ADDOPTS", None)
        return subprocess.run(
            _as_argv(command),
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def _as_argv(command: Sequence[str]) -> list[str]:
    """A command of the guide's by this environment's Python: the copy has none of its own, and no make."""
    program, *arguments = command
    match program.removeprefix(".venv/bin/"):
        case "make":
            assert arguments == ["docs"]
            return [sys.executable, "tools/build/docs.py"]
        case "pytest":
            return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        case "relayctl":
            return [sys.executable, "-c", "from relayctl.main import main; main()", *arguments]
    raise AssertionError(f"the guide runs {program}: say here what that is")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One copy for all tests."""
    folder = tmp_path_factory.mktemp("guide") / "project"
    yield Project(folder)
    shutil.rmtree(folder)


def test_all_green(project: Project) -> None:
    """With every piece, each command of the guide ends well, and the last lists the vendor."""
    [block] = COMMANDS.findall(GUIDE)
    output = ""
    for line in block.splitlines():
        done = project.run(line.split())
        output = done.stdout
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if "pytest" in line:
            # A vendor that nobody found would be green as well.
            passed = re.search(r"(\d+) passed", output)
            assert passed
            assert int(passed[1]) > 15
    [row] = [line.split() for line in output.splitlines() if "acme" in line]
    assert row == ["acme", "access-control", "X-Acme-Signature,", "HMAC-SHA256", "door", "5", "s", "medium"]


@pytest.mark.parametrize(
    ("piece", "sentence"),
    [
        (
            MODULE,
            f"{MODULE}: there is no such module, but there are samples or a page of that vendor: write it",
        ),
        (EXPECTED, f"{SAMPLE}: nothing says what is expected of it: add it to {EXPECTED}"),
        (DENIED, f"{EXPECTED}: there is no {DENIED}"),
        (PAGE, f"{PAGE}: there is no such page: write how the vendor is set up"),
    ],
    ids=["module", "expectations", "sample", "page"],
)
def test_left_out(project: Project, tmp_path: Path, piece: str, sentence: str) -> None:
    """A piece that is forgotten is named by a sentence."""
    assert piece in project.pieces
    aside = tmp_path / "aside"
    shutil.move(project.folder / piece, aside)
    try:
        done = project.run(CHECK)
    finally:
        shutil.move(aside, project.folder / piece)
    assert done.returncode == 1, done.stdout
    assert sentence in done.stdout
