"""A handler that asks a model over HTTP, as those of the knowledge graph do: a plug-in (`TASKGATE_HANDLERS`)."""

from __future__ import annotations

from typing import Any

import httpx
from neo4j import AsyncGraphDatabase

from workers.handlers.base import TaskContext, TaskHandler, TaskRegistry

TYPE = "calling_probe"


class CallingProbe(TaskHandler):
    """Calls `url`, asks `graph` if it is given, and stores `result` as it was given."""

    @property
    def task_type(self) -> str:
        return TYPE

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.get(payload["url"])).raise_for_status()
        if graph := payload.get("graph"):
            async with AsyncGraphDatabase.driver(graph) as driver:
                await driver.execute_query("MATCH (n:Probe {name: $name}) RETURN n", name=payload["name"])
        await context._update_task_log(
            payload["task_id"], "PROCESSING", progress=100, message="asked", result=payload.get("result")
        )


def register(registry: TaskRegistry) -> None:
    registry.register(CallingProbe())
