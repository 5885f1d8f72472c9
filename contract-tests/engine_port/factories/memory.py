"""The in-memory engine under the conformance suite."""

from __future__ import annotations

import asyncio

from backends.memory.engine import MemoryEngine
from backends.memory.run import MemoryRun
from backends.port import Capability
from workers.outcome import Assignment, Completed, Failed, Outcome, Refused, Stopped
from workers.testing.harness import EngineHarness
from workers.testing.scripted import RunningTask, ScriptedRunner


class MemoryHarness:
    """The worker is this harness itself."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self._runner = ScriptedRunner()
        self._run: MemoryRun | None = None
        self._tasks: list[asyncio.Task[Outcome]] = []
        self._workers = 0

    async def receive(self) -> RunningTask:
        async with asyncio.timeout(30):
            run = await self.engine.receive(f"worker-{self._workers}")
        self._run = run
        start = run.start
        assignment = Assignment(
            task_id=start.ref.task_id,
            backend=self.engine.name,
            epoch=start.ref.epoch,
            payload=dict(start.payload),
            task_type=start.ref.task_type,
            group_id=start.ref.group_id,
            engine_attempt=run.attempt,
        )
        task = asyncio.create_task(self._runner.run(assignment))
        self._tasks.append(task)

        async def pass_on() -> Outcome:
            await run.cancelled.wait()
            task.cancel()
            return Stopped("cancelled")

        self._tasks.append(asyncio.create_task(pass_on()))
        return await self._runner.next()

    async def finish(self, running: RunningTask, outcome: Outcome) -> None:
        assert self._run is not None
        running.finish(outcome)
        match outcome:
            case Completed(result):
                self._run.complete(result)
            case Failed(error):
                self._run.fail(error)
            case Stopped(reason):
                self._run.stop(reason)
            case Refused(retry_in=None):
                self._run.drop()
            case Refused():
                self._run.give_back()
        self._run = None

    async def lose_worker(self) -> None:
        self._run = None
        self._workers += 1

    @property
    def worker_id(self) -> str:
        return f"worker-{self._workers}"

    async def break_connection(self) -> None:
        self.engine.faults.unavailable = True

    async def lose_answers(self) -> None:
        self.engine.faults.answers_lost = True

    async def restore_connection(self) -> None:
        self.engine.faults.unavailable = self.engine.faults.answers_lost = False

    async def lose_memory(self) -> bool:
        self.engine.forget()
        return True

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.close()


FIXTURES = ()

CAPABILITIES = {
    Capability.SIGNAL,
    Capability.PRIORITY,
    Capability.CANCEL_RUNNING,
    Capability.REQUEUE,
    Capability.RESULT,
    Capability.FENCED,
    Capability.WITHDRAW,
}


async def create() -> EngineHarness:
    return MemoryHarness()
