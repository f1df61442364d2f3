"""What a check found out, and how it is told."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import click

from relay.errors import TableUnavailable
from relayctl.network import AWS_ERRORS
from relayctl.output import print_json, printable


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, whether it is as it should be, what was seen, and what to do next if it is not."""

    check: str
    ok: bool
    detail: str = ""
    next: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        """For `--json`."""
        return {"check": self.check, "ok": self.ok, "detail": self.detail, "next": self.next}


def guarded(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a check found; where AWS or the relay does not answer, that."""
    try:
        return list(check())
    except (*AWS_ERRORS, TableUnavailable) as error:
        said = json.dumps(str(error))[1:-1]
        todo = "see that AWS answers, and that your credentials may read the stack"
        return [Finding(check=name, ok=False, detail=said, next=todo)]


def report(findings: Iterable[Finding], as_json: bool) -> None:
    """Print each as it is found, or all of them as JSON; exit code 1 if there is a problem."""
    found: list[Finding] = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            click.echo(_line(finding))
    if as_json:
        print_json([finding.as_dict() for finding in found])
    if not all(finding.ok for finding in found):
        raise SystemExit(1)


def _line(finding: Finding) -> str:
    words = f"{'ok     ' if finding.ok else 'problem'}  {finding.check}"
    words += f": {finding.detail}" if finding.detail else ""
    line = printable(words)
    return line if finding.ok or not finding.next else f"{line}\n         {printable(finding.next)}"
