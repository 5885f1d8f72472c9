"""The context of handlers (contract §7), with its legacy member names."""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol

from asyncpg import PostgresError

from backends.errors import TaskgateError
from gateway.settings import Settings
from workers.graph.connection import GraphConnection
from workers.graph.project_schema import SQL, Rows, Schema, load_schema, save_found

log = logging.getLogger(__name__)


_PARENT = """
SELECT p.payload::text AS payload FROM task_logs t JOIN task_logs p ON p.id = t.parent_task_id WHERE t.id = $1
"""
_SIBLING = """
SELECT s.result::text AS result FROM task_logs t
JOIN task_logs s ON s.parent_task_id = t.parent_task_id AND s.id = $2
WHERE t.id = $1
"""


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class ProgressSink(Protocol):
    """Where a handler's reports go; bound to one run of one task."""

    async def update(
        self,
        task_id: str,
        *,
        progress: int | None = None,
        result: Any = None,
        message: str | None = None,
        increment_retry: bool = False,
    ) -> None: ...


class TaskSubmitter(Protocol):
    """Submits further tasks on behalf of the one that runs."""

    async def submit_rebuild(self, task_group_id: str) -> str:
        """A `rebuild_communities` task for the group; its id."""


class WorkerContext:
    """The context of one run; it has all members that handlers of the legacy worker use."""

    def __init__(
        self, graph: GraphConnection, database: Rows, progress: ProgressSink, submitter: TaskSubmitter
    ) -> None:
        self._graph = graph
        self._database = database
        self._progress = progress
        self._submitter = submitter

    @property
    def _graphiti_client(self) -> Any:
        """The `graphiti_core.Graphiti`, made on first use. Raises `GraphNotConfigured`."""
        return self._graph.client

    async def _schema_loader(self, project_id: str) -> Schema:
        """Entity types, edge types and edge type map of a project. Raises what the database raises."""
        return await load_schema(self._database, project_id)

    async def _update_task_log(
        self,
        task_id: str,
        status: str,
        worker_id: str | None = None,
        error_message: str | None = None,
        increment_retry: bool = False,
        progress: int | None = None,
        result: dict[str, Any] | None = None,
        message: str | None = None,
    ) -> None:
        """Report progress, result and message.

        Status, worker and error are ignored: the runner writes them when the run has ended.
        """
        await self._progress.update(
            task_id, progress=progress, result=result, message=message, increment_retry=increment_retry
        )

    async def _update_memory_status(self, memory_id: str, status: Any) -> None:
        """Set `memories.processing_status` (PENDING, PROCESSING, COMPLETED, FAILED, as a string or an enum).

        A failure is logged, never raised: it must not make the episode fail.
        """
        if not memory_id:
            return
        value = str(getattr(status, "value", status))
        try:
            done = await self._database.execute(SQL.set_memory_status, memory_id, value)
        except (TaskgateError, PostgresError) as error:
            log.warning("memory %s could not be marked %s: %s", memory_id, value, error)
        else:
            if done.endswith(" 0"):
                log.warning("memory %s, to be marked %s, does not exist", memory_id, value)

    async def _sync_schema_from_graph_result(self, nodes: Any, edges: Any, project_id: str) -> None:
        """Add entity and edge types that a project's tables lack. A failure is logged, never raised."""
        if not project_id:
            return
        try:
            await save_found(self._database, project_id, nodes or (), edges or ())
        except (TaskgateError, PostgresError) as error:
            log.warning("the schema of project %s could not be completed: %s", project_id, error)

    async def _task_of_parent(self, task_id: str) -> Any:
        """Payload of the parent task; None without one."""
        rows = await self._database.fetch(_PARENT, task_id)
        return _json(rows[0]["payload"]) if rows else None

    async def _result_of_sibling(self, task_id: str, sibling: str) -> Any:
        """Result of another child of the same parent task; None for any other task."""
        rows = await self._database.fetch(_SIBLING, task_id, sibling)
        return _json(rows[0]["result"]) if rows else None

    async def rebuild_communities(self, task_group_id: str = "global") -> str:
        """Submit a task that rebuilds the communities of a group (`global`: all of them); its id."""
        return await self._submitter.submit_rebuild(task_group_id)


class ContextFactory:
    """Makes a context for each run; all of them share one connection to the graph."""

    def __init__(self, settings: Settings, database: Rows) -> None:
        self.graph = GraphConnection(settings)
        self._database = database

    def build(self, progress: ProgressSink, submitter: TaskSubmitter) -> WorkerContext:
        return WorkerContext(self.graph, self._database, progress, submitter)

    async def warm_up(self) -> None:
        """Import the graph libraries, so that the first task on the graph does not wait for that."""
        await self.graph.warm_up()

    async def close(self) -> None:
        await self.graph.close()
