"""An answer of the flag, and what LaunchDarkly's migration metrics are told of the task that it was for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ldclient.migrations import Operation, OpTracker, Origin

from gateway.routing.flag_document import Json
from gateway.routing.stages import REDIS, Stage


@dataclass(frozen=True, slots=True)
class FlagEvaluation:
    """What the flag says for one task.

    `known` is False when there was nothing to evaluate (no flag service, no file, no such flag): the stage is then
    `off`. `reason` is the SDK's evaluation reason. `last_known`: nobody says anything of the flag now, and it is the
    one that was in force before.
    """

    stage: Stage
    known: bool
    tracker: OpTracker | None = None
    reason: Json | None = None
    last_known: bool = False

    @property
    def is_default(self) -> bool:
        """Whether the flag's default decided: nothing else is set for this task."""
        return (self.reason or {}).get("kind") == "FALLTHROUGH"


def dispatched(tracker: OpTracker, backend: str, latency: timedelta, *, failed: bool) -> OpTracker:
    """How a dispatch went: a write, with latency and errors by origin (`old` is Redis, `new` any other backend)."""
    origin = Origin.OLD if backend == REDIS else Origin.NEW
    tracker.operation(Operation.WRITE).invoked(origin).latency(origin, latency)
    return tracker.error(origin) if failed else tracker


def compared(
    tracker: OpTracker, *, is_consistent: bool, redis: timedelta | None, temporal: timedelta | None
) -> OpTracker:
    """How a task compares on both backends: a read of both, in LaunchDarkly's terms.

    `redis`, `temporal`: how long the task, and its probe, waited for a worker. A difference counts as an error of the
    new origin.
    """
    tracker.operation(Operation.READ).consistent(lambda: is_consistent)
    for origin, latency in ((Origin.OLD, redis), (Origin.NEW, temporal)):
        tracker.invoked(origin)
        if latency is not None:
            tracker.latency(origin, latency)
    return tracker if is_consistent else tracker.error(Origin.NEW)
