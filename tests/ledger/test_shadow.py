"""Shadowed sources: recorded like any other, and nothing of them reaches Calven until they are live."""

from pathlib import Path

import pytest

from relay.aws.table import Update
from relay.config.store import FRESH_SECONDS, LAYOUT, POINTER
from relayctl import dead_letters
from relayctl.dead_letters import Selection
from tests.rig import Rig
from tests.shadowing import SAM, Trial

pytestmark = pytest.mark.slow

SHADOW = {"status": "ignored", "reason": "shadow"}
REFUSED = {"status": "queued", "reason": "unmapped_door"}


@pytest.fixture
def trial(rig: Rig, tmp_path: Path) -> Trial:
    """Two sources, of which one is shadowed."""
    return Trial(rig, tmp_path)


def test_nothing_is_sent(trial: Trial) -> None:
    """Badges, readings and leave of a shadowed source are answered 200, and Calven hears of none."""
    assert trial.badge("trial", "ann") == SHADOW
    assert trial.reading("trial", 3) == SHADOW
    assert trial.leave("trial", "01", "05") == SHADOW
    trial.schedule()
    trial.rig.clock.advance(24 * 3600)
    trial.schedule()
    assert trial.rig.requests("/v1/occupancy") == trial.rig.requests("/v1/timeoff") == []
    assert trial.rig.waiting() == trial.rig.dead_letters() == []


def test_what_cannot_be_mapped_is_a_dead_letter(trial: Trial) -> None:
    """As for any other source."""
    assert trial.badge("trial", "ann", door="nowhere") == REFUSED
    assert trial.leave("trial", "05", "01") == {"status": "queued", "reason": "invalid_dates"}
    assert trial.leave("trial", "01", "05", leave="2", email=None) == {
        "status": "queued",
        "reason": "no_email",
    }
    reasons = [letter["reason"] for letter in trial.rig.dead_letters()]
    assert sorted(reasons) == ["invalid_dates", "no_email", "unmapped_door"]


def test_queued_first(trial: Trial) -> None:
    """A source that is stored first is queued, and what waited is ignored."""
    trial.sources["trial"]["forwardMode"] = "queued"
    trial.push()
    assert trial.badge("trial", "ann") == {"status": "queued", "reason": "store_first"}
    assert trial.leave("trial", "01", "05") == {"status": "queued", "reason": "store_first"}
    assert trial.rig.retry() == {"batchItemFailures": []}
    assert trial.rig.requests("/v1/") == []
    assert trial.rig.waiting() == []


def test_nobody_at_a_live_door_is_in_shadow(trial: Trial) -> None:
    """The same person counts at live doors as if the shadowed ones were not there."""
    trial.badge("trial", "ann@example.com")
    assert trial.badge("live", "ben@example.com")["status"] == "forwarded"
    assert trial.shown() == {"SITE": 1, "LEVEL": 1}
    assert trial.badge("live", "ann@example.com")["status"] == "forwarded"
    assert trial.shown() == {"SITE": 2, "LEVEL": 2}
    trial.badge("trial", "ann@example.com", "out")
    assert trial.badge("live", "ann@example.com", "out")["status"] == "forwarded"
    assert trial.shown() == {"SITE": 2, "LEVEL": 1}


def test_sensors_in_shadow(trial: Trial) -> None:
    """The sum of a place's live sensors has no shadowed one in it, whatever that said before."""
    trial.push(trial=False)
    trial.reading("trial", 4)
    trial.reading("live", 3)
    assert trial.shown() == {"ROOM": 7}
    trial.push(trial=True)
    assert trial.reading("trial", 9) == SHADOW
    assert trial.shown() == {"ROOM": 7}, "nothing is taken back"
    trial.reading("live", 5)
    assert trial.shown() == {"ROOM": 5}
    trial.go_live()
    trial.reading("trial", 1)
    assert trial.shown() == {"ROOM": 6}


def test_badges_count_from_then_on(trial: Trial) -> None:
    """Who badged in shadow is nowhere at a live door; whoever badges then is."""
    trial.badge("trial", "ann")
    trial.go_live()
    trial.schedule()
    assert trial.shown() == {}
    assert trial.badge("trial", "ann")["status"] == "forwarded"
    assert trial.shown() == {"SITE": 1, "LEVEL": 1}


def test_day_ends_for_who_was_counted_before(trial: Trial) -> None:
    """People whom a source counted while it was live are gone with the day, in nobody's name."""
    trial.push(trial=False)
    trial.badge("trial", "ann")
    trial.push(trial=True)
    trial.badge("trial", "ben")
    trial.badge("trial", "ann", "out")
    assert trial.shown() == {"SITE": 1, "LEVEL": 1}
    trial.rig.clock.advance(25 * 3600)
    trial.schedule()
    assert trial.shown() == {"SITE": 0, "LEVEL": 0}
    names = [request["body"]["sourceId"] for request in trial.rig.requests("/v1/occupancy")]
    assert names == ["trial", "calven relay"]


@pytest.mark.parametrize("kind", ["waiting", "dead"])
def test_settled_before(trial: Trial, kind: str) -> None:
    """What was counted while its source was live is not sent in shadow, and is pending until it is live."""
    trial.push(trial=False)
    if kind == "waiting":
        trial.rig.fail("503")
    else:
        trial.rig.refuse(locations=["LEVEL", "SITE"])
    trial.badge("trial", "ann")
    trial.rig.recover()
    trial.rig.refuse()
    trial.push(trial=True)
    before = len(trial.rig.requests("/v1/occupancy"))
    dead_letters.redrive(trial.rig.target(), Selection(), lambda number: number)
    assert trial.rig.retry() == {"batchItemFailures": []}
    trial.schedule()
    assert len(trial.rig.requests("/v1/occupancy")) == before
    assert trial.rig.waiting() == trial.rig.dead_letters() == []
    trial.push(trial=False)
    trial.schedule()
    assert trial.shown() == {"SITE": 1, "LEVEL": 1}
    assert len(trial.rig.requests("/v1/occupancy")) == before + 1


def test_leave_once_it_is_live(trial: Trial) -> None:
    """What is pending is queued once, by the push; the schedule finds nothing more to do."""
    trial.leave("trial", "01", "05")
    trial.leave("trial", "08", "09", leave="2")
    trial.leave("trial", "20", "21", leave="3")
    trial.leave("trial", "20", "21", "ended", leave="3")
    trial.push(trial=False)
    assert trial.resume() == {"trial": 2}
    assert trial.resume() == {"trial": 0}, "once"
    assert trial.rig.retry() == {"batchItemFailures": []}
    assert list(trial.away()) == ["01", "02", "03", "04", "05", "08", "09"]
    before = len(trial.rig.requests("/v1/timeoff"))
    trial.schedule()
    assert len(trial.rig.requests("/v1/timeoff")) == before == 1
    assert trial.rig.waiting() == []


def test_push_that_was_cut_off(trial: Trial) -> None:
    """What the push did not queue, the schedule does, once."""
    trial.leave("trial", "01", "05")
    trial.push(trial=False)
    trial.schedule()
    assert len(trial.away()) == 5
    trial.schedule()
    trial.schedule()
    assert len(trial.rig.requests("/v1/timeoff")) == 1


def test_configuration_that_cannot_be_read(trial: Trial) -> None:
    """Leave of a source that is live again is queued once: it waits until it is known that it is."""
    trial.leave("trial", "01", "05")
    trial.push(trial=False)
    assert trial.resume() == {"trial": 1}
    table = trial.rig.relay.table
    table.write([Update(key=POINTER, set={"layout": LAYOUT + 1})])
    assert len(trial.rig.retry()["batchItemFailures"]) == 1
    table.write([Update(key=POINTER, set={"layout": LAYOUT})])
    trial.rig.clock.advance(FRESH_SECONDS + 1)
    assert trial.rig.retry() == {"batchItemFailures": []}
    assert len(trial.away()) == 5


def test_shadowed_again(trial: Trial) -> None:
    """What was queued for a source that is shadowed again by then is not sent, and comes again."""
    trial.leave("trial", "01", "05")
    trial.push(trial=False)
    assert trial.resume() == {"trial": 1}
    trial.push(trial=True)
    assert trial.rig.retry() == {"batchItemFailures": []}
    assert trial.away() == {}
    assert trial.go_live() == {"trial": 1}
    assert len(trial.away()) == 5


def test_change_while_functions_take_the_push_up(trial: Trial) -> None:
    """A leave that a function recorded in shadow after the push looked is queued by the schedule."""
    early = trial.rig.relay
    trial.leave("trial", "01", "01")
    trial.push(trial=False)
    assert trial.resume() == {"trial": 1}
    trial.rig.clock.advance(-60)
    trial.rig.relay = early
    assert trial.leave("trial", "02", "02", leave="2") == SHADOW or trial.away()
    trial.rig.retry()
    trial.schedule()
    assert list(trial.away()) == ["01", "02"]


def test_turning_shadow_on_takes_nothing_back(trial: Trial) -> None:
    """Days that Calven holds from a source stay, whatever becomes of its leave or of another's."""
    trial.push(trial=False)
    trial.leave("trial", "01", "05", email=SAM)
    trial.push(trial=True)
    trial.leave("live", "04", "08", leave="L", leaveType="Sick")
    assert trial.away() == {
        **dict.fromkeys(("01", "02", "03", "04", "05"), "leave"),
        **dict.fromkeys(("06", "07", "08"), "sick"),
    }
    trial.leave("trial", "02", "03")
    trial.leave("live", "04", "08", "ended", leave="L")
    assert list(trial.away()) == ["01", "02", "03", "04", "05"]
    trial.leave("trial", "01", "05", "ended")
    trial.leave("live", "20", "20", leave="M")
    assert list(trial.away()) == ["01", "02", "03", "04", "05", "20"]
    trial.go_live()
    assert list(trial.away()) == ["20"]


def test_address_moves_in_shadow(trial: Trial) -> None:
    """Days stay with whoever has them, and follow the address when the source is live."""
    trial.push(trial=False)
    trial.leave("trial", "01", "02")
    trial.push(trial=True)
    trial.leave("trial", "01", "02", email="kim@example.com")
    trial.leave("live", "09", "09", leave="L")
    assert (list(trial.away()), trial.away("kim@example.com")) == (["01", "02", "09"], {})
    assert trial.go_live() == {"trial": 1}
    assert (list(trial.away()), list(trial.away("kim@example.com"))) == (["09"], ["01", "02"])


def test_leave_that_waited(trial: Trial) -> None:
    """Leave that was recorded live, and that Calven has not, is not sent in shadow, and is not lost."""
    trial.push(trial=False)
    trial.rig.fail("503")
    trial.leave("trial", "01", "02")
    trial.rig.recover()
    trial.push(trial=True)
    assert trial.rig.retry() == {"batchItemFailures": []}
    trial.leave("live", "09", "09", leave="L")
    assert list(trial.away()) == ["09"]
    trial.go_live()
    assert list(trial.away()) == ["01", "02", "09"]


def test_rollback(trial: Trial) -> None:
    """Shadow that is taken away by a rollback is taken away as by a push."""
    from relay.config.versions import rollback  # noqa: PLC0415 - only this test rolls back

    trial.push(trial=False)
    trial.push(trial=True)
    trial.leave("trial", "01", "02")
    trial.rig.clock.now += 1
    rollback(trial.rig.target().ledger())
    assert trial.resume() == {"trial": 1}
    trial.rig.clock.advance(61)
    trial.rig.retry()
    assert list(trial.away()) == ["01", "02"]


def test_removed_while_shadowed(trial: Trial) -> None:
    """Its leave stays as it is, until somebody ends it or configures the source again."""
    trial.push(trial=False)
    trial.leave("trial", "01", "02")
    trial.push(trial=True)
    trial.leave("trial", "05", "06", leave="2")
    kept = trial.sources.pop("trial")
    trial.push()
    trial.leave("live", "09", "09", leave="L")
    assert list(trial.away()) == ["01", "02", "09"]
    trial.sources["trial"] = {**kept, "shadow": False}
    trial.push()
    assert trial.resume() == {"trial": 1}
    trial.rig.retry()
    assert list(trial.away()) == ["01", "02", "05", "06", "09"]


def test_renamed_while_shadowed(trial: Trial) -> None:
    """A source that has another name is the same source, shadowed or not."""
    trial.leave("trial", "01", "02")
    trial.sources["pilot"] = trial.sources.pop("trial")
    trial.push()
    trial.leave("live", "09", "09", leave="L")
    assert list(trial.away()) == ["09"]
    trial.push(pilot=False)
    assert trial.resume() == {"pilot": 1}
    trial.rig.retry()
    assert list(trial.away()) == ["01", "02", "09"]


@pytest.mark.parametrize("ended_while_sent", [False, True])
def test_unseen_end_in_shadow_keeps_no_day(trial: Trial, ended_while_sent: bool) -> None:
    """Leave that ends unseen in shadow was never told: it keeps no day that live leave gives back."""
    if ended_while_sent:
        trial.rig.fail("503")
        trial.leave("live", "03", "06")
        trial.rig.recover()
    trial.leave("trial", "05", "08", "ended")
    trial.leave("live", "03", "06")
    assert list(trial.away()) == ["03", "04", "05", "06"]
    trial.leave("live", "01", "03")
    assert list(trial.away()) == ["01", "02", "03"]
    trial.leave("live", "01", "03", "ended")
    assert trial.away() == {}


def test_day_told_before_the_shadow_is_kept(trial: Trial) -> None:
    """A day that a source told while it was live stays, whatever other leave comes and goes."""
    trial.push(trial=False)
    trial.leave("trial", "05", "06")
    trial.push(trial=True)
    trial.rig.clock.advance(120)
    trial.leave("live", "03", "06")
    trial.leave("live", "01", "03")
    assert list(trial.away()) == ["01", "02", "03", "05", "06"]
