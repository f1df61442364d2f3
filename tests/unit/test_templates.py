"""The templates in docs/guides/which-systems.md are events of the generic format, once values are put in."""

import json
import re
from pathlib import Path

import pytest

from relay.events import MalformedEvent, Webhook
from relay.vendors.generic import BODY, VENDOR

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "which-systems.md"
TEMPLATE = re.compile(r"^```json (?P<tool>[\w-]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = {
    "avigilon-alta": re.compile(r"\{\{(\w+)\}\}"),
    "officespace": re.compile(r"\{\{([A-Z_]+)\}\}"),
    "power-automate": re.compile(r"@\{(.+?)\}"),
    "n8n": re.compile(r"\{\{ (.+?) \}\}"),
    "zapier": re.compile(r"\{\{(\d+__\w+)\}\}"),
    "workato": re.compile(r"#\{(_dp\('[^']+'\))\}"),
}
"""How each tool writes what it fills in."""
VALUES = {
    "time": "2026-11-26T09:15:00Z",
    "now": "2026-11-26T09:15:00Z",
    "_at": "2026-11-26T09:15:00Z",
    "mail": "sam@example.com",
    "start": "2027-10-04",
    "end": "2027-10-08",
}
"""Sample values, by a part of the name of what they stand for; anything else is a text of its own."""
TEMPLATES = [(found["tool"], found["text"]) for found in TEMPLATE.finditer(PAGE.read_text("utf-8"))]


def sample(name: str) -> str:
    """A value for a placeholder, by what its name or its expression speaks of."""
    known = (value for part, value in VALUES.items() if part in name.lower())
    return next(known, f"any {len(name)}")


def rendered(tool: str, text: str) -> str:
    """A template with sample values in it."""
    return PLACEHOLDERS[tool].sub(lambda match: sample(match[1]), text)


def test_each_tool() -> None:
    """There is a template for each of the six."""
    assert {tool for tool, _ in TEMPLATES} == set(PLACEHOLDERS)


@pytest.mark.parametrize(("tool", "text"), TEMPLATES)
def test_template(tool: str, text: str) -> None:
    """A template has placeholders of its tool's own form, and yields what the relay takes."""
    body = rendered(tool, text)
    assert body != text
    assert not re.search(r"[{@#]\{|\}\}", body)
    BODY.validate_python(json.loads(body))
    events = VENDOR.read(Webhook(body=body.encode(), received_at=0.0))
    assert events
    assert not [event for event in events if isinstance(event, MalformedEvent)]
