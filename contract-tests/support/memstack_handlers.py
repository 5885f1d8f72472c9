"""Task handlers as they are written for the legacy worker (contract §7), loaded here unmodified.

Nothing of taskgate is imported: `TaskHandler` and `ProcessingStatus` stand for MemStack's own. Every member of the
context that existing handlers use is used here, in the ways that they use it.
"""

import asyncio
from abc import ABC, abstractmethod
from enum import Enum
from typing import Any


class ProcessingStatus(str, Enum):  # noqa: UP042 (as it is spelled there)
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class TaskHandler(ABC):
    @property
    @abstractmethod
    def task_type(self) -> str: ...

    @property
    def timeout_seconds(self) -> int:
        return 600

    @abstractmethod
    async def process(self, payload: dict[str, Any], context: Any) -> None: ...


class AnnotateMemoryHandler(TaskHandler):
    """Writes a node into the graph for a memory, and marks the memory."""

    @property
    def task_type(self) -> str:
        return "annotate_memory"

    @property
    def timeout_seconds(self) -> int:
        return 60

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        task_id = payload.get("task_id")
        project_id = payload.get("project_id")
        memory_id = payload.get("memory_id")
        if memory_id:
            await context._update_memory_status(memory_id, ProcessingStatus.PROCESSING)
        try:
            await context._update_task_log(task_id, "PROCESSING", progress=10, message="Starting...")
            schema = await context._schema_loader(project_id)
            entity_types, edge_types, edge_type_map = schema if schema else ({}, {}, {})
            await context._update_task_log(task_id, "PROCESSING", progress=20)
            client = context._graphiti_client
            records, _, _ = await client.driver.execute_query(
                "MERGE (n:LegacyAnnotation {uuid: $uuid}) SET n.text = $text RETURN n.text AS text",
                uuid=payload["uuid"],
                text=payload["text"],
            )
            await context._sync_schema_from_graph_result([], [], project_id)
            rebuild_id = None
            if payload.get("rebuild"):
                rebuild_id = await context.rebuild_communities(task_group_id=payload["group_id"])
            await context._update_task_log(
                task_id,
                "PROCESSING",
                progress=100,
                message="Annotated",
                result={
                    "text": records[0]["text"],
                    "entity_types": sorted(entity_types),
                    "edge_types": sorted(edge_types or {}),
                    "maps": len(edge_type_map or {}),
                    "has_llm": client.llm_client is not None,
                    "has_embedder": client.embedder is not None,
                    "rebuild": rebuild_id,
                },
            )
            if memory_id:
                await context._update_memory_status(memory_id, ProcessingStatus.COMPLETED)
        except Exception:
            if memory_id:
                await context._update_memory_status(memory_id, ProcessingStatus.FAILED)
            raise


class CountWordsHandler(TaskHandler):
    """The least that a handler can be: it reports with positional arguments, and says when it is done itself."""

    @property
    def task_type(self) -> str:
        return "count_words"

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        words = payload["text"].split()
        await context._update_task_log(payload["task_id"], "PROCESSING", None, None, False, 50)
        await context._update_task_log(payload["task_id"], "COMPLETED", result={"words": len(words)})


class SlowExportHandler(TaskHandler):
    """Takes longer than it says it may (R8)."""

    task_type = "slow_export"
    timeout_seconds = 1

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        await asyncio.Event().wait()


class BrokenImportHandler(TaskHandler):
    """Always fails."""

    task_type = "broken_import"

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        await context._update_task_log(payload["task_id"], "PROCESSING", progress=30, increment_retry=False)
        raise ValueError(f"cannot import {payload['name']}")
