"""`TemporalHarness`: the Temporal engine and its worker pool under the conformance suite."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from backends.errors import EngineError
from backends.port import WorkflowRef, WorkflowStart
from backends.temporal import names
from backends.temporal.engine import TemporalEngine
from workers.outcome import Assignment, Outcome, Refused
from workers.temporal.pool import TemporalWorkerPool
from workers.testing.proxy import FaultyProxy
from workers.testing.scripted import RunningTask, ScriptedRunner

_TYPE = "any"

#: What a busy machine may take to answer, and what the engine waits for an answer that never comes (seconds).
_PATIENT, _BRIEF = 20.0, 1.0


class _OwnQueue(TemporalEngine):
    """Puts every start on the harness's own queue, so that tests beside each other do not meet."""

    def __init__(self, address: str, namespace: str, queue: str, *, timeout: float, standalone: bool) -> None:
        super().__init__(address, namespace, timeout=timeout, standalone=standalone)
        self._queue = queue

    async def start_workflow(self, start: WorkflowStart) -> None:
        await super().start_workflow(replace(start, queue=self._queue))

    def wait_at_most(self, seconds: float) -> None:
        """For each answer from now on."""
        self._connection._timeout = seconds


class _OneTask:
    """Gives the first assignment to the test; what a poll under way still brings goes back to the queue."""

    def __init__(self, runner: ScriptedRunner) -> None:
        self._runner = runner
        self._taken = False

    async def run(self, assignment: Assignment) -> Outcome:
        if self._taken:
            return Refused("one task at a time", retry_in=timedelta(milliseconds=1))
        self._taken = True
        return await self._runner.run(assignment)


@dataclass(slots=True)
class _Worker:
    """One worker with its own wire to Temporal, so that it can be lost without a word."""

    pool: TemporalWorkerPool
    wire: FaultyProxy
    run: asyncio.Task[None]

    async def end(self, drain: timedelta | None = None) -> None:
        self.pool.stop(drain)
        await self.run
        await self.wire.close()


class TemporalHarness:
    """See `workers.testing.harness.EngineHarness`. Engine and worker reach Temporal through a proxy each."""

    def __init__(self, server: str, namespace: str, *, standalone: bool) -> None:
        host, _, port = server.rpartition(":")
        self._target = (host, int(port))
        self._wire = FaultyProxy(*self._target)
        self._namespace = namespace
        self._standalone = standalone
        self._tenant = f"harness{secrets.token_hex(4)}"
        self._runner = ScriptedRunner()
        self._worker: _Worker | None = None
        self._lost: list[_Worker] = []
        self._workflows: _Worker | None = None
        self.worker_id = ""

    async def open(self) -> TemporalHarness:
        await self._wire.open()
        self.engine = _OwnQueue(
            f"{self._wire.host}:{self._wire.port}",
            self._namespace,
            names.tenant_queue(self._tenant, _TYPE),
            timeout=_PATIENT,
            standalone=self._standalone,
        )
        if not self._standalone:
            self._workflows = await self._serve_workflows()
        return self

    async def _serve_workflows(self) -> _Worker:
        """A worker for workflow tasks alone: a lost or idle worker of tasks does not hold those up."""
        wire = FaultyProxy(*self._target)
        await wire.open()
        pool = TemporalWorkerPool(
            f"{wire.host}:{wire.port}",
            self._namespace,
            runner=self._runner,
            task_types=[],
            worker_id=f"workflows-{secrets.token_hex(4)}",
            slots=1,
            shared=False,
        )
        worker = _Worker(pool, wire, asyncio.create_task(pool.run()))
        await pool.wait_ready()
        return worker

    async def receive(self) -> RunningTask:
        assert self._worker is None, "finish the task before, or lose its worker: nobody else would end it"
        wire = FaultyProxy(*self._target)
        await wire.open()
        self.worker_id = f"worker-{secrets.token_hex(4)}"
        pool = TemporalWorkerPool(
            f"{wire.host}:{wire.port}",
            self._namespace,
            runner=_OneTask(self._runner),
            task_types=[_TYPE],
            worker_id=self.worker_id,
            slots=1,
            shared=False,
        )
        pool.set_tenants([self._tenant])
        self._worker = _Worker(pool, wire, asyncio.create_task(pool.run()))
        return await self._runner.next()

    async def finish(self, running: RunningTask, outcome: Outcome) -> None:
        assert self._worker is not None
        running.finish(outcome)
        await self._worker.end()
        self._worker = None
        if not self._standalone and getattr(outcome, "retry_in", None) is None:
            # What the activity said becomes the workflow's end once a worker of workflows has seen it.
            ref = WorkflowRef(
                running.assignment.task_id, running.assignment.epoch or 1, running.assignment.group_id, ""
            )
            with suppress(EngineError):
                await self.engine.get_workflow_result(ref)

    async def lose_worker(self) -> None:
        if self._worker is not None:
            await self._worker.wire.refuse()
            self._lost.append(self._worker)
            self._worker = None

    async def break_connection(self) -> None:
        await self._wire.refuse()

    async def lose_answers(self) -> None:
        self.engine.wait_at_most(_BRIEF)
        self._wire.swallow_answers()

    async def restore_connection(self) -> None:
        await self._wire.restore()
        self.engine.wait_at_most(_PATIENT)

    async def lose_memory(self) -> bool:
        return False

    async def aclose(self) -> None:
        await self.lose_worker()
        for worker in self._lost:
            # The SDK tries for 10 s to report what ran; it may, now that nobody listens.
            await worker.wire.restore()
            await worker.end(timedelta())
        if self._workflows is not None:
            await self._workflows.end()
        await self.engine.close()
        await self._wire.close()
