"""Counters of what one gateway process itself does beside its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.metrics import Meter

if TYPE_CHECKING:  # it brings LaunchDarkly's SDK, which a worker does without
    from gateway.routing.flag_evaluation import FlagEvaluation

FACES = ("http", "grpc")
#: Kind and backend of every process that has a lease.
LEASED = (("gateway", None), ("worker", "redis"), ("worker", "temporal"))


class ProcessCounters:
    """Each method counts one thing; it fits as a callback of who does it."""

    def __init__(self, meter: Meter) -> None:
        self._leases = meter.create_counter(
            "taskgate.leases.lost", description="Processes that this leader declared lost"
        )
        self._corrections = meter.create_counter(
            "taskgate.reconciler.corrections", description="Tasks that this leader put right, by what was wrong"
        )
        self._requests = meter.create_counter(
            "taskgate.requests", description="Requests that change something, by face and outcome"
        )
        self._evaluations = meter.create_counter(
            "taskgate.flag.evaluations", description="Evaluations of the migration flag, by stage"
        )
        self._deletions = meter.create_counter(
            "taskgate.retention.deleted", description="Rows that this leader deleted because they were old, by table"
        )
        # An increase is only seen of a series that was there before, with the very same labels.
        for face in FACES:
            for outcome in ("answered", "failed"):
                self._requests.add(0, {"face": face, "outcome": outcome})
        for kind, backend in LEASED:
            self._leases.add(0, _leased(kind, backend))
        for what in ("began", "ended", "recovered", "stopped", "completed", "deleted", "ended by engine"):
            self._corrections.add(0, {"what": what})
        for table in ("dispatch", "task_logs", "firing", "operation", "idempotency"):
            self._deletions.add(0, {"table": table})

    def deleted(self, table: str, rows: int) -> None:
        if rows:
            self._deletions.add(rows, {"table": table})

    def answered(self, face: str, *, failed: bool) -> None:
        """A request over `http` or `grpc`; `failed`: through a fault of the gateway or of what it needs."""
        self._requests.add(1, {"face": face, "outcome": "failed" if failed else "answered"})

    def lease_lost(self, kind: str, backend: str | None) -> None:
        self._leases.add(1, _leased(kind, backend))

    def corrected(self, what: str, tasks: int) -> None:
        if tasks:
            self._corrections.add(tasks, {"what": what})

    def evaluated(self, evaluation: FlagEvaluation) -> None:
        self._evaluations.add(1, {"stage": evaluation.stage.value if evaluation.known else "unknown"})


def _leased(kind: str, backend: str | None) -> dict[str, str]:
    return {"kind": kind, "backend": backend or ""}
