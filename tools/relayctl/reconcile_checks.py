"""What `relayctl doctor` says of each source that is reconciled."""

from collections.abc import Iterator
from datetime import UTC, datetime

from relay import vendors
from relay.config.store import ConfigStore
from relay.reconciliation.runs import Runs, State
from relay.reconciliation.schedule import interval_of
from relayctl import secret_store
from relayctl.checks import Finding
from relayctl.target import Target

NEVER = "nobody has reconciled it by hand yet, so that the schedule only looks: relayctl reconcile {source}"


def check(target: Target) -> Iterator[Finding]:
    """One finding for each source whose vendor can be asked, and with what its secret has."""
    config = ConfigStore(target.ledger()).current()
    runs, now = Runs(target.ledger()), datetime.now(UTC).timestamp()
    asked = 0
    for name, source in config.sources.items():
        if source.vendor not in vendors.NAMES:
            continue
        vendor = vendors.load(source.vendor)
        interval = interval_of(source, vendor)
        if interval is None:
            continue
        state = runs.state(config.key(name))
        if secret_store.api(target, vendor.family, name):
            yield finding(name, state, interval, now)
        elif state.since:
            yield _lost(name)
        else:
            continue
        asked += 1
    if not asked:
        yield Finding(check="reconciliation", ok=True, detail="no source's vendor can be asked")


def _lost(name: str) -> Finding:
    """What to say of a source that has been reconciled, and cannot be asked any more."""
    todo = f"relayctl secrets put {name}, or set `reconcile: off` at the source and push"
    return Finding(
        check=f"reconciliation {name}", ok=False, detail="its secret has no `api` any more", next=todo
    )


def finding(name: str, state: State, interval: float, now: float) -> Finding:
    """What to say of a source that is to be reconciled every so many seconds. Times are Unix seconds."""
    check = f"reconciliation {name}"
    if state.status == "refused":
        todo = f"relayctl reconcile {name} --dry-run; where the list is right, with --accept-ends"
        return Finding(check=check, ok=False, detail=f"refused: {state.detail}", next=todo)
    since = (state.complete or state.since) / 1000
    if since and now - since > 2 * interval:
        detail = f"not to its end since {_when(since)}: {state.detail or 'no run'}"
        return Finding(check=check, ok=False, detail=detail, next=f"relayctl reconcile {name}")
    if not state.by_hand:
        return Finding(check=check, ok=True, detail=NEVER.format(source=name))
    detail = f"{_when(since)}: {state.listed} listed, {state.differences} differed, {state.ends} ended"
    return Finding(check=check, ok=True, detail=detail)


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}Z"
