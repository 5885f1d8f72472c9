"""Episodic nodes: there before graphiti asks for them, whole and single after it wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.graph.duplicates import QueryDriver
from workers.graph.errors import EpisodeInOtherGroup

#: What graphiti itself keeps on the node; everything else there is MemStack's and survives graphiti's rewrite.
_GRAPHITI_KEYS = frozenset(
    {"uuid", "name", "group_id", "source", "source_description", "content", "entity_edges", "created_at", "valid_at"}
    | {"episode_metadata"}
)

# The uuid alone: graphiti would take one of another group for this episode, and `prepare` refuses it.
_PREPARE = """
MERGE (e:Episodic {uuid: $uuid})
ON CREATE SET e += $episode, e.entity_edges = [], e.created_at = $now, e.valid_at = $valid_at, e.status = 'Processing'
RETURN properties(e) AS kept
"""

_REWRITE = """
MATCH (e:Episodic {uuid: $uuid, group_id: $group_id})
SET e += $episode
"""

_RESTORE = """
MATCH (e:Episodic {uuid: $uuid, group_id: $group_id})
SET e += $kept
WITH e
MATCH (e)-[m:MENTIONS]->(n:Entity {group_id: $group_id})
WITH e, n, m ORDER BY m.created_at, m.uuid
WITH e, n, collect(m) AS mentions
FOREACH (again IN tail(mentions) | DELETE again)
"""

_EXTRACTED = """
MATCH (e:Episodic {uuid: $uuid, group_id: $group_id})
WHERE e.content = $content AND EXISTS { (e)-[:MENTIONS]->(:Entity) }
RETURN e.entity_edges AS edges, [(e)-[:MENTIONS]->(n:Entity {group_id: $group_id}) | n.uuid] AS nodes
"""

_SYNCED = """
MATCH (e:Episodic {uuid: $uuid, group_id: $group_id})
SET e += $owner, e.status = 'Synced'
WITH e
MATCH (e)-[:MENTIONS]->(n:Entity {group_id: $group_id})
SET n += $owner, n.status = 'Synced'
"""


_OWNERS = """
MATCH (e:Episodic) WHERE e.uuid IN $uuids AND e.tenant_id IS NOT NULL
  AND (e.project_id IS NULL OR e.project_id = e.group_id)
RETURN e.uuid AS uuid, e.tenant_id AS tenant_id, e.project_id AS project_id, e.user_id AS user_id
"""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an earlier run wrote of an episode: uuids of entities and of facts."""

    nodes: Sequence[str]
    edges: Sequence[str]


async def prepare(
    driver: QueryDriver,
    *,
    uuid: str,
    name: str,
    content: str,
    source: str,
    source_description: str,
    group_id: str,
    valid_at: datetime,
) -> Mapping[str, Any]:
    """Make sure that the node exists, with this content; returns what must be put back after graphiti wrote it.

    graphiti 0.31 takes a uuid for that of an existing episode, and fails when there is none. Raises
    `EpisodeInOtherGroup`.
    """
    episode = {
        "name": name,
        "content": content,
        "source": source,
        "source_description": source_description,
        "group_id": group_id,
    }
    result = await driver.execute_query(_PREPARE, uuid=uuid, episode=episode, now=datetime.now(UTC), valid_at=valid_at)
    found = dict(result.records[0]["kept"])
    if found.get("group_id") != group_id:
        raise EpisodeInOtherGroup
    if any(found.get(key) != value for key, value in episode.items()):
        await driver.execute_query(_REWRITE, uuid=uuid, group_id=group_id, episode=episode)
    return {key: value for key, value in found.items() if key not in _GRAPHITI_KEYS}


async def restore(driver: QueryDriver, uuid: str, group_id: str, kept: Mapping[str, Any]) -> None:
    """Put back what graphiti's write took off the node, and leave one MENTIONS for each entity."""
    await driver.execute_query(_RESTORE, uuid=uuid, group_id=group_id, kept=dict(kept))


async def find_extracted(driver: QueryDriver, uuid: str, group_id: str, content: str) -> Extracted | None:
    """What is in the graph of this very episode already, None when it was not extracted yet.

    graphiti writes episode, entities and facts in one transaction, so an episode that mentions anything is whole.
    """
    result = await driver.execute_query(_EXTRACTED, uuid=uuid, group_id=group_id, content=content, routing_="r")
    for record in result.records:
        return Extracted(nodes=list(record["nodes"]), edges=list(record["edges"] or []))
    return None


async def mark_synced(driver: QueryDriver, uuid: str, group_id: str, owner: Mapping[str, str | None]) -> None:
    """Set the ids of `owner` that are given, and `status='Synced'`, on an episode of the group and its entities."""
    given = {key: value for key, value in owner.items() if value}
    await driver.execute_query(_SYNCED, uuid=uuid, group_id=group_id, owner=given)


async def read_owners(driver: QueryDriver, uuids: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """The ids that `mark_synced` set on these episodes; without those on which it never did.

    An episode that says of itself that it belongs to another project than its group's is not believed.
    """
    result = await driver.execute_query(_OWNERS, uuids=list(uuids), routing_="r")
    return {
        record["uuid"]: {key: record[key] for key in ("tenant_id", "project_id", "user_id")}
        for record in result.records
    }
