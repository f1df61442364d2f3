"""A live source and one that is shadowed from time to time, both of the generic vendor, on one site."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localrun.template import STACK
from relay.config.store import MAX_AGE_SECONDS, TAKEN_UP_SECONDS
from relayctl import pushing
from tests.rig import Rig

RESET = f"{(datetime.now(UTC).hour + 12) % 24:02}:00"
"""Far from now: no operating day ends unasked."""
SITE: dict[str, Any] = {"locationId": "SITE", "locationType": "location", "resetAt": RESET}
LEVEL: dict[str, Any] = {"locationId": "LEVEL", "locationType": "level", "within": "site"}
ROOM: dict[str, Any] = {"locationId": "ROOM", "locationType": "space"}
DOORS = {"level": {"place": "level"}, "lobby": {"place": "site"}}
SAM = "sam@example.com"


class Trial:
    """Somebody who pushes the two sources, `live` and `trial`, and vendors that tell of people and leave."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig, self._folder = rig, folder
        self._number = 0
        self.sources: dict[str, dict[str, Any]] = {
            "live": {"vendor": "generic", "timeOffTypes": {"Sick": "sick"}},
            "trial": {"vendor": "generic", "shadow": True},
        }
        for name in self.sources:
            for family in ("access-control", "hris"):
                secret = json.dumps(rig.secrets["generic"])
                rig.aws.secrets.create_secret(Name=f"{STACK}/{family}/{name}", SecretString=secret)
        # A push is made with the operator's own clock.
        rig.clock.now = time.time()
        self.push()

    def push(self, **shadow: bool) -> None:
        """Push the sources with these shadowed or live, as far as the pointer: then the push is cut off."""
        for name, is_shadowed in shadow.items():
            self.sources[name] = {**self.sources[name], "shadow": is_shadowed}
        # The rig signs with the secret of the demo's source.
        demo = self.rig.config
        self.rig.push(self.relay_yaml(), self._folder)
        self.rig.config = demo
        self.rig.clock.advance(MAX_AGE_SECONDS + 1)

    def relay_yaml(self) -> str:
        """The configuration as it is to be pushed."""
        sections = {
            "sources": self.sources,
            "places": {"site": SITE, "level": LEVEL, "room": ROOM},
            "doors": dict.fromkeys(self.sources, DOORS),
            "sensors": {
                name: {f"{name}-{number}": {"place": "room"} for number in (1, 2)} for name in self.sources
            },
        }
        return json.dumps(sections)

    def go_live(self) -> dict[str, int]:
        """Take the shadow of `trial` away, as `config push` does, and let the queue drain."""
        self.push(trial=False)
        queued = self.resume()
        self.rig.retry()
        return queued

    def resume(self) -> dict[str, int]:
        """What `config push` does for sources that are live again."""
        return pushing.resume(self.rig.target())

    def schedule(self) -> None:
        """Every function has taken the last push up, and both schedules run; the queue drains."""
        self.rig.clock.advance(TAKEN_UP_SECONDS + 60)
        self.rig.reset()
        self.rig.reconcile()
        self.rig.retry()

    def badge(self, source: str, person: str, direction: str = "in", door: str = "level") -> Any:
        """Somebody passes a door of a source; the answer."""
        body = {"type": "badge", **self._event(), "person": person, "door": door, "direction": direction}
        return self.rig.post("generic", body, source=source)[1]

    def reading(self, source: str, people: int, sensor: str = "1") -> Any:
        """A sensor of a source counts; the answer."""
        body = {"type": "reading", **self._event(), "sensor": f"{source}-{sensor}", "people": people}
        return self.rig.post("generic", body, source=source)[1]

    def leave(
        self, source: str, first: str, last: str, state: str = "approved", leave: str = "1", **more: Any
    ) -> Any:
        """What became of an employee's leave, from a day of March 2027 to another; the answer."""
        event = self._event()
        body = {"type": "leave", "id": event["id"], "changedAt": event["at"], "state": state, "leave": leave}
        dates = {"start": f"2027-03-{first}", "end": f"2027-03-{last}"}
        return self.rig.post(
            "generic", {**body, "email": SAM, **dates, **more}, source=source, family="hris"
        )[1]

    def _event(self) -> dict[str, str]:
        self._number += 1
        self.rig.clock.advance(1)
        return {"id": f"e{self._number}", "at": datetime.fromtimestamp(self.rig.clock(), UTC).isoformat()}

    def shown(self) -> dict[str, int]:
        """What Calven shows of places, by location."""
        state = self.rig.sandbox.get("/_sandbox/state").json()["occupancy"]
        return {location: event["occupancy"] for location, event in state.items()}

    def away(self, email: str = SAM) -> dict[str, str]:
        """What Calven shows of a person's days away, by the day of March."""
        return {day[-2:]: kind for day, kind in self.rig.away(email).items()}
