"""Engines that take starts slowly, not at all, or many at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from backends.errors import EngineUnavailable
from backends.memory.engine import MemoryEngine
from backends.port import WorkflowStart
from workers.testing.waiting import until


class SerialEngine(MemoryEngine):
    """Takes starts one after the other, `rate` a second; the next `refusals` it refuses, at once."""

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate
        self.refusals = 0
        self.taken: Counter[str] = Counter()
        """Starts by task."""
        self.taken_at: list[float] = []
        self.asked_at: list[float] = []
        self.refused_at: list[float] = []
        self.busy_seconds = 0.0
        self._one = asyncio.Lock()

    async def start_workflow(self, start: WorkflowStart) -> None:
        self.asked_at.append(time.monotonic())
        if self.refusals:
            self.refusals -= 1
            self.refused_at.append(time.monotonic())
            raise EngineUnavailable
        async with self._one:
            began = time.monotonic()
            await asyncio.sleep(1 / self.rate)
            await super().start_workflow(start)
            self.taken[start.ref.task_id] += 1
            self.taken_at.append(time.monotonic())
            self.busy_seconds += self.taken_at[-1] - began

    async def until_taken(self, count: int, seconds: float = 60) -> None:
        """Wait until it has the starts of so many tasks."""
        await until(lambda: len(self.taken) >= count, within=seconds, pause=0.005)


class ClosedEngine(MemoryEngine):
    """Keeps each start waiting until it is `opened`, and then cannot be reached."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.opened = asyncio.Event()
        self.asked = 0

    async def start_workflow(self, start: WorkflowStart) -> None:
        self.asked += 1
        await self.opened.wait()
        raise EngineUnavailable

    async def check_health(self) -> None:
        raise EngineUnavailable


class ParallelEngine(MemoryEngine):
    """Takes several starts at once, all quickly, so that its lane learns to give it many."""

    async def start_workflow(self, start: WorkflowStart) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await super().start_workflow(start)
