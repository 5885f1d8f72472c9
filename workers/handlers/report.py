"""How the built-in handlers report: one line per step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.handlers.base import TaskContext


class StepReport:
    """Reports the steps of one task through its context; silent for a payload without `task_id`."""

    def __init__(self, payload: Mapping[str, Any], context: TaskContext) -> None:
        self._task_id = payload.get("task_id")
        self._context = context

    async def step(self, progress: int, message: str, result: dict[str, Any] | None = None) -> None:
        """`progress` in percent, and what is done now; with the last step the result."""
        if self._task_id:
            await self._context._update_task_log(
                self._task_id, "PROCESSING", progress=progress, message=message, result=result
            )
