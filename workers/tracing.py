"""Spans of a worker: `process` for each run of a task, and `settle` for the report of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from opentelemetry.trace import SpanKind

from gateway.observability.traces import Tracing, failed
from workers.outcome import Assignment, Completed, Failed, Outcome, TaskRunner

if TYPE_CHECKING:
    from gateway.tasks.lifecycle.claim import FailureVerdict
    from gateway.tasks.lifecycle.transitions import Transitions


class TracedRunner:
    """A runner whose runs are spans, which what handlers do belongs to: requests, statements, further tasks."""

    def __init__(self, runner: TaskRunner, tracing: Tracing) -> None:
        self._runner = runner
        self._tracing = tracing

    async def run(self, assignment: Assignment) -> Outcome:
        """As the runner's."""
        attributes = {
            "messaging.message.id": assignment.task_id,
            "messaging.destination.name": assignment.task_type,
            "taskgate.backend": assignment.backend,
            "taskgate.task.type": assignment.task_type,
        }
        with self._tracing.operation(
            "process", assignment.task_type, SpanKind.CONSUMER, assignment.trace, attributes
        ) as span:
            outcome = await self._runner.run(assignment)
            if isinstance(outcome, Failed):
                failed(span, outcome.error_type)
            elif not isinstance(outcome, Completed):
                span.set_attribute("taskgate.outcome", type(outcome).__name__.lower())
            return outcome


class SettledTransitions:
    """Transitions whose reports of ends are spans, inside the run's."""

    def __init__(self, transitions: Transitions, tracing: Tracing) -> None:
        self._transitions = transitions
        self._tracing = tracing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transitions, name)

    async def complete(self, task_id: str, attempt: int, result: str | None = None) -> bool:
        """As `Transitions.complete`."""
        with self._tracing.step("settle", "completed", task_id):
            return await self._transitions.complete(task_id, attempt, result)

    async def fail(self, task_id: str, attempt: int, error: str, **more: Any) -> FailureVerdict | None:
        """As `Transitions.fail`."""
        with self._tracing.step("settle", "failed", task_id):
            return await self._transitions.fail(task_id, attempt, error, **more)


def settled(transitions: Transitions, tracing: Tracing | None) -> Transitions:
    """The transitions, whose reports are traced if anything is."""
    return transitions if tracing is None else cast("Transitions", SettledTransitions(transitions, tracing))
