"""Somebody who pushes configurations, and people who pass doors meanwhile."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from localrun.template import STACK
from relay.config.store import MAX_AGE_SECONDS, TAKEN_UP_SECONDS
from relayctl.main import main
from tests.rig import Rig

SITE: dict[str, Any] = {"locationId": "SITE", "locationType": "location", "timezone": "Australia/Sydney"}
LEVEL: dict[str, Any] = {"locationId": "LEVEL", "locationType": "level", "within": "site"}
OTHER: dict[str, Any] = {"locationId": "OTHER", "locationType": "level", "within": "site"}

GENERIC = {"vendor": "generic"}


class Operator:
    """Somebody who pushes configurations, and people who pass doors meanwhile."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig, self.file = rig, folder / "relay.yaml"
        self.secret = rig.secrets["generic"]
        self.places: dict[str, Any] = {"site": SITE, "level": LEVEL, "other": OTHER}
        self.sources: dict[str, Any] = {"generic": GENERIC}
        self.doors: dict[str, Any] = {"generic": {name: {"place": name} for name in self.places}}
        self.sensors: dict[str, Any] = {}
        rig.clock.now = time.time()

    def push(self, *options: str, typed: str | None = None) -> Result:
        """Push the configuration as it is now."""
        sections = {"sources": self.sources, "places": self.places, "doors": self.doors}
        self.file.write_text(json.dumps({**sections, "sensors": self.sensors}))
        return self.run("config", "push", str(self.file), *options, typed=typed)

    def run(self, *arguments: str, typed: str | None = None) -> Result:
        """Run a command of relayctl's on the stack."""
        return CliRunner().invoke(main, ["--stack", STACK, *arguments], input=typed)

    def pushed(self) -> None:
        """Push, and let the functions take it up, the queue drain, and the schedule run."""
        result = self.push("--yes")
        assert result.exit_code == 0, result.output
        self.settle()

    def settle(self) -> None:
        """Functions take the configuration up, the queue drains, the schedule runs."""
        self.rig.clock.advance(MAX_AGE_SECONDS + 1)
        self.rig.retry()
        self.rig.clock.advance(TAKEN_UP_SECONDS)
        self.rig.reset()

    def badge(
        self, person: str, door: str, direction: str = "in", source: str | None = None
    ) -> tuple[int, Any]:
        """Somebody passes a door of a source, which is the generic one unless another is named."""
        self.rig.clock.advance(1)
        at = datetime.fromtimestamp(self.rig.clock(), UTC).isoformat()
        body = {"type": "badge", "id": f"{person} {at}", "at": at, "person": person}
        return self.rig.post("generic", {**body, "door": door, "direction": direction}, source=source)

    def reading(self, people: int, sensor: str = "one", at: float | None = None) -> tuple[int, Any]:
        """A sensor counts, now unless another time is named."""
        self.rig.clock.advance(1)
        read_at = datetime.fromtimestamp(self.rig.clock() if at is None else at, UTC).isoformat()
        body = {"type": "reading", "id": read_at, "at": read_at, "sensor": sensor, "people": people}
        return self.rig.post("generic", body)

    def shown(self) -> dict[str, int]:
        """What Calven shows, by location."""
        state = self.rig.sandbox.get("/_sandbox/state").json()["occupancy"]
        return {location: event["occupancy"] for location, event in state.items()}
