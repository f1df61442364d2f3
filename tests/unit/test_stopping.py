"""What a command does that is told to stop, wherever the signal finds it."""

import signal
import sys
import time
from collections.abc import Iterator

import pytest

from relayctl import stopping


class Held:
    """Something in whose end a signal comes: what is raised there, Python drops and prints."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        """Python calls it when nobody holds this any more."""
        signal.raise_signal(self._number)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT as it is on a terminal: whoever started the tests may have ignored it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def hold_something(number: int) -> None:
    """Let go of something, and wait far longer than a signal takes."""
    with stopping.at_once():
        Held(number)
        time.sleep(30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_in_a_destructor(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A signal that comes where nothing can be raised ends the command all the same, and prints nothing."""
    expected = KeyboardInterrupt if number == signal.SIGINT else stopping.Stopped
    with pytest.raises(expected) as raised:
        hold_something(number)
    if isinstance(raised.value, stopping.Stopped):
        assert raised.value.code == 128 + number
    assert capsys.readouterr().err == ""


def test_other_errors_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else goes wrong in a destructor is said as Python says it."""
    said: list[object] = []

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("an error of its own")

    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: said.append(dropped.exc_value))
    with stopping.at_once():
        Faulty()
    assert [str(error) for error in said] == ["an error of its own"]


def test_handlers_are_put_back() -> None:
    """Afterwards signals do what they did before, and what is ignored stays so all the while."""
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with stopping.at_once():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGHUP, ignored)
