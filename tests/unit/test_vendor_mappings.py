"""What each vendor's samples become, in one line each, and what decides it."""

from datetime import UTC
from typing import Any

import pytest

from relay import vendors
from relay.errors import Unparseable
from relay.events import (
    BadgeEvent,
    Counting,
    Event,
    Ignored,
    LeaveChange,
    MalformedEvent,
    SensorReading,
    Webhook,
    iso,
)
from relay.vendors.common import unwrapped
from relayctl import samples
from tests.recorded import Api, asked, events, webhook
from tests.rig import NOON, sample

NOW = iso(NOON)
"""What stands for a time that the payload does not have: `now` below."""

EXPECTED: dict[str, list[str]] = {
    "brivo access-granted": ["badge ? 408023598 by lou@example.com at 11-02 22:19:03"],
    "brivo administrator-pulse": ["ignored other_event"],
    "brivo denied": ["ignored denied"],
    "butlr floor-occupancy": ["reading space_1: 12, True, at 11-02 22:50:32"],
    "butlr motion": ["reading room_1: None, True, at 11-02 22:50:32"],
    "butlr room-occupancy": ["reading room_1: 4, True, at 11-02 22:50:32"],
    "butlr room-occupancy-recomputed": ["reading room_1: 3, True, at 11-02 22:50:32"],
    "butlr traffic": ["ignored other_event"],
    "butlr zone-occupancy-smoothed": ["reading zone_1: 1, True, at 11-02 22:50:32"],
    "disruptive contact": ["reading emucontact01: None, True, at 11-02 22:41:12"],
    "disruptive desk-free": ["reading emudeskoccupancy01: None, False, at 11-02 22:41:12"],
    "disruptive desk-occupied": ["reading emudeskoccupancy01: None, True, at 11-02 22:41:12"],
    "disruptive motion": ["reading emumotion01: None, True, at 11-02 22:41:12"],
    "disruptive object-present": ["reading emucontact01: None, True, at 11-02 22:41:12"],
    "disruptive touch": ["ignored other_event"],
    "doorflow admitted": ["badge ? 1340 by 12345 at 11-02 22:30:00"],
    "doorflow credential": ["ignored other_event"],
    "doorflow several": ["badge ? 1340 by 12346 at 11-02 22:30:00", "ignored denied", "ignored other_event"],
    "envoy employee-sign-in": ["badge in loc-sydney by 50120 at 11-02 22:30:00"],
    "envoy employee-sign-out": ["badge out loc-sydney by 50120 at 11-03 05:00:00"],
    "envoy invite": ["ignored other_event"],
    "envoy sign-in": ["badge in loc-sydney by 50120 at 11-02 22:30:00"],
    "envoy sign-in-utc": ["badge in loc-sydney by 50121 at 11-02 22:30:00"],
    "envoy sign-out": ["badge out loc-sydney by 50120 at 11-02 23:45:10"],
    "factorial approve": ["approved 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-03"],
    "factorial approve-days": [
        (
            "approved 71007 jo@example.com 2027-06-07..2027-06-09 Holidays 2026-11-03 06-07=1d "
            "06-08=0.5d 06-09=1d"
        )
    ],
    "factorial approve-half-day": [
        "approved 71006 jo@example.com 2027-06-07..2027-06-07 Holidays 2026-11-03 first last"
    ],
    "factorial bulk_delete-one": ["ended 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-04"],
    "factorial bulk_delete-several": [
        "ended 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-04",
        "ended 71002 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-04",
    ],
    "factorial create-approved": ["approved 71002 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-03"],
    "factorial create-open-ended": [
        "approved 71005 jo@example.com 2027-06-07..None Holidays 2026-11-03 open_ended"
    ],
    "factorial create-pending": ["requested 71003 2027-06-07..2027-06-11 Holidays 2026-11-03"],
    "factorial delete": ["ended 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-04"],
    "factorial reject": ["ended 71004 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-03 declined"],
    "genea access-granted": ["badge ? 000000000001 by gia@example.com at 11-02 22:45:38"],
    "genea access-granted-at-door": ["badge ? 000000000001 by gia@example.com at 11-02 22:45:38"],
    "genea access-granted-unlocked": ["badge ? 000000000001 by gia@example.com at 11-02 22:45:38"],
    "genea audit": ["ignored other_event"],
    "genea denied": ["ignored denied"],
    "generic badge-in": ["badge in north by sam@example.com at 11-02 22:49:35"],
    "generic badge-out": ["badge out north by sam@example.com at 11-03 06:00:00"],
    "generic badges": [
        "badge in north by sam@example.com at 11-02 22:49:35",
        "badge in north by kim@example.com at 11-02 22:49:35",
    ],
    "generic leave-approved": ["approved leave-1 noa@example.com 2027-10-04..2027-10-08 Vacation 2026-11-02"],
    "generic leave-ended": ["ended leave-1 None..None 2026-11-03"],
    "generic leave-requested": [
        "requested leave-2 noa@example.com 2027-10-04..2027-10-08 Vacation 2026-11-02"
    ],
    "generic reading": ["reading desk-7: 1, True, at 11-02 22:49:35"],
    "gusto approved": [
        "approved 00000001 max@example.com None..None vacation now 01-14=8h 01-15=8h 01-18=2h 01-19=8h"
    ],
    "gusto company-updated": ["ignored other_event"],
    "gusto created": ["requested 00000002 None..None vacation now 01-14=8h 01-15=8h 01-18=2h 01-19=8h"],
    "gusto declined": [
        "ended 00000003 max@example.com None..None vacation now declined 01-14=8h 01-15=8h 01-18=2h 01-19=8h"
    ],
    "gusto deleted": ["ended 00000004 None..None now"],
    "keypay approved": ["approved 3001 ash@example.com 2027-09-06..2027-09-10 Annual Leave /0000 total=38h"],
    "keypay cancelled": ["ended 3001 ash@example.com 2027-09-06..2027-09-10 Annual Leave /0000 total=38h"],
    "keypay employee-updated": ["ignored other_event"],
    "keypay pending": ["requested 3002 2027-09-06..2027-09-10 Annual Leave /0000 total=38h"],
    "keypay second-attempt": [
        "approved 3001 ash@example.com 2027-09-06..2027-09-10 Annual Leave /0000 total=38h"
    ],
    "keypay several": [
        "approved 3003 ash@example.com 2027-09-06..2027-09-10 Annual Leave /0000 total=38h",
        "ended 3004 ash@example.com 2027-09-06..2027-09-10 Annual Leave /0001 declined total=38h",
        "ignored other_event",
    ],
    "keypay two-hours": ["approved 3005 ash@example.com 2027-04-05..2027-04-05 Annual Leave /0000 total=2h"],
    "keypay two-hours-nz": [
        "approved 3006 ash@example.com 2027-04-05..2027-04-05 Annual Leave /0000 total=2h"
    ],
    "merge approved": [
        "approved 00000001 pat@example.com 2027-07-05..2027-07-09 VACATION 2026-11-03 total=5d"
    ],
    "merge cancelled": ["ended 00000001 pat@example.com 2027-07-05..2027-07-09 VACATION 2026-11-04 total=5d"],
    "merge deleted": ["ended 00000001 pat@example.com 2027-07-05..2027-07-09 VACATION 2026-11-04 total=5d"],
    "merge employee-changed": ["ignored other_event"],
    "merge expanded-employee": [
        "approved 00000001 pat@example.com 2027-07-05..2027-07-09 VACATION 2026-11-03 total=5d"
    ],
    "merge requested": ["requested 00000001 2027-07-05..2027-07-09 VACATION 2026-11-03 total=5d"],
    "paylocity approved": ["approved HASH jane@example.com 2027-02-16..2027-02-16 now each=8h"],
    "paylocity older-form": ["approved HASH jane@example.com 2027-03-01..2027-03-03 now"],
    "paylocity two-hours": ["approved HASH jane@example.com 2027-02-16..2027-02-16 now each=2h"],
    "peopleforce approve": [
        "approved 1062480 lee@example.com 2027-08-02..2027-08-03 Vacation 2026-11-03 08-02=1d 08-03=1d"
    ],
    "peopleforce create-approved": [
        "approved 1062480 lee@example.com 2027-08-02..2027-08-03 Vacation 2026-11-03 08-02=1d 08-03=1d"
    ],
    "peopleforce create-pending": [
        "requested 1062480 2027-08-02..2027-08-03 Vacation 2026-11-03 08-02=1d 08-03=1d"
    ],
    "peopleforce employee-created": ["ignored other_event"],
    "peopleforce half-day": [
        "approved 1062480 lee@example.com 2027-08-02..2027-08-03 Vacation 2026-11-03 08-02=0.5d 08-03=1d"
    ],
    "peopleforce half-day-between": [
        (
            "approved 1062481 lee@example.com 2027-01-04..2027-01-06 Vacation 2026-11-03 01-04=1d "
            "01-05=0.5d 01-06=1d"
        )
    ],
    "peopleforce reject": [
        "ended 1062480 lee@example.com 2027-08-02..2027-08-03 Vacation 2026-11-03 declined 08-02=1d 08-03=1d"
    ],
    "peopleforce withdraw": [
        "ended 1062480 lee@example.com 2027-08-02..2027-08-03 Vacation 2026-11-03 08-02=1d 08-03=1d"
    ],
    "personio approved": [
        (
            "approved 00000001 alex@example.com 2027-05-03..2027-05-07 Vacation now 05-03=1d 05-04=1d "
            "05-05=1d 05-06=1d 05-07=1d"
        )
    ],
    "personio attendance": ["ignored other_event"],
    "personio created": ["requested 00000002 2027-05-03..2027-05-07 Vacation now"],
    "personio deleted": ["ended 00000004 None..None now"],
    "personio half-days": [
        (
            "approved 00000005 alex@example.com 2027-05-03..2027-05-07 Vacation now first last "
            "05-03=0.5d 05-04=1d 05-05=1d 05-06=1d 05-07=0.5d"
        )
    ],
    "personio rejected": ["ended 00000003 alex@example.com 2027-05-03..2027-05-07 Vacation now declined"],
    "personio two-hours": ["approved 00000006 alex@example.com 2027-06-14..2027-06-14 Vacation now each=2h"],
    "unifi access-granted": [
        "badge ? b00d40d99ecf by d62e92fd-91aa-44c2-9b36-6d674a4b74d0 at 11-04 04:00:00"
    ],
    "unifi answered-call": ["badge ? b00d40d99ecf by None at 11-04 04:00:00"],
    "unifi button": ["badge ? b00d40d99ecf by None at 11-04 04:00:00"],
    "unifi denied": ["ignored denied"],
    "unifi doorbell": ["ignored other_event"],
    "unifi remote": ["badge ? b00d40d99ecf by None at 11-04 04:00:00"],
    "vacationtracker approved": [
        "approved t-a1b2c3 ira@example.com 2027-03-22..2027-03-24 Paid Time Off now"
    ],
    "vacationtracker cancelled": ["ended t-a1b2c3 ira@example.com 2027-03-22..2027-03-24 Paid Time Off now"],
    "vacationtracker created": [
        "requested t-a1b2c3 ira@example.com 2027-03-22..2027-03-24 Paid Time Off now"
    ],
    "vacationtracker denied": [
        "ended t-a1b2c3 ira@example.com 2027-03-22..2027-03-24 Paid Time Off now declined"
    ],
    "vacationtracker expired": [
        "ended t-a1b2c3 ira@example.com 2027-03-22..2027-03-24 Paid Time Off now declined"
    ],
    "vacationtracker part-day": [
        "approved t-a1b2c3 ira@example.com 2027-03-22..2027-03-22 Paid Time Off now each=0.5d"
    ],
    "vacationtracker part-of-days": [
        (
            "approved t-a1b2c3 ira@example.com 2027-03-22..2027-03-23 Paid Time Off now 03-22=4h "
            "03-23=8h each=0.5d"
        )
    ],
    "vergesense trigger-motion": ["ignored other_event"],
    "vergesense space-availability": ["reading EG7859.43: None, True, at 11-02 22:37:45"],
    "vergesense space-available": ["reading EG7859.43: None, False, at 11-02 23:37:45"],
    "vergesense space-report": ["reading EG7859.43: 3, True, at 11-02 22:31:45"],
    "vergesense space-report-empty": ["reading EG7859.43: 0, False, at 11-02 23:31:45"],
    "vergesense space-without-reference": ["reading 602439: None, False, at 11-02 23:37:45"],
    "vergesense trigger": ["ignored other_event"],
}


def said(event: Event) -> str:
    """An event in one line: its kind, and what Calven's picture depends on."""
    match event:
        case BadgeEvent():
            at = f"{event.at.astimezone(UTC):%m-%d %H:%M:%S}"
            return f"badge {event.direction or '?'} {event.door[-12:]} by {event.person} at {at}"
        case SensorReading():
            return f"reading {event.sensor}: {event.people}, {event.occupied}, at {event.at:%m-%d %H:%M:%S}"
        case LeaveChange():
            flags = ("declined", "open_ended", "first_day_part", "last_day_part")
            set_ones = [name.removesuffix("_day_part") for name in flags if getattr(event, name)]
            words = (
                event.state,
                event.leave_id[-8:] if len(event.leave_id) < 64 else "HASH",
                event.email,
                f"{event.start}..{event.end}",
                event.type_name,
                event.version.replace(NOW, "now")[:10],
                *set_ones,
                *(f"{day.on[5:]}={day.value:g}{day.unit[0]}" for day in event.days),
                event.each_day and f"each={event.each_day.value:g}{event.each_day.unit[0]}",
                event.total and f"total={event.total.value:g}{event.total.unit[0]}",
            )
            return " ".join(word for word in words if word)
        case Ignored():
            return f"ignored {event.reason}"
    return str(event)


def became(vendor: str, payload: Any, name: str | None = None, api: Api | None = None) -> list[str]:
    """What a payload becomes, signed and posted as a sample of that name."""
    record = vendors.load(vendor)
    body = payload.encode() if isinstance(payload, str) else samples.as_body(payload)
    found = webhook(record, name or samples.names(vendor)[0], body)
    parsed = record.parse(found)
    return [said(event) for each in parsed for event in asked(record, each, api or Api(vendor))]


@pytest.mark.parametrize("sample_of", EXPECTED)
def test_samples(sample_of: str) -> None:
    """Each sample is what its vendor's page says that it means."""
    vendor, name = sample_of.split()
    assert [said(event) for event in events(vendor, name)] == EXPECTED[sample_of]


def test_every_sample_is_expected() -> None:
    """No sample is without its line; the first four vendors have files of their own."""
    apart = ("kisi", "verkada", "deel", "hibob")
    known = {f"{vendor} {name}" for vendor in vendors.NAMES for name in samples.names(vendor)}
    known -= {name for name in known if name.split()[0] in apart}
    assert set(EXPECTED) == known - {"gusto handshake"}


CHANGED: list[tuple[str, str, dict[str, Any], list[str]]] = [
    # Brivo: without `securityActions` what speaks of a refusal or of an administrator counts for nobody.
    ("brivo", "access-granted", {"actor": None}, ["badge ? 408023598 by None at 11-02 22:19:03"]),
    ("brivo", "access-granted", {"securityAction__exception": True}, ["ignored denied"]),
    ("brivo", "access-granted", {"securityAction__action": "Invalid card"}, ["ignored denied"]),
    ("brivo", "access-granted", {"objectType": "SITE"}, ["ignored other_event"]),
    # Butlr: types in any case, a place without its id is unreadable.
    (
        "butlr",
        "room-occupancy",
        {"type": "room_occupancy_1min"},
        ["reading room_1: 4, True, at 11-02 22:50:32"],
    ),
    ("butlr", "room-occupancy", {"data": 0}, ["reading room_1: 0, False, at 11-02 22:50:32"]),
    # Disruptive Technologies: nanoseconds are cut.
    (
        "disruptive",
        "desk-free",
        {"event__timestamp": "2026-11-02T22:41:12.108482999Z"},
        ["reading emudeskoccupancy01: None, False, at 11-02 22:41:12"],
    ),
    # Envoy: the location of an app's body stands in for the entry's.
    (
        "envoy",
        "employee-sign-in",
        {"payload__relationships": {}},
        ["badge in loc-sydney by 50120 at 11-02 22:30:00"],
    ),
    # VergeSense: signs of life make a space occupied that counts nobody; ids may have spaces around them.
    (
        "vergesense",
        "space-report",
        {"person_count": 0, "space_ref_id": " EG7859.43 "},
        ["reading EG7859.43: 0, True, at 11-02 22:31:45"],
    ),
    (
        "vergesense",
        "space-report",
        {"person_count": None},
        ["reading EG7859.43: None, True, at 11-02 22:31:45"],
    ),
    # UniFi: the other word for a granted access.
    (
        "unifi",
        "access-granted",
        {"data__object__result": "ACCESS", "data__actor": None},
        ["badge ? b00d40d99ecf by None at 11-04 04:00:00"],
    ),
    # Factorial: half a day at one end of several, hours, and a leave that was deleted.
    (
        "factorial",
        "approve",
        {"half_day": "end_of_day"},
        ["approved 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-03 first"],
    ),
    (
        "factorial",
        "approve",
        {"hours_amount_in_cents": 200, "finish_on": "2027-06-07"},
        ["approved 71001 jo@example.com 2027-06-07..2027-06-07 Holidays 2026-11-03 total=2h"],
    ),
    (
        "factorial",
        "approve",
        {"deleted_at": "2026-11-05T00:00:00Z"},
        ["ended 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-05"],
    ),
    # Merge: hours of a day; a status in small letters; an employee that it does not name.
    (
        "merge",
        "approved",
        {
            "data__units": "HOURS",
            "data__amount": 2,
            "data__end_time": "2027-07-05T11:00:00Z",
            "data__status": "approved",
        },
        ["approved 00000001 pat@example.com 2027-07-05..2027-07-05 VACATION 2026-11-03 total=2h"],
    ),
    (
        "merge",
        "approved",
        {"data__employee": None},
        ["approved 00000001 2027-07-05..2027-07-09 VACATION 2026-11-03 total=5d"],
    ),
    # Merge: whole days counted in hours, half a day, and the end of what was never approved.
    (
        "merge",
        "approved",
        {"data__units": "HOURS", "data__amount": 40},
        ["approved 00000001 pat@example.com 2027-07-05..2027-07-09 VACATION 2026-11-03 total=40h"],
    ),
    (
        "merge",
        "approved",
        {"data__amount": 0.5, "data__end_time": "2027-07-05T00:00:00Z"},
        ["approved 00000001 pat@example.com 2027-07-05..2027-07-05 VACATION 2026-11-03 total=0.5d"],
    ),
    (
        "merge",
        "deleted",
        {"data__status": "REQUESTED"},
        ["ended 00000001 pat@example.com 2027-07-05..2027-07-09 VACATION 2026-11-04 declined total=5d"],
    ),
    # Factorial: whole days counted in hours, and a pending leave that is deleted.
    (
        "factorial",
        "approve",
        {"hours_amount_in_cents": 4000},
        ["approved 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-03"],
    ),
    (
        "factorial",
        "delete",
        {"approved": None},
        ["ended 71001 jo@example.com 2027-06-07..2027-06-11 Holidays 2026-11-04 declined"],
    ),
    # KeyPay: the end of a request without its dates.
    (
        "keypay",
        "approved",
        {"Notifications": [{"Action": "x", "Id": 3001, "EmployeeId": 21, "Status": "Deleted"}]},
        ["ended 3001 ash@example.com None..None /0000"],
    ),
    # Paylocity: several days by the clock are whole ones.
    (
        "paylocity",
        "approved",
        {
            "timeOffEndDate": "2027-02-18T16:00:00-06:00",
            "hoursPerDay": 24.0,
            "employeeWorkEMailAddress": None,
        },
        ["approved HASH 2027-02-16..2027-02-18 now each=24h"],
    ),
    # PeopleForce: hours.
    (
        "peopleforce",
        "approve",
        {"data__attributes__unit": "hours"},
        ["approved 1062480 lee@example.com 2027-08-02..2027-08-03 Vacation 2026-11-03 08-02=1h 08-03=1h"],
    ),
    # Vacation Tracker: the end of what was approved before, and a refusal that says nothing of before.
    (
        "vacationtracker",
        "denied",
        {"wasApprovedBeforeAction": True},
        ["ended t-a1b2c3 ira@example.com 2027-03-22..2027-03-24 Paid Time Off now"],
    ),
    (
        "vacationtracker",
        "denied",
        {"wasApprovedBeforeAction": None},
        ["ended t-a1b2c3 ira@example.com 2027-03-22..2027-03-24 Paid Time Off now declined"],
    ),
]


@pytest.mark.parametrize(("vendor", "name", "changes", "lines"), CHANGED)
def test_changed(vendor: str, name: str, changes: dict[str, Any], lines: list[str]) -> None:
    """What else decides what a payload means."""
    assert became(vendor, sample(vendor, name, **changes), name) == lines


@pytest.mark.parametrize(
    ("vendor", "name", "changes", "told"),
    [
        ("butlr", "room-occupancy", {"metadata": {}}, "metadata"),
        ("disruptive", "contact", {"event__data": {"contact": {"state": "AJAR"}}}, "state: unknown"),
        ("disruptive", "motion", {"event__timestamp": "soon"}, "timestamp"),
        ("envoy", "sign-out", {"payload__attributes__signed-out-at": None}, "signed-out-at"),
        ("envoy", "sign-in", {"payload__relationships": None}, "location"),
        ("envoy", "sign-in", {"event": ""}, "event: missing"),
        ("genea", "access-granted", {"controller": None}, "door"),
        ("generic", "leave-approved", {"state": "gone"}, "state"),
        ("generic", "reading", {"people": None, "occupied": None}, "value_error"),
        ("keypay", "approved", {"Notifications": [{"Id": 1, "FromDate": "2027-01-01"}]}, "EmployeeId"),
        ("merge", "approved", {"data__status": "Away"}, "status: unknown"),
        ("peopleforce", "create-pending", {"data__attributes__state": "odd"}, "state: unknown"),
        ("vacationtracker", "approved", {"status": "?"}, "status: unknown"),
        ("vergesense", "space-report", {"person_count": None, "signs_of_life": None}, "person_count"),
    ],
)
def test_unreadable(vendor: str, name: str, changes: dict[str, Any], told: str) -> None:
    """What a vendor's page does not document is refused by field and rule, not guessed."""
    with pytest.raises(Unparseable, match=told):
        became(vendor, sample(vendor, name, **changes), name)


@pytest.mark.parametrize(
    ("vendor", "file", "changes", "told"),
    [
        ("doorflow", "admitted", {"door_controller_id": None, "channel_id": None}, "door_controller_id"),
        ("doorflow", "admitted", {"event_code": None}, "event_code"),
        ("gusto", "approved", {"status": "lost"}, "status: unknown"),
        ("gusto", "approved", {"employee": None}, "employee"),
        ("gusto", "approved", {"days": 7}, "days"),
        ("personio", "approved", {"approval": {"status": "LOST"}}, "approval.status: unknown"),
        ("personio", "approved", {"starts_from": None}, "starts_from"),
    ],
)
def test_unreadable_answers(vendor: str, file: str, changes: dict[str, Any], told: str) -> None:
    """What a vendor's API answers is read as strictly as what it posts."""
    with pytest.raises(Unparseable, match=told):
        events(vendor, file, Api(vendor, lambda answer: {**unwrapped(answer), **changes}))


def test_brivo_security_actions() -> None:
    """A source that lists the actions which let somebody in takes those, and no other."""
    for action, reason in ((2004, None), (5064, "other_event")):
        payload = sample("brivo", "administrator-pulse", securityAction__securityActionId=action)
        found = Webhook(
            body=samples.as_body(payload), received_at=NOON, counting=Counting(security_actions=(2004,))
        )
        (event,) = vendors.load("brivo").parse(found)
        assert (event.reason if isinstance(event, Ignored) else None) == reason


def test_one_unreadable_of_several() -> None:
    """An entry that cannot be read costs no other: it becomes a body of its own."""
    payload = sample("keypay", "several")
    payload["Notifications"][0]["Status"] = "Lost"
    first, second, third = vendors.load("keypay").parse(Webhook(body=samples.as_body(payload), received_at=0))
    assert isinstance(first, MalformedEvent)
    assert first.detail == "Status: unknown"
    with pytest.raises(Unparseable, match=r"^Status: unknown$"):
        became("keypay", first.body)
    assert [type(second).__name__, type(third).__name__] == ["ThinEvent", "Ignored"]


def test_attempt_is_no_part_of_the_id() -> None:
    """KeyPay's second attempt is the same event as the first."""
    ids = [{event.event_id for event in events("keypay", name)} for name in ("approved", "second-attempt")]
    assert ids[0] == ids[1]


def test_acknowledgement() -> None:
    """DoorFlow is asked with the token that acknowledges the notification."""
    api = Api("doorflow")
    events("doorflow", "admitted", api)
    assert api.asked == ["/api/3/events/123456789?ack_token=ack-123456789"]


def test_gone() -> None:
    """What DoorFlow does not have any more is nobody's passage."""
    payload = sample("doorflow", "admitted")
    payload[0]["resource_id"] = 5
    assert became("doorflow", payload) == ["ignored gone"]


def test_unknown_topic() -> None:
    """A topic that nothing is known of is refused; without one the leave itself says what it is."""
    record = vendors.load("factorial")
    body = samples.body("factorial", "approve")
    with pytest.raises(Unparseable, match="URL"):
        record.parse(Webhook(body=body, received_at=NOON, topic="x"))
    (event,) = record.parse(Webhook(body=body, received_at=NOON))
    assert said(asked(record, event, Api("factorial"))[0]).startswith("approved 71001 jo@example.com")


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b'{"verification_token": "t"}', "t"),
        (b'{"verification_token": "t", "x": 1}', None),
        (b'{"verification_token": 7}', None),
        (b'{"verification_token": ""}', None),
        (b'["verification_token"]', None),
        (b'{"verification_token"', None),
        (b'{"verification_token": "' + b"t" * 1000 + b'"}', None),
    ],
)
def test_gusto_handshake(body: bytes, token: str | None) -> None:
    """Only a body that hands over a token, and nothing else, is a handshake."""
    assert vendors.load("gusto").handshake(body) == token
