"""A handler that asks a model over HTTP, as those of the knowledge graph do: a plug-in (`TASKGATE_HANDLERS`)."""

from __future__ import annotations

from typing import Any

import httpx

from workers.handlers.base import TaskContext, TaskHandler, TaskRegistry

TYPE = "calling_probe"


class CallingProbe(TaskHandler):
    """Calls `url`, and stores `result` as it was given."""

    @property
    def task_type(self) -> str:
        return TYPE

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.get(payload["url"])).raise_for_status()
        await context._update_task_log(
            payload["task_id"], "PROCESSING", progress=100, message="asked", result=payload.get("result")
        )


def register(registry: TaskRegistry) -> None:
    registry.register(CallingProbe())
