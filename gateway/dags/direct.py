"""Direct starts: the process that opens nodes starts them itself, so that chains do not wait for a dispatcher's look.

Only in the simple case: few tasks with a handler, no rule that holds tasks back, and an engine with nothing else to do.
All other tasks are left to dispatchers, which know the other tasks that wait.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from backends.port import RetryPolicy
from gateway.dags.batch import RunFacts
from gateway.dags.workflows import DAG_OF_TYPE
from gateway.dispatch.engine_start import StartBuilder
from gateway.dispatch.lane import Lane
from gateway.dispatch.queues import queue_of
from gateway.routing.rules import WORKFLOW
from gateway.submission.new_task import NewTask, first_ref
from gateway.submission.start_plan import StartPlan, plan_to_start
from gateway.tasks.payload import size_of

#: Starts that a step makes itself, and that are under way there at once.
FEW = 4


class DirectStarts:
    """Plans them; `lane` is that of the engine which carries out runs, `task_types` have a handler in this process."""

    def __init__(self, lane: Lane, task_types: Collection[str], retry: RetryPolicy) -> None:
        self._lane = lane
        # What a tenant may have carried out as a DAG is for dispatchers, too.
        self._task_types = frozenset(task_types) - DAG_OF_TYPE.keys()
        self._starts = StartBuilder(queue_of, retry)

    def plan(self, run: RunFacts, tasks: Sequence[NewTask]) -> list[StartPlan] | None:
        """The start plans of these nodes; None: left to dispatchers."""
        if not tasks or run.held_back or self._lane.is_down or self._lane.pending + len(tasks) > FEW:
            return None
        if any(task.task_type not in self._task_types or task.held is not None for task in tasks):
            return None
        return [self._plan(run, task) for task in tasks]

    def _plan(self, run: RunFacts, task: NewTask) -> StartPlan:
        start = self._starts.build(
            first_ref(task), task.payload, task.placement, priority=task.priority, weight=run.weight, retry=task.retry
        )
        return plan_to_start(
            self._lane.engine.name,
            run.stage or "",
            start,
            rule=WORKFLOW,
            entry_id=run.entry_id,
            size=size_of(task.payload),
        )
