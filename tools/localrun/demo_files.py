"""The demo of `make run`, made from what there is of each vendor: `demo/relay.yaml` and `demo/secrets.json`.

The configuration is the building of `demo/building.yaml`, with what each vendor's page shows under
"Configuration" put into it; the secrets hold what each vendor's record asks for.
"""

import base64
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from localrun.settings import DEMO
from relay import vendors
from relay.vendors.support.base import Vendor
from relay.vendors.support.fixed_tokens import Basic
from relay.vendors.support.proof import Scheme
from relay.vendors.support.signatures import StandardWebhooks

PAGES = Path(__file__).parents[2] / "docs" / "reference" / "vendors"
CONFIGURATION = re.compile(r"^## Configuration\n+```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
SECTIONS = ("sources", "places", "doors", "sensors")
FIRST = ("kisi", "verkada", "deel", "hibob")
"""The sources that come first: whoever tries the demo begins with a signed one of each kind."""
HEADER = """\
# The configuration of `make run`: one building, and one source of each vendor. `make docs` makes it, from
# building.yaml and from what each vendor's page in docs/reference/vendors shows under "Configuration".
"""
CALVEN = {
    "apiKey": "DEMO-API-KEY",
    "apiSecret": "demo-api-secret-not-a-real-one",
    "region": "ause1",
    "auth": "hmac",
}
READER = {**CALVEN, "apiKey": "DEMO-READER-KEY", "apiSecret": "demo-reader-secret-not-a-real-one"}
"""The key that may read what Calven shows, and nothing else."""


def config() -> str:
    """The text of the demo's `relay.yaml`."""
    made = CommentedMap({section: CommentedMap() for section in SECTIONS})
    _put_in(made, _yaml().load(DEMO / "building.yaml"))
    for vendor in sorted(map(vendors.load, vendors.NAMES), key=_position):
        _put_in(made, _of_page(vendor.name))
    return "\n".join([HEADER, *(_text({section: made[section]}) for section in SECTIONS)])


def _position(vendor: Vendor) -> tuple[int, int, str, str]:
    """After the first few: access control, HR systems, and what may be either."""
    first = FIRST.index(vendor.name) if vendor.name in FIRST else len(FIRST)
    return first, len(vendor.families), vendor.family, vendor.name


def _of_page(vendor: str) -> CommentedMap:
    """What a vendor's page configures, and a source of that vendor's where it shows none."""
    page = PAGES / f"{vendor}.md"
    shown = CONFIGURATION.search(page.read_text("utf-8")) if page.exists() else None
    found = _yaml().load(shown[1]) if shown else CommentedMap()
    sources = found.setdefault("sources", CommentedMap())
    if not any(source["vendor"] == vendor for source in sources.values()):
        sources[vendor] = CommentedMap({"vendor": vendor})
        sources[vendor].fa.set_flow_style()
    return found


def _put_in(made: CommentedMap, part: CommentedMap) -> None:
    for section, entries in part.items():
        made[section].update(entries)


def _text(content: Any) -> str:
    written = StringIO()
    _yaml().dump(content, written)
    return written.getvalue()


def _yaml() -> YAML:
    """A reader and writer that keeps quotes, and each entry on its line."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1000
    return yaml


def secrets() -> str:
    """The text of the demo's `secrets.json`."""
    made: dict[str, Any] = {"calven": CALVEN, "calven-reader": READER}
    for name, source in _yaml().load(config())["sources"].items():
        made[name] = _secret(vendors.load(source["vendor"]))
    return json.dumps(made, indent=2) + "\n"


def _secret(vendor: Vendor) -> dict[str, Any]:
    """A secret of a source of that vendor's, with all that its record asks for."""
    secret: dict[str, Any] = {scheme.credentials: [_credential(vendor, scheme)] for scheme in vendor.schemes}
    if vendor.api:
        fields = (*vendor.api.fields, *vendor.api.optional)
        secret["api"] = {field: _value(vendor, field) for field in fields}
    return secret


def _credential(vendor: Vendor, scheme: Scheme) -> str:
    value = _value(vendor, "secret" if scheme.credentials == "signingSecrets" else "token")
    if isinstance(scheme, StandardWebhooks):
        return "whsec_" + base64.b64encode(value.encode()).decode()
    return f"demo:{value}" if isinstance(scheme, Basic) else value


def _value(vendor: Vendor, field: str) -> str:
    return f"demo-{vendor.name}-{field}-not-a-real-one"
