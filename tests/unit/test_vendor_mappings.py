"""What decides what a payload becomes, in one line each. The samples' own meaning is in `events/`."""

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
from relay.vendors.support.thin import unwrapped
from relayctl import samples
from tests.recorded import Api, asked, events, webhook
from tests.rig import NOON, sample

NOW = iso(NOON)
"""What stands for a time that the payload does not have: `now` below."""


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
    parsed = record.read(found)
    return [said(event) for each in parsed for event in asked(record, each, api or Api(vendor))]


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
        ["badge in loc-sydney by robin@example.com at 11-02 22:30:00"],
    ),
    # Milesight: local time is the zone's, an hour less in summer time; the total goes before other counts.
    (
        "milesight",
        "count-of-regions",
        {"time_info__timezone": "UTC-3:30 (NST)", "time_info__dst_status": True},
        ["reading 369362028335: 10, True, at 11-03 12:19:35"],
    ),
    (
        "milesight",
        "region-data",
        {
            "current_total": 0,
            "line_total_data": None,
            "region_trigger_data": None,
            "time_info__dst_status": None,
        },
        ["reading 6384E16179950009: 0, False, at 11-02 22:49:35"],
    ),
    ("milesight", "occupancy", {"occupancy": []}, ["reading 369362028335: None, False, at 11-02 22:52:35"]),
    (
        "milesight",
        "occupancy",
        {"time_info__timezone": "UTC"},
        ["reading 369362028335: None, True, at 11-03 09:52:35"],
    ),
    (
        "milesight",
        "occupancy",
        {"time_info__timezone": "GMT+8"},
        ["reading 369362028335: None, True, at 11-03 01:52:35"],
    ),
    # Nuki: an entry beside the feature, and one that a phone over Bluetooth made.
    (
        "nuki",
        "device-status",
        {
            "feature": "DEVICE_LOGS",
            "state": None,
            "autoUnlock": None,
            "id": "e1",
            "action": 1,
            "trigger": 0,
            "authId": " a1 ",
            "date": "2026-11-02T22:49:35Z",
        },
        ["badge ? 123456789 by a1 at 11-02 22:49:35"],
    ),
    # PDK: the topic in any case, a refusal of any kind.
    ("pdk", "allowed", {"topic": "Device.Request.Allowed"}, ["badge ? 12 by 4711 at 11-02 22:49:35"]),
    ("pdk", "allowed", {"topic": "device.request.ecard.denied"}, ["ignored denied"]),
    ("pdk", "allowed", {"topic": "device.request.filtered"}, ["ignored denied"]),
    ("pdk", "allowed", {"topic": "device.alarm.forced"}, ["ignored door_state"]),
    # Seam: what was remote in older events; who is known to the access system goes before a code.
    ("seam", "by-code", {"method": "seamapi"}, ["ignored remote"]),
    (
        "seam",
        "by-code",
        {"method": "remote", "is_via_nfc": True, "acs_user_id": "u1"},
        ["badge ? 0000000000d1 by u1 at 11-02 22:49:35"],
    ),
    # VergeSense: signs of life make a space occupied that counts nobody; ids may have spaces around them.
    (
        "vergesense",
        "space-report",
        {"person_count": 0, "space_ref_id": " EG7859.43 "},
        ["reading EG7859.43: None, True, at 11-02 22:31:45"],
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
        ("milesight", "count-of-regions", {"time_info__timezone": None}, "time_info"),
        ("milesight", "in-and-out", {"time_info__end_time": "2026-11-03T09:49:35"}, "time_info"),
        ("nuki", "at-keypad", {"smartlockLog__trigger": 9}, "trigger: unknown"),
        ("nuki", "at-keypad", {"smartlockLog__smartlockId": None}, "smartlockId"),
        ("pdk", "allowed-by-name", {"metadata__deviceName": " "}, "metadata.deviceName"),
        ("pdk", "allowed", {"metadata__occurred": "yesterday"}, "occurred"),
        ("seam", "by-code", {"device_id": None}, "device_id"),
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
        (event,) = vendors.load("brivo").read(found)
        assert (event.reason if isinstance(event, Ignored) else None) == reason


def test_one_unreadable_of_several() -> None:
    """An entry that cannot be read costs no other: it becomes a body of its own."""
    payload = sample("keypay", "several")
    payload["Notifications"][0]["Status"] = "Lost"
    first, second, third = vendors.load("keypay").read(Webhook(body=samples.as_body(payload), received_at=0))
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
        record.read(Webhook(body=body, received_at=NOON, topic="x"))
    (event,) = record.read(Webhook(body=body, received_at=NOON))
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
        (b'{"verification_token": "\\ud800abcdefgh"}', None),
        (b'{"verification_token": "abcd\\u001b[31m"}', None),
        ('{"verification_token": "abcdefgé"}'.encode(), None),
    ],
)
def test_gusto_handshake(body: bytes, token: str | None) -> None:
    """Only a body that hands over a token in plain characters, and nothing else, is a handshake."""
    assert vendors.load("gusto").handshake(body) == token
