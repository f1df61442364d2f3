"""The faults, one after another: what each does, and how often while it lasts."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

from chaos.stage import Stage

TICK_SECONDS = 1.0
CALVEN_MODES = ("503", "hang", "garbage", "reset", "429", "500")


@dataclass(frozen=True)
class Fault:
    """A fault by name: `begin` once, then `again` each second; recovery ends it."""

    name: str
    begin: Callable[[Stage], None] = lambda _: None
    again: Callable[[Stage], None] = lambda _: None
    weight: float = 1.0


def calven(mode: str, **order: object) -> Callable[[Stage], None]:
    """Calven fails in a way, until it is told otherwise."""
    return lambda stage: stage.calven("fail", {"mode": mode, **order})


def aws(service: str, mode: str, share: float = 1.0) -> Callable[[Stage], None]:
    """One of AWS's services fails."""
    return lambda stage: stage.break_aws(service, mode, share)


def both(*acts: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """Several at once."""

    def act(stage: Stage) -> None:
        for each in acts:
            each(stage)

    return act


def restart(stage: Stage) -> None:
    """The relay's process is killed, and another one started."""
    stage.kill_front()
    stage.start_front()


def _rotate(stage: Stage) -> None:
    stage.rotate("kisi", "access-control")
    stage.rotate("deel", "hris")


_modes = cycle(CALVEN_MODES)


def _another_mode(stage: Stage) -> None:
    mode = next(_modes)
    stage.calven("fail", {"mode": mode, "count": 3, **({"retryAfter": 1} if mode == "429" else {})})


FAULTS = (
    Fault("none"),
    Fault("Calven 500", calven("500")),
    Fault("Calven 503", calven("503")),
    Fault("Calven 429, Retry-After 2", calven("429", retryAfter=2)),
    Fault("Calven hangs", calven("hang"), weight=2),
    Fault("Calven resets", calven("reset")),
    Fault("Calven unreadable 200", calven("garbage")),
    Fault("Calven loses results", calven("missing-results")),
    Fault("Calven's tokens expire", again=lambda stage: stage.calven("expire-tokens")),
    Fault("Calven refuses all", calven("400")),
    Fault("SQS throttles", both(calven("503"), aws("sqs", "throttle", 0.7))),
    Fault("SQS refuses", both(calven("503"), aws("sqs", "500"))),
    Fault("SQS hangs", both(calven("503"), aws("sqs", "hang", 0.5))),
    Fault("DynamoDB throttles", aws("dynamodb", "throttle", 0.5)),
    Fault("DynamoDB conflicts", aws("dynamodb", "conflict", 0.5)),
    Fault("DynamoDB hangs", aws("dynamodb", "hang", 0.1)),
    Fault("Secrets Manager fails, cold", both(aws("secretsmanager", "500"), restart)),
    Fault("secrets rotate", _rotate),
    Fault("relay killed", again=restart, weight=2),
    Fault(
        "all together",
        both(
            aws("sqs", "throttle", 0.2),
            aws("dynamodb", "throttle", 0.1),
            aws("dynamodb", "conflict", 0.1),
            aws("dynamodb", "reset", 0.05),
            aws("secretsmanager", "throttle", 0.3),
        ),
        again=_another_mode,
        weight=3,
    ),
)


class Injection:
    """A fault while it lasts: `with Injection(stage, fault):`."""

    def __init__(self, stage: Stage, fault: Fault) -> None:
        self._stage, self._fault = stage, fault
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failed: Exception | None = None

    def __enter__(self) -> None:
        self._fault.begin(self._stage)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._stage.recover()
        if self.failed:
            raise self.failed

    def _run(self) -> None:
        try:
            while not self._over.wait(TICK_SECONDS):
                self._fault.again(self._stage)
        except Exception as error:  # noqa: BLE001 - raised again where the run is led
            self.failed = error
