"""What is counted and timed of tasks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from opentelemetry.metrics import Counter, Histogram, Meter

from gateway.access.placement import Tier
from gateway.observability.labels import Labels
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import StartPlan

#: Upper bounds of buckets (seconds).
WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800)
DISPATCHES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)
RUNS = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600)

#: Sets of labels of counters and of histograms, which have a series per bucket. With those of type `other` beside them
#: a process has fewer than 5,000 series.
COUNTED_SETS, TIMED_SETS = 160, 36

#: A row of PostgreSQL, or a mapping like it.
Row = Any


class TaskMetrics:
    """Counters by backend, stage, tier and type; histograms without the stage. See `docs/observability.md`."""

    def __init__(self, meter: Meter, *, known_types: Collection[str], tenants: Collection[str]) -> None:
        self._counted = Labels(known_types, tenants, sets=COUNTED_SETS)
        self._timed = Labels(known_types, sets=TIMED_SETS)

        def counter(name: str, description: str) -> Counter:
            return meter.create_counter(f"taskgate.tasks.{name}", description=description)

        def histogram(name: str, bounds: Sequence[float], description: str) -> Histogram:
            return meter.create_histogram(
                f"taskgate.task.{name}", "s", description, explicit_bucket_boundaries_advisory=bounds
            )

        self._accepted = counter("accepted", "Tasks that this gateway accepted")
        self._started = counter("started", "Runs that workers began")
        self._completed = counter("completed", "Tasks that completed")
        self._stopped = counter("stopped", "Tasks that were stopped")
        self._dead = counter("dead", "Tasks that failed for good: dead letters")
        self._failed = counter("failed", "Runs that failed")
        self._retried = counter("retried", "Repetitions: failed runs after which the task goes on by itself")
        self._interrupted = counter("interrupted", "Runs that ended without a result: their worker was lost or drained")
        self._wait = histogram("wait", WAITS, "From when a task was due to its first run")
        self._dispatch = histogram("dispatch", DISPATCHES, "From when a task was due until its engine had it")
        self._run = histogram("run", RUNS, "Last run of a completed task")
        self._total = histogram("end_to_end", RUNS, "From when a task was due to its completion")

    def accepted(self, tasks: Sequence[NewTask], plans: Sequence[StartPlan]) -> None:
        """These tasks were committed, with these plans."""
        # A batch has thousands of few kinds; each `add` costs more than to count them here.
        kinds = Tally(
            (task.task_type, task.placement.tenant_id, plan.backend, plan.stage, task.placement.tier)
            for task, plan in zip(tasks, plans, strict=True)
        )
        for (task_type, tenant_id, backend, stage, tier), number in kinds.items():
            labels = self._counted.of(task_type, tenant_id, backend=backend, stage=stage, tier=tier.value)
            self._accepted.add(number, labels)

    def began(self, row: Row) -> None:
        """A run began (`tally.sql:began`)."""
        self._started.add(1, self._labels(row))
        if row["wait"] is not None:
            timed = self._timed_labels(row)
            self._wait.record(max(row["wait"], 0.0), timed)
            self._dispatch.record(max(row["dispatch"], 0.0), timed)

    def ended(self, row: Row) -> None:
        """A task ended, or a run whose task goes on (`tally.sql:ended`)."""
        labels = self._labels(row)
        if row["run_failed"]:
            self._failed.add(1, labels)
        match row["outcome"]:
            case "completed":
                self._completed.add(1, labels)
                timed = self._timed_labels(row)
                if row["total"] is not None:
                    self._total.record(max(row["total"], 0.0), timed)
                if row["run"] is not None:
                    self._run.record(max(row["run"], 0.0), timed)
            case "stopped":
                self._stopped.add(1, labels)
            case "failed":
                self._dead.add(1, labels)
            case "failed_run":
                self._retried.add(1, labels)
            case "lost_run":
                self._interrupted.add(1, labels)

    def _labels(self, row: Row) -> Mapping[str, str]:
        tier = Tier.of_plan(row["plan"]).value
        return self._counted.of(
            row["task_type"], row["tenant_id"], backend=row["backend"], stage=row["stage"], tier=tier
        )

    def _timed_labels(self, row: Row) -> Mapping[str, str]:
        return self._timed.of(row["task_type"], backend=row["backend"], tier=Tier.of_plan(row["plan"]).value)
