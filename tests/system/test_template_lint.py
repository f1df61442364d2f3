"""The linters accept the template as it is deployed, and find what only that form shows."""

from pathlib import Path

import pytest

from build import lint_template
from tests.template import TEMPLATE


def test_deployed_form_lints_clean() -> None:
    """What SAM deploys has no finding."""
    assert lint_template.lint(TEMPLATE) == []


@pytest.mark.parametrize(
    ("written", "broken", "rule"),
    [
        ("QUEUE_URL: !Ref UnprocessedQueue", "QUEUE_URL: !Ref Nothing", "E1020"),
        ("BatchSize: 100 ", "BatchSize: 99999 ", "E3034"),
        ("Handler: functions.hris.app.handler", "Handlr: functions.hris.app.handler", "Handlr not defined"),
    ],
)
def test_lint_finds_what_only_the_deployed_form_shows(written: str, broken: str, rule: str) -> None:
    """A reference to nothing, limits of AWS and properties unknown to SAM are findings."""
    assert TEMPLATE.count(written) == 1
    findings = lint_template.lint(TEMPLATE.replace(written, broken))
    assert any(rule in finding for finding in findings)


def test_lint_command_fails_with_its_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's exit code is what stops `make lint`."""
    path = tmp_path / "template.yaml"
    monkeypatch.setattr("sys.argv", ["lint_template.py", str(path)])
    path.write_text(TEMPLATE, encoding="utf-8")
    assert lint_template.main() == 0
    path.write_text(TEMPLATE.replace("BatchSize: 100 ", "BatchSize: 99999 "), encoding="utf-8")
    assert lint_template.main() == 1
    assert "E3034" in capsys.readouterr().err
