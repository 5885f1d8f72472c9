"""The steps of `add_episode`, one handler each: the nodes of the built-in DAG `episode`.

Together they leave in the graph what `AddEpisodeHandler` leaves: the same graphiti runs in `deduplicate`, with the
questions to the language model asked ahead of it, in parallel. The episode stands in the payload of the task that they
are parts of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from workers.graph import episodes
from workers.graph.communities import update_communities
from workers.graph.remembered import Answers, remembering
from workers.handlers.add_episode import (
    AddEpisodeHandler,
    episode_source,
    load_project_schema,
    mark_cancelled,
    read_extracted,
)
from workers.handlers.base import TaskContext, TaskHandler
from workers.handlers.graph_access import exclusive, open_graph
from workers.handlers.payload import InvalidPayload, owner_of, required_text

#: Keys of an episode that the caller of the DAG may not set: the gateway knows them.
_PLACE = ("group_id", "tenant_id", "project_id", "user_id")


class EmbeddingInvalid(Exception):
    """The embedder's vectors do not fit those in the graph."""

    non_retryable = True


class EpisodeStep(TaskHandler):
    """One step; a memory that belongs to the episode is marked as the whole handler marks it."""

    name = ""
    message = ""

    @property
    def task_type(self) -> str:
        return f"episode.{self.name}"

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        """Raises `InvalidPayload`, and what graphiti, the language model or the databases raise."""
        task_id = required_text(payload, "task_id")
        episode = await _episode(payload, context)
        memory_id = episode.get("memory_id")
        await context._update_task_log(task_id, "PROCESSING", progress=10, message=self.message)
        try:
            result = await self.work(episode, payload, context)
        except asyncio.CancelledError as cancelled:
            if memory_id:
                await mark_cancelled(context, memory_id, cancelled)
            raise
        except Exception:
            if memory_id:
                await context._update_memory_status(memory_id, "FAILED")
            raise
        await context._update_task_log(task_id, "PROCESSING", progress=100, result=result)

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        """The step itself; its result."""
        raise NotImplementedError


class ExtractEntities(EpisodeStep):
    """Asks the language model for the entities of the episode."""

    name = "extract_entities"
    message = "Extracting entities..."
    relations = False

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        if not self.relations and episode.get("memory_id"):
            await context._update_memory_status(episode["memory_id"], "PROCESSING")
        graphiti = await open_graph(context)
        arguments = _arguments(episode)
        if await _extracted(graphiti, episode) is not None:
            return {"found": 0, "answers": {}}
        schema = await load_project_schema(context, episode.get("project_id"))
        with remembering(Answers(keeps=True)) as answers:
            found = await graphiti.ask_ahead(arguments, schema, relations=self.relations)
        return {"found": found, "answers": answers.known}


class ExtractRelations(ExtractEntities):
    """Asks the language model for the facts of the episode; it names the entities for itself."""

    name = "extract_relations"
    message = "Extracting relationships..."
    relations = True


class ValidateEmbedding(EpisodeStep):
    """Has the episode embedded: its vector must have the length of those in the graph."""

    name = "validate_embedding"
    message = "Validating the embedding..."

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        graphiti = await open_graph(context)
        vector = await graphiti.embedder.create((episode.get("content") or " ")[:1000].replace("\n", " "))
        known = await graphiti.driver.execute_query(
            "MATCH (n:Entity {group_id: $group_id}) WHERE n.name_embedding IS NOT NULL "
            "RETURN size(n.name_embedding) AS length LIMIT 1",
            group_id=required_text(episode, "group_id"),
            routing_="r",
        )
        for record in known.records:
            if record["length"] != len(vector):
                raise EmbeddingInvalid(
                    f"The embedder gives {len(vector)} numbers, the entities of this group have {record['length']}: "
                    "set TASKGATE_EMBEDDER_DIMENSIONS or the model back, or embed the group anew"
                )
        return {"dimensions": len(vector)}


class Deduplicate(EpisodeStep):
    """Resolves entities and facts against the graph, and writes them."""

    name = "deduplicate"
    message = "Deduplicating..."

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        graphiti = await open_graph(context)
        schema = await load_project_schema(context, episode.get("project_id"))
        answers = Answers(await _asked_ahead(payload, context))
        already = await _extracted(graphiti, episode)
        with remembering(answers):
            async with exclusive(graphiti, required_text(episode, "group_id")):
                nodes, edges = await AddEpisodeHandler()._extract(
                    graphiti, episode, _uuid(episode), required_text(episode, "group_id"), schema
                )
        return {
            "changed": bool(nodes or edges) or already is not None,
            "entities": [node.uuid for node in nodes],
            "facts": [edge.uuid for edge in edges],
            "answered_ahead": answers.used,
        }


class UpdateCommunities(EpisodeStep):
    """Brings the communities of the episode's entities up to date."""

    name = "update_communities"
    message = "Updating communities..."

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        graphiti = await open_graph(context)
        group_id = required_text(episode, "group_id")
        async with exclusive(graphiti, group_id):
            nodes, _ = await read_extracted(graphiti, group_id, _found(payload))
            reached = await update_communities(graphiti, group_id, nodes, owner_of(episode))
        return {"entities": reached}


class SyncMetadata(EpisodeStep):
    """Completes the project's schema, and says whose episode and entities are."""

    name = "sync_metadata"
    message = "Syncing schema..."

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        graphiti = await open_graph(context)
        group_id, project_id = required_text(episode, "group_id"), episode.get("project_id")
        if project_id:
            nodes, edges = await read_extracted(graphiti, group_id, _found(payload))
            await context._sync_schema_from_graph_result(nodes, edges, project_id)
        await episodes.mark_synced(graphiti.driver, _uuid(episode), group_id, owner_of(episode))
        return {"episode": _uuid(episode)}


class Complete(EpisodeStep):
    """Says that the episode is done."""

    name = "complete"
    message = "Episode ingestion completed"

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        if episode.get("memory_id"):
            await context._update_memory_status(episode["memory_id"], "COMPLETED")
        return {"episode": _uuid(episode)}


EPISODE_STEPS: tuple[type[EpisodeStep], ...] = (
    ExtractEntities,
    ExtractRelations,
    ValidateEmbedding,
    Deduplicate,
    UpdateCommunities,
    SyncMetadata,
    Complete,
)


async def _episode(payload: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """The payload of `add_episode`: the parent task's, or the one that a run of the DAG was started with."""
    task_id = required_text(payload, "task_id")
    given = payload.get("episode")
    if given is None:
        parent = await context._task_of_parent(task_id)
        if not isinstance(parent, dict) or "content" not in parent:
            raise InvalidPayload("an episode step is part of an add_episode task, or has `episode` in its payload")
        return parent
    if not isinstance(given, dict):
        raise InvalidPayload("episode is not an object")
    place = {name: payload.get(name) for name in _PLACE}
    return {"uuid": payload.get("episode_uuid"), **given, **place, "memory_id": None}


def _uuid(episode: Mapping[str, Any]) -> str:
    return str(episode.get("uuid") or episode.get("memory_id") or required_text(episode, "task_id"))


def _arguments(episode: Mapping[str, Any]) -> dict[str, Any]:
    content = episode.get("content") or ""
    return {
        "name": episode.get("name") or content[:50],
        "episode_body": content,
        "source_description": episode.get("source_description") or "text",
        "source": episode_source(episode.get("episode_type")),
        "group_id": required_text(episode, "group_id"),
        "reference_time": datetime.now(UTC),
        "uuid": _uuid(episode),
    }


async def _extracted(graphiti: Any, episode: Mapping[str, Any]) -> Any:
    return await episodes.find_extracted(
        graphiti.driver, _uuid(episode), required_text(episode, "group_id"), episode.get("content") or ""
    )


def _found(payload: Mapping[str, Any]) -> episodes.Extracted:
    return episodes.Extracted(nodes=_texts(payload.get("entities")), edges=_texts(payload.get("facts")))


def _texts(value: Any) -> Sequence[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


async def _asked_ahead(payload: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """The answers that the steps before have collected."""
    task_id = required_text(payload, "task_id")
    asked = [ref["task_id"] for ref in payload.get("answers") or () if isinstance(ref, dict) and ref.get("task_id")]
    results = await asyncio.gather(*(context._result_of_sibling(task_id, sibling) for sibling in asked))
    answers: dict[str, Any] = {}
    for result in results:
        if isinstance(result, dict) and isinstance(result.get("answers"), dict):
            answers |= result["answers"]
    return answers
