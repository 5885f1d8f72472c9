"""`ScriptedRunner`: a task runner whose every outcome a test decides."""

from __future__ import annotations

import asyncio

from workers.outcome import Assignment, Outcome


class RunningTask:
    """One assignment that a worker handed to the runner and that now waits for the test's word."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.cancelled = asyncio.Event()
        """Set once the worker cancelled the run (a stop that reached the worker, or the worker's own end)."""
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def finish(self, outcome: Outcome) -> None:
        """End the run with this outcome; without effect when it ended before."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class ScriptedRunner:
    """A `TaskRunner` that offers what it is given to the test, first in, first out."""

    def __init__(self) -> None:
        self._offered: asyncio.Queue[RunningTask] = asyncio.Queue()
        self.seen: list[Assignment] = []
        """Every assignment ever given, in order."""

    async def run(self, assignment: Assignment) -> Outcome:
        running = RunningTask(assignment)
        self.seen.append(assignment)
        self._offered.put_nowait(running)
        try:
            return await running.outcome
        except asyncio.CancelledError:
            running.cancelled.set()
            raise

    async def next(self, within: float = 30.0) -> RunningTask:
        """The next assignment that a worker offers; raises `TimeoutError` after `within` seconds without one."""
        async with asyncio.timeout(within):
            return await self._offered.get()
