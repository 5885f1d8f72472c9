"""`taskgate.dag`: the one workflow that carries out any DAG.

It decides what is next (`state`); what it decides is done by local activities, each one transaction in PostgreSQL that
may be repeated. Nodes are ordinary tasks; gateways tell this workflow of their ends with the signal `ended`.
Deterministic, like `workers.temporal.workflows`: a change goes behind `workflow.patched`, the histories of older runs
are replayed by the tests.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from backends.temporal import names
    from backends.temporal.messages import RunDag
    from workers.temporal.dag import step_names as steps
    from workers.temporal.dag.state import RunState

_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)
_STEP_TIMEOUT = timedelta(seconds=60)
#: A pause that is longer is a timer of Temporal: any worker may try next. The one that tried last may be leaving.
_KEEP = timedelta(seconds=1)


class _Over(Exception):
    """This workflow no longer owns the run: it was stopped, or started again."""


@workflow.defn(name=names.RUN_DAG)
class DagWorkflow:
    """Carries out one run of a DAG; returns how it ended."""

    def __init__(self) -> None:
        self._events: list[list[Any]] = []
        self._most_events = 0

    @workflow.signal(name=names.DAG_ENDED)
    def ended(self, events: list[list[Any]]) -> None:
        """Nodes ended; told at least once."""
        self._events.extend(events)

    @workflow.update(name=names.DAG_TOLD)
    def told(self, events: list[list[Any]]) -> None:
        """As `ended`; an update arrives sooner than a signal."""
        self._events.extend(events)

    @workflow.run
    async def run(self, message: RunDag) -> dict[str, Any]:
        try:
            return await self._carry_out(message)
        except _Over:
            return {"outcome": "over"}
        except ActivityError as error:
            cause = error.cause
            reason = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
            return await self._finish(message, "failed", f"The DAG could not be carried on: {reason}")

    async def _carry_out(self, message: RunDag) -> dict[str, Any]:
        snapshot = await self._step(steps.BEGIN, message.run_id, message.epoch)
        state = RunState(snapshot)
        state.items_wait_for_needs = workflow.patched("items-wait-for-needs")
        # Temporal warns at 10,240 events of a history, and ends a workflow at 51,200.
        self._most_events = workflow.info().get_current_history_length() + snapshot["most_events"]
        deadline = snapshot["deadline"] and datetime.fromisoformat(snapshot["deadline"])
        while True:
            self._take_events(state)
            if requests := state.next_requests():
                answers = await self._step(steps.OPEN, message.run_id, message.epoch, requests, state.percent)
                state.opened(requests, answers)
            elif state.is_over:
                break
            elif not await self._wait(deadline):
                return await self._finish(message, "failed", "The DAG did not end by its deadline", "deadline")
            elif not self._events:
                workflow.continue_as_new(RunDag(message.run_id, message.epoch, message.carried + 1))
        if not state.is_failing:
            return await self._finish(message, "completed", None)
        if not state.compensates:
            return await self._finish(message, "failed", None)
        if not workflow.patched("compensation-ends"):
            await self._compensate_for_ever(message, state)
            return await self._finish(message, "failed", None)
        state.undoes_items = workflow.patched("items-are-undone")
        seconds = snapshot.get("compensation_seconds")
        if message.undo_by is not None:
            deadline = datetime.fromisoformat(message.undo_by)
        elif seconds is not None:
            deadline = workflow.now() + timedelta(seconds=seconds)
        is_undone = await self._compensate(message, state, deadline)
        return await self._finish(message, "failed", None, None if is_undone else "compensation")

    async def _wait(self, deadline: datetime | None) -> bool:
        """For events, or for a history that grew too long; False: the deadline came first."""
        if self._events:
            return True
        if workflow.info().get_current_history_length() > self._most_events:
            return True
        left = None if deadline is None else max((deadline - workflow.now()).total_seconds(), 0.001)
        try:
            await workflow.wait_condition(lambda: bool(self._events), timeout=left)
        except TimeoutError:
            return False
        return True

    async def _compensate(self, message: RunDag, state: RunState, deadline: datetime | None) -> bool:
        """Undo what was completed, the last first, one node at a time; False: the deadline came first."""
        while True:
            while state.is_undoing:
                if not await self._wait(deadline):
                    return False
                if not self._events:
                    undo_by = None if deadline is None else deadline.isoformat()
                    workflow.continue_as_new(RunDag(message.run_id, message.epoch, message.carried + 1, undo_by))
                self._take_events(state)
            if (name := state.next_undoing()) is None:
                return True
            state.undoing(name, await self._step(steps.UNDO, message.run_id, message.epoch, name))

    async def _compensate_for_ever(self, message: RunDag, state: RunState) -> None:
        """As older releases did; their histories go on."""
        while (name := state.next_undoing()) is not None:
            answers = await self._step(steps.UNDO, message.run_id, message.epoch, name)
            state.undoing(name, answers)
            while state.is_undoing:
                await workflow.wait_condition(lambda: bool(self._events))
                self._take_events(state)

    async def _finish(
        self, message: RunDag, outcome: str, error: str | None, cause: str | None = None
    ) -> dict[str, Any]:
        try:
            ended: dict[str, Any] = await self._step(steps.FINISH, message.run_id, message.epoch, outcome, error, cause)
        except _Over:
            return {"outcome": "over"}
        return ended

    def _take_events(self, state: RunState) -> None:
        events, self._events = self._events, []
        if events:
            state.ended(events)

    async def _step(self, step: str, *args: Any) -> Any:
        """One transaction in PostgreSQL. Raises `_Over`."""
        answer = await workflow.execute_local_activity(
            step,
            args=list(args),
            start_to_close_timeout=_STEP_TIMEOUT,
            retry_policy=_RETRY,
            local_retry_threshold=_KEEP,
        )
        if isinstance(answer, dict) and answer.get("over"):
            raise _Over
        return answer
