"""The context of `rehearse`: it reads, and refuses to write."""

from __future__ import annotations

from typing import Any, Final

from workers.graph.project_schema import Rows, Schema, load_schema

#: What only asks.
READS: Final = ("_schema_loader",)


class WriteRefused(Exception):
    """`rehearse` must have no side effects."""


class RehearsalContext:
    """Has the members of a handler's context (`workers.handlers.base.TaskContext`); all but `READS` are refused."""

    def __init__(self, database: Rows) -> None:
        self._database = database
        self.refused: list[str] = []
        """What was tried, also when the handler has caught the exception."""

    async def _schema_loader(self, project_id: str) -> Schema:
        """Entity types, edge types and edge type map of a project. Raises what the database raises."""
        return await load_schema(self._database, project_id)

    @property
    def _graphiti_client(self) -> Any:
        return self._refuse("_graphiti_client")

    async def _update_task_log(self, *_: Any, **__: Any) -> None:
        self._refuse("_update_task_log")

    async def _update_memory_status(self, *_: Any, **__: Any) -> None:
        self._refuse("_update_memory_status")

    async def _sync_schema_from_graph_result(self, *_: Any, **__: Any) -> None:
        self._refuse("_sync_schema_from_graph_result")

    async def rebuild_communities(self, *_: Any, **__: Any) -> str:
        return str(self._refuse("rebuild_communities"))

    def _refuse(self, name: str) -> Any:
        self.refused.append(name)
        raise WriteRefused(f"rehearse() must have no side effects, and its context has no {name}")
