"""`add_episode`: one episode into the knowledge graph."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from asyncpg import PostgresError

from workers.graph import episodes
from workers.graph.communities import update_communities
from workers.handlers.base import TaskContext, TaskHandler
from workers.handlers.graph_access import exclusive, open_graph
from workers.handlers.payload import InvalidPayload, owner_of, required_text
from workers.handlers.report import StepReport

log = logging.getLogger(__name__)

#: How long a cancelled task may take to mark its memory; the worker gives it less than a second in all.
MARK_SECONDS = 0.5


class AddEpisodeHandler(TaskHandler):
    """Extracts entities and facts of an episode with graphiti (contract §7).

    Repeated with the same uuid and content it leaves one episode and no fact twice: what an earlier attempt has
    written is taken up, not extracted again.
    """

    @property
    def task_type(self) -> str:
        return "add_episode"

    @property
    def timeout_seconds(self) -> int:
        return 600

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        """Raises `InvalidPayload`, and what graphiti, the language model or the databases raise."""
        memory_id = payload.get("memory_id")
        if not memory_id:
            await self._add(payload, context)
            return
        await context._update_memory_status(memory_id, "PROCESSING")
        try:
            await self._add(payload, context)
        except asyncio.CancelledError as cancelled:
            await mark_cancelled(context, memory_id, cancelled)
            raise
        except Exception:
            await context._update_memory_status(memory_id, "FAILED")
            raise
        await context._update_memory_status(memory_id, "COMPLETED")

    async def _add(self, payload: Mapping[str, Any], context: TaskContext) -> None:
        report = StepReport(payload, context)
        await report.step(10, "Starting episode ingestion...")
        group_id = required_text(payload, "group_id")
        uuid = payload.get("uuid") or payload.get("memory_id") or required_text(payload, "task_id")
        project_id = payload.get("project_id")
        owner = owner_of(payload)
        graphiti = await open_graph(context)

        await report.step(20, f"Loading schema for project {project_id}..." if project_id else "No project schema")
        schema = await load_project_schema(context, project_id)

        await report.step(30, "Extracting entities and relationships...")
        async with exclusive(graphiti, group_id):
            nodes, edges = await self._extract(graphiti, payload, uuid, group_id, schema)

            await report.step(50, "Syncing schema...")
            if project_id:
                await context._sync_schema_from_graph_result(nodes, edges, project_id)
            await episodes.mark_synced(graphiti.driver, uuid, group_id, owner)

            await report.step(75, "Updating communities...")
            try:
                await update_communities(graphiti, group_id, nodes, owner)
            except Exception:
                log.warning("the communities of episode %s could not be updated", uuid, exc_info=True)
        await report.step(100, "Episode ingestion completed")

    async def _extract(
        self, graphiti: Any, payload: Mapping[str, Any], uuid: str, group_id: str, schema: tuple[Any, Any, Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The episode's entities and facts: as an earlier attempt left them, else as graphiti finds them now."""
        content = payload.get("content") or ""
        earlier = await episodes.find_extracted(graphiti.driver, uuid, group_id, content)
        if earlier is not None:
            log.info("episode %s is in the graph already; its extraction is not repeated", uuid)
            return await read_extracted(graphiti, group_id, earlier)
        entity_types, edge_types, edge_type_map = schema
        added = await graphiti.add_episode(
            name=payload.get("name") or content[:50],
            episode_body=content,
            source_description=payload.get("source_description") or "text",
            source=episode_source(payload.get("episode_type")),
            group_id=group_id,
            reference_time=datetime.now(UTC),
            update_communities=False,
            entity_types=entity_types,
            edge_types=edge_types,
            edge_type_map=edge_type_map,
            uuid=uuid,
        )
        return added.nodes, added.edges


async def load_project_schema(context: TaskContext, project_id: str | None) -> tuple[Any, Any, Any]:
    """The schema for `graphiti.add_episode`; three times None without a project, a loader, or the tables for it."""
    loader = getattr(context, "_schema_loader", None)
    if not project_id or loader is None:
        return None, None, None
    try:
        return await loader(project_id) or (None, None, None)
    except PostgresError as error:
        log.warning("the schema of project %s could not be loaded: %s", project_id, error)
        return None, None, None


def episode_source(episode_type: str | None) -> Any:
    """graphiti's name for the kind of an episode. Raises `InvalidPayload`."""
    from graphiti_core.nodes import EpisodeType

    try:
        return EpisodeType(episode_type or "text")
    except ValueError:
        known = ", ".join(kind.value for kind in EpisodeType)
        raise InvalidPayload(f"episode_type is {episode_type!r}, not one of {known}") from None


async def read_extracted(
    graphiti: Any, group_id: str, earlier: episodes.Extracted
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Entities and facts that are in the graph; graphiti reads by uuid alone, what is another group's is left out."""
    from graphiti_core.edges import EntityEdge
    from graphiti_core.nodes import EntityNode

    nodes = await EntityNode.get_by_uuids(graphiti.driver, list(earlier.nodes))
    edges = await EntityEdge.get_by_uuids(graphiti.driver, list(earlier.edges)) if earlier.edges else []
    return [node for node in nodes if node.group_id == group_id], [edge for edge in edges if edge.group_id == group_id]


async def mark_cancelled(context: TaskContext, memory_id: str, cancelled: asyncio.CancelledError) -> None:
    """Leave no memory PROCESSING behind a task that was stopped, as far as there is time.

    One that runs again elsewhere has not failed.
    """
    if cancelled.args[:1] in (("drain",), ("fenced",)):
        return
    try:
        async with asyncio.timeout(MARK_SECONDS):
            await context._update_memory_status(memory_id, "FAILED")
    except TimeoutError:
        log.warning("memory %s could not be marked FAILED in time", memory_id)
