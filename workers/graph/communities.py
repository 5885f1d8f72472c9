"""Communities of a group in the graph: taken away, found anew, saved; and kept right when an episode is added."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway.graph.duplicates import QueryDriver
from workers.graph.community_detection import detect_communities
from workers.graph.concurrency import gather_bounded

if TYPE_CHECKING:
    from graphiti_core import Graphiti
    from graphiti_core.edges import CommunityEdge
    from graphiti_core.nodes import CommunityNode, EntityNode

log = logging.getLogger(__name__)

#: Communities that a language model sums up at the same time, unless the client says otherwise.
DESCRIBED_AT_ONCE = 10
SAVED_AT_ONCE = 100

_GROUPS = """
MATCH (n:Entity|Community) WHERE n.group_id IS NOT NULL
RETURN DISTINCT n.group_id AS group_id ORDER BY group_id
"""

_REMOVE = """
MATCH (c:Community {group_id: $group_id})
DETACH DELETE c
"""

_NODES = "MATCH (n:Entity {group_id: $group_id}) RETURN n.uuid AS uuid"

_EDGES = """
MATCH (a:Entity {group_id: $group_id})-[r:RELATES_TO]->(b:Entity {group_id: $group_id})
RETURN a.uuid AS source, b.uuid AS target, count(r) AS edges
"""

_SAVE_MEMBERS = """
UNWIND $members AS member
MATCH (c:Community {uuid: member.community, group_id: member.group_id})
MATCH (n:Entity {uuid: member.entity, group_id: member.group_id})
MERGE (c)-[m:HAS_MEMBER {uuid: member.uuid}]->(n)
SET m.group_id = member.group_id, m.created_at = member.created_at
"""

_FINISH = """
MATCH (c:Community {group_id: $group_id}) WHERE c.uuid IN $uuids
SET c.project_id = c.group_id, c.member_count = COUNT { (c)-[:HAS_MEMBER]->(:Entity) }
"""

_REACHED = """
MATCH (n:Entity {group_id: $group_id}) WHERE n.uuid IN $uuids AND (
    EXISTS { (n)<-[:HAS_MEMBER]-(:Community {group_id: $group_id}) } OR
    EXISTS { (n)-[:RELATES_TO]-(:Entity {group_id: $group_id})<-[:HAS_MEMBER]-(:Community {group_id: $group_id}) }
)
RETURN n.uuid AS uuid
"""

_REFINISH = """
MATCH (c:Community {group_id: $group_id})-[:HAS_MEMBER]->(n:Entity {group_id: $group_id}) WHERE n.uuid IN $uuids
WITH DISTINCT c
SET c.project_id = c.group_id, c.member_count = COUNT { (c)-[:HAS_MEMBER]->(:Entity) }, c += $owner
"""


async def list_groups(driver: QueryDriver) -> list[str]:
    """The groups that have entities or communities."""
    result = await driver.execute_query(_GROUPS, routing_="r")
    return [record["group_id"] for record in result.records]


async def remove_communities(driver: QueryDriver, group_id: str) -> None:
    """Take away the communities of a group."""
    await driver.execute_query(_REMOVE, group_id=group_id)


async def find_clusters(driver: QueryDriver, group_id: str) -> list[list[str]]:
    """The communities of a group as lists of entity uuids. Two queries, however many entities there are."""
    nodes = await driver.execute_query(_NODES, group_id=group_id, routing_="r")
    edges = await driver.execute_query(_EDGES, group_id=group_id, routing_="r")
    neighbours: dict[str, dict[str, int]] = {record["uuid"]: defaultdict(int) for record in nodes.records}
    for record in edges.records:
        source, target = record["source"], record["target"]
        if source in neighbours and target in neighbours and source != target:
            neighbours[source][target] += record["edges"]
            neighbours[target][source] += record["edges"]
    return await asyncio.to_thread(detect_communities, neighbours)


async def describe_cluster(graphiti: Graphiti, uuids: Sequence[str]) -> tuple[CommunityNode, list[CommunityEdge]]:
    """Let graphiti sum up and name one community."""
    from graphiti_core.nodes import EntityNode
    from graphiti_core.utils.maintenance.community_operations import build_community

    entities = sorted(await EntityNode.get_by_uuids(graphiti.driver, list(uuids)), key=lambda entity: entity.name)
    return await build_community(
        graphiti.llm_client, entities, clients=graphiti.clients, max_coroutines=graphiti.max_coroutines
    )


async def describe_clusters(
    graphiti: Graphiti, clusters: Sequence[Sequence[str]]
) -> tuple[list[CommunityNode], list[CommunityEdge]]:
    """Sum up and name communities, some at a time."""
    jobs = [partial(describe_cluster, graphiti, cluster) for cluster in clusters]
    described = await gather_bounded(jobs, graphiti.max_coroutines or DESCRIBED_AT_ONCE)
    return [node for node, _ in described], [edge for _, edges in described for edge in edges]


async def save_communities(graphiti: Graphiti, communities: Sequence[CommunityNode]) -> None:
    """Embed the names of communities and write their nodes."""
    for start in range(0, len(communities), SAVED_AT_ONCE):
        part = communities[start : start + SAVED_AT_ONCE]
        vectors = await graphiti.embedder.create_batch([community.name.replace("\n", " ") for community in part])
        for community, vector in zip(part, vectors, strict=True):
            community.name_embedding = vector
            await community.save(graphiti.driver)


async def save_members(driver: QueryDriver, edges: Sequence[CommunityEdge]) -> None:
    """Write HAS_MEMBER edges."""
    members = [
        {
            "uuid": edge.uuid,
            "community": edge.source_node_uuid,
            "entity": edge.target_node_uuid,
            "group_id": edge.group_id,
            "created_at": edge.created_at,
        }
        for edge in edges
    ]
    for start in range(0, len(members), 1000):
        await driver.execute_query(_SAVE_MEMBERS, members=members[start : start + 1000])


async def finish_communities(driver: QueryDriver, group_id: str, uuids: Sequence[str]) -> None:
    """Set `project_id = group_id` and `member_count` of communities of the group."""
    await driver.execute_query(_FINISH, group_id=group_id, uuids=list(uuids))


async def update_communities(
    graphiti: Graphiti, group_id: str, nodes: Sequence[EntityNode], owner: Mapping[str, str | None]
) -> int:
    """Bring the communities of these entities of the group up to date; returns how many entities had one near.

    The ids of `owner` that are given are set on them. A community that cannot be updated is logged, and the next one
    is tried.
    """
    from graphiti_core.utils.maintenance.community_operations import update_community

    result = await graphiti.driver.execute_query(
        _REACHED, group_id=group_id, uuids=[node.uuid for node in nodes], routing_="r"
    )
    reached = {record["uuid"] for record in result.records}
    if not reached:
        return 0

    async def update(node: EntityNode) -> None:
        try:
            await update_community(graphiti.driver, graphiti.llm_client, graphiti.embedder, node)
        except Exception:
            log.warning("the community of entity %s could not be updated", node.uuid, exc_info=True)

    jobs = [partial(update, node) for node in nodes if node.uuid in reached]
    await gather_bounded(jobs, graphiti.max_coroutines or DESCRIBED_AT_ONCE)
    given = {key: value for key, value in owner.items() if value and key != "user_id"}
    # graphiti writes a community's node anew and so takes these off it.
    await graphiti.driver.execute_query(_REFINISH, group_id=group_id, uuids=sorted(reached), owner=given)
    return len(reached)
