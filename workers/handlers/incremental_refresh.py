"""`incremental_refresh`: episodes of a group, extracted again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.graph.duplicates import ALL_GROUPS
from workers.graph import episodes
from workers.handlers.add_episode import load_project_schema
from workers.handlers.base import TaskContext, TaskHandler
from workers.handlers.graph_access import exclusive, open_graph
from workers.handlers.payload import InvalidPayload, group_ids, owner_of, required_text
from workers.handlers.report import StepReport

log = logging.getLogger(__name__)

#: Without a list of episodes, this many of the last ones.
LAST_EPISODES = 100


class IncrementalRefreshHandler(TaskHandler):
    """Puts episodes through `add_episode` again, with their own uuid and time (contract §7).

    They are those of `episode_uuids` that belong to the task's groups, else the last 100 of these; then, if
    `rebuild_communities` says so, a task that rebuilds the groups' communities is submitted. In a task on several
    groups each episode stays whose it is, and has the schema of its own project. The result is `{episodes_processed,
    episodes_missing, rebuild_task_id}`.
    """

    @property
    def task_type(self) -> str:
        return "incremental_refresh"

    @property
    def timeout_seconds(self) -> int:
        return 3600

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        """Raises `InvalidPayload`, and what graphiti, the language model or the databases raise."""
        report = StepReport(payload, context)
        group_id = required_text(payload, "group_id")
        wanted = _uuids(payload)
        graphiti = await open_graph(context)

        await report.step(10, "Reading episodes...")
        groups = group_ids(payload, "group_id")
        found = await _find(graphiti, groups, wanted)
        owners = await _owners(graphiti, payload, found)
        schemas: dict[str | None, tuple[Any, Any, Any]] = {}
        for position, episode in enumerate(found):
            await report.step(20 + 70 * position // len(found), f"Refreshing episode {position + 1} of {len(found)}...")
            owner = owners[episode.uuid]
            project_id = owner["project_id"]
            if project_id not in schemas:
                schemas[project_id] = await load_project_schema(context, project_id)
            async with exclusive(graphiti, episode.group_id):
                await self._refresh(graphiti, episode, owner, context, schemas[project_id])

        result: dict[str, Any] = {
            "episodes_processed": len(found),
            "episodes_missing": len(wanted) - len(found) if wanted else 0,
            "rebuild_task_id": None,
        }
        if payload.get("rebuild_communities"):
            await report.step(90, "Submitting community rebuild...")
            result["rebuild_task_id"] = await context.rebuild_communities(task_group_id=group_id)
        await report.step(100, "Incremental refresh completed", result)

    async def _refresh(
        self,
        graphiti: Any,
        episode: Any,
        owner: Mapping[str, str | None],
        context: TaskContext,
        schema: tuple[Any, Any, Any],
    ) -> None:
        entity_types, edge_types, edge_type_map = schema
        added = await graphiti.add_episode(
            name=episode.name,
            episode_body=episode.content,
            source_description=episode.source_description,
            source=episode.source,
            group_id=episode.group_id,
            reference_time=episode.valid_at,
            update_communities=False,
            entity_types=entity_types,
            edge_types=edge_types,
            edge_type_map=edge_type_map,
            uuid=episode.uuid,
        )
        if project_id := owner["project_id"]:
            await context._sync_schema_from_graph_result(added.nodes, added.edges, project_id)
        await episodes.mark_synced(graphiti.driver, episode.uuid, episode.group_id, owner)


def _uuids(payload: Mapping[str, Any]) -> list[str]:
    uuids = payload.get("episode_uuids") or []
    if not isinstance(uuids, list) or not all(isinstance(uuid, str) for uuid in uuids):
        raise InvalidPayload("episode_uuids must be a list of strings")
    return list(dict.fromkeys(uuids))


async def _owners(graphiti: Any, payload: Mapping[str, Any], found: Sequence[Any]) -> dict[str, dict[str, str | None]]:
    """Whose each episode is: the task's, unless that works on more than one group."""
    owner = owner_of(payload)
    is_everyones = payload["group_id"] == ALL_GROUPS
    if payload.get("group_ids") is None and not is_everyones:
        return {episode.uuid: owner for episode in found}
    known = await episodes.read_owners(graphiti.driver, [episode.uuid for episode in found])
    unknown = dict.fromkeys(owner) if is_everyones else owner
    return {episode.uuid: known.get(episode.uuid) or unknown for episode in found}


async def _find(graphiti: Any, group_ids: Sequence[str], uuids: Sequence[str]) -> list[Any]:
    """The episodes to refresh, oldest first; those of other groups are none of this task's business."""
    from graphiti_core.nodes import EpisodicNode
    from graphiti_core.utils.maintenance.graph_data_operations import retrieve_episodes

    groups = None if ALL_GROUPS in group_ids else list(group_ids)
    if not uuids:
        return list(await retrieve_episodes(graphiti.driver, datetime.now(UTC), last_n=LAST_EPISODES, group_ids=groups))
    found = await EpisodicNode.get_by_uuids(graphiti.driver, list(uuids))
    mine = [episode for episode in found if groups is None or episode.group_id in groups]
    if len(mine) < len(uuids):
        log.warning("%d of %d episodes to refresh are not in groups %s", len(uuids) - len(mine), len(uuids), group_ids)
    return sorted(mine, key=lambda episode: episode.valid_at)
