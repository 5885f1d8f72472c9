"""Plug-in handlers of the benchmarks: the first line notes the time."""

from __future__ import annotations

import time
from typing import Any

from workers.handlers.base import TaskContext, TaskHandler


class BenchNoop(TaskHandler):
    """Reports when its first line ran, on the wall clock that all processes of one host share."""

    task_type = "bench_noop"

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        began = time.time()
        await context._update_task_log(payload["task_id"], "PROCESSING", progress=100, result={"began": began})
