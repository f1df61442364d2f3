"""The environment is read as one typed model, which reports all that is wrong with it together."""

import pytest

from relay.settings import InvalidEnvironment, read

COMPLETE = {
    "STACK_NAME": "relay",
    "TABLE_NAME": "table",
    "UNPROCESSED_QUEUE_URL": "https://sqs.test/unprocessed",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead",
    "CALVEN_BASE_URL": "https://api.calven.com",
}


def test_defaults() -> None:
    """What the template may leave out has a default; the rest of the environment is nobody's business."""
    found = read({**COMPLETE, "AWS_REGION": "ap-southeast-2"})
    assert found.model_dump(mode="json") == {
        "stack_name": "relay",
        "table_name": "table",
        "unprocessed_queue_url": "https://sqs.test/unprocessed",
        "dead_letter_queue_url": "https://sqs.test/dead",
        "calven_base_url": "https://api.calven.com",
        "reconcile_queue_url": "",
        "occupancy_reset_queue_url": "",
        "forward_mode": "direct",
        "front_door_sha256": "",
        "retry_base_seconds": 30,
    }


def test_all_given() -> None:
    """Mode and waits are what the environment says."""
    found = read({**COMPLETE, "FORWARD_MODE": "queued", "RETRY_BASE_SECONDS": "0.5"})
    assert (found.forward_mode, found.retry_base_seconds) == ("queued", 0.5)


def test_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument it is the process's environment that is read."""
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    assert read().table_name == "table"


def test_everything_missing() -> None:
    """One message names every variable that is missing."""
    with pytest.raises(InvalidEnvironment) as invalid:
        read({})
    assert str(invalid.value) == "; ".join(f"{name}: Field required" for name in COMPLETE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STACK_NAME", ""),
        ("CALVEN_BASE_URL", "api.calven.com"),
        ("CALVEN_BASE_URL", "ftp://api.calven.com"),
        ("CALVEN_BASE_URL", "https://"),
        ("CALVEN_BASE_URL", "https://api.calven.com:x"),
        ("CALVEN_BASE_URL", "https://api.calven.com?region=usce1"),
        ("FORWARD_MODE", "later"),
        ("RETRY_BASE_SECONDS", "0"),
        ("RETRY_BASE_SECONDS", "901"),
        ("RETRY_BASE_SECONDS", "nan"),
        ("RETRY_BASE_SECONDS", "soon"),
    ],
)
def test_wrong_value(name: str, value: str) -> None:
    """A wrong value is told by its variable, together with what is missing."""
    environment = {**COMPLETE, name: value}
    del environment["TABLE_NAME"]
    with pytest.raises(InvalidEnvironment) as invalid:
        read(environment)
    problems = str(invalid.value).split("; ")
    assert [problem.partition(":")[0] for problem in problems] == sorted(
        (name, "TABLE_NAME"), key=[*COMPLETE, "FORWARD_MODE", "RETRY_BASE_SECONDS"].index
    )
