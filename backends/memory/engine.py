"""`MemoryEngine`: a workflow engine inside the process, for tests and experiments."""

from __future__ import annotations

import asyncio
import heapq
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias

from backends.errors import CapabilityMissing, EngineError, WorkflowNotFound
from backends.memory.faults import Faults
from backends.memory.run import MemoryRun, Record
from backends.port import (
    Capability,
    EndedWorkflow,
    Place,
    Stock,
    WorkflowRef,
    WorkflowStart,
    WorkflowState,
    WorkflowStatus,
)

Executor: TypeAlias = Callable[[MemoryRun], Awaitable[Any]]
"""Runs one task: its return value is the result, its exception the failure. It may end the run by itself, too."""

CAPABILITIES = frozenset(
    {
        Capability.SIGNAL,
        Capability.PRIORITY,
        Capability.CANCEL_RUNNING,
        Capability.REQUEUE,
        Capability.RESULT,
        Capability.FENCED,
        Capability.WITHDRAW,
    }
)


class MemoryEngine:
    """Keeps tasks in order of priority, then of arrival, and hands them out one at a time.

    Without an `executor` a test takes each task with `receive` and says how it ends. With one, tasks run as they come,
    up to `slots` at once. `faults` makes calls fail; `forget` empties the engine. `capabilities` narrows what is
    declared, and what is not declared is not done. `name` lets several stand for several backends.
    """

    def __init__(
        self,
        executor: Executor | None = None,
        *,
        name: str = "memory",
        capabilities: frozenset[Capability] = CAPABILITIES,
        slots: int = 100,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.capabilities = capabilities
        self.faults = Faults()
        self.starts: list[WorkflowStart] = []
        """Every start that arrived, repetitions included."""
        self._executor = executor
        self._slots = slots
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._tombstones: dict[str, str] = {}
        self._queue: list[tuple[int, int, str]] = []
        self._arrivals = 0
        self._something_waits = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._incarnation = uuid.uuid4().hex

    # The port -----------------------------------------------------------------------------------------------

    async def start_workflow(self, start: WorkflowStart) -> None:
        self.faults.before("start_workflow")
        self.starts.append(start)
        workflow_id = start.ref.workflow_id
        if workflow_id not in self._records and workflow_id not in self._tombstones:
            self._arrivals += 1
            self._records[workflow_id] = Record(start, self._arrivals)
            self._offer(self._records[workflow_id])
        self.faults.after("start_workflow")

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus | None:
        self.faults.before("get_workflow_status")
        if ref.workflow_id in self._tombstones:
            return WorkflowStatus(WorkflowState.CANCELLED, self._tombstones[ref.workflow_id])
        record = self._records.get(ref.workflow_id)
        return record.status if record and not record.dropped else None

    async def get_workflow_result(self, ref: WorkflowRef) -> Any:
        self.faults.before("get_workflow_result")
        record = self._known(ref)
        await record.over.wait()
        if record.dropped:
            raise WorkflowNotFound(f"{self.name} knows nothing of {ref.workflow_id}")
        if record.state is not WorkflowState.COMPLETED:
            raise EngineError(record.error or f"{ref.workflow_id} ended as {record.state.value}")
        return record.result

    async def cancel_workflow(self, ref: WorkflowRef, reason: str) -> bool:
        self.faults.before("cancel_workflow")
        record = self._records.get(ref.workflow_id)
        found = False
        if record is None:
            self._tombstones[ref.workflow_id] = reason
        elif record.state is WorkflowState.QUEUED:
            record.end(WorkflowState.CANCELLED, self._clock(), error=reason)
            found = True
        elif record.run is not None and Capability.CANCEL_RUNNING in self.capabilities:
            record.cancel_reason = reason
            record.run.cancelled.set()
            found = True
        self.faults.after("cancel_workflow")
        return found

    async def signal_workflow(self, ref: WorkflowRef, signal: str, payload: Any) -> None:
        if Capability.SIGNAL not in self.capabilities:
            raise CapabilityMissing(f"{self.name} cannot deliver signals.")
        self.faults.before("signal_workflow")
        record = self._known(ref)
        if record.state.is_terminal:
            raise WorkflowNotFound(f"{ref.workflow_id} has ended")
        record.signals.put_nowait((signal, payload))

    async def requeue_workflow(self, ref: WorkflowRef, reason: str, *, held_by: str | None = None) -> bool:
        self.faults.before("requeue_workflow")
        record = self._records.get(ref.workflow_id)
        if record is None or record.state.is_terminal:
            return False
        if held_by is None or (record.run is not None and record.run.worker_id == held_by):
            self._put_back(record)
        self.faults.after("requeue_workflow")
        return not record.state.is_terminal

    async def list_held(self, worker_id: str) -> Sequence[str]:
        self.faults.before("list_held")
        return [
            workflow_id
            for workflow_id, record in self._records.items()
            if record.run and record.run.worker_id == worker_id
        ]

    async def release_worker(self, worker_id: str, ended: Mapping[WorkflowRef, WorkflowStatus] | None = None) -> int:
        self.faults.before("release_worker")
        for ref, end in (ended or {}).items():
            if (record := self._records.get(ref.workflow_id)) is not None and not record.state.is_terminal:
                record.end(end.state, self._clock(), error=end.error)
        held = [record for record in self._records.values() if record.run and record.run.worker_id == worker_id]
        for record in held:
            self._put_back(record)
        return len(held)

    async def find_lost(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        """Asks for each."""
        return [ref for ref in refs if await self.get_workflow_status(ref) is None]

    async def withdraw_not_begun(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        if Capability.WITHDRAW not in self.capabilities:
            raise CapabilityMissing(f"{self.name} cannot tell what has begun.")
        self.faults.before("withdraw_not_begun")
        known = [(ref, record) for ref in refs if (record := self._records.get(ref.workflow_id)) is not None]
        waiting = [(ref, record) for ref, record in known if record.state is WorkflowState.QUEUED or record.withdrawn]
        for _, record in waiting:
            if not record.withdrawn:
                record.withdraw(self._clock())
        self.faults.after("withdraw_not_begun")
        return [ref for ref, _ in waiting]

    async def keep_fresh(self) -> int:
        return 0

    async def list_ended(self, since: datetime, *, completed: bool = True) -> Sequence[EndedWorkflow]:
        self.faults.before("list_ended")
        ended = [r for r in self._records.values() if r.ended_at is not None and r.ended_at >= since and not r.dropped]
        return [
            EndedWorkflow(r.start.ref.workflow_id, r.status)
            for r in ended
            if completed or r.status.state is not WorkflowState.COMPLETED
        ]

    async def count_open(self) -> int | None:
        return None

    async def take_stock(self) -> Sequence[Stock]:
        self.faults.before("take_stock")
        states = [record.state for record in self._records.values() if not record.dropped]
        places = {Place.WAITING: WorkflowState.QUEUED, Place.HELD: WorkflowState.RUNNING}
        return [Stock(place, False, states.count(state)) for place, state in places.items() if state in states]

    async def get_incarnation(self) -> str:
        self.faults.before("get_incarnation")
        return self._incarnation

    async def check_health(self) -> None:
        self.faults.before("check_health")

    async def close(self) -> None:
        """End what the executor runs; waits until it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # The worker's side --------------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[WorkflowRef]:
        """The waiting tasks, the next one first."""
        ordered = [self._records[workflow_id] for _, _, workflow_id in sorted(self._queue)]
        return [record.start.ref for record in ordered if record.state is WorkflowState.QUEUED]

    async def receive(self, worker_id: str = "memory") -> MemoryRun:
        """The next task, running from now on; waits for one."""
        while True:
            run = self.receive_now(worker_id)
            if run is not None:
                return run
            self._something_waits.clear()
            await self._something_waits.wait()

    def receive_now(self, worker_id: str = "memory") -> MemoryRun | None:
        """The next task, running from now on; None when none waits."""
        while self._queue:
            record = self._records.get(heapq.heappop(self._queue)[2])
            if record is not None and record.state is WorkflowState.QUEUED:
                record.state = WorkflowState.RUNNING
                record.attempt += 1
                record.run = MemoryRun(record, worker_id, self._clock, self._put_back)
                return record.run
        return None

    async def settled(self) -> None:
        """Until the executor has nothing more to do."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def forget(self) -> None:
        """Lose everything, like a server that restarts without its data."""
        self._records.clear()
        self._tombstones.clear()
        self._queue.clear()
        self._incarnation = uuid.uuid4().hex

    # Private ------------------------------------------------------------------------------------------------

    def _known(self, ref: WorkflowRef) -> Record:
        record = self._records.get(ref.workflow_id)
        if record is None or record.dropped:
            raise WorkflowNotFound(f"{self.name} knows nothing of {ref.workflow_id}")
        return record

    def _offer(self, record: Record) -> None:
        priority = record.start.priority if Capability.PRIORITY in self.capabilities else 0
        heapq.heappush(self._queue, (priority, record.arrival, record.start.ref.workflow_id))
        self._something_waits.set()
        self._execute_more()

    def _put_back(self, record: Record) -> None:
        if record.state is not WorkflowState.RUNNING:
            return
        record.run = None
        if record.cancel_reason is not None:
            record.end(WorkflowState.CANCELLED, self._clock(), error=record.cancel_reason)
            return
        record.state = WorkflowState.QUEUED
        self._offer(record)

    def _execute_more(self) -> None:
        while self._executor is not None and len(self._tasks) < self._slots:
            run = self.receive_now()
            if run is None:
                return
            task = asyncio.get_running_loop().create_task(self._execute(self._executor, run))
            self._tasks.add(task)
            task.add_done_callback(self._executed)

    def _executed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._execute_more()

    async def _execute(self, executor: Executor, run: MemoryRun) -> None:
        work = asyncio.ensure_future(executor(run))
        cancelled = asyncio.ensure_future(run.cancelled.wait())
        try:
            await asyncio.wait({work, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                run.stop()
            elif work.cancelled():
                run.stop()
            elif (error := work.exception()) is not None:
                run.fail(str(error) or type(error).__name__)
            else:
                run.complete(work.result())
        finally:
            work.cancel()
            cancelled.cancel()
