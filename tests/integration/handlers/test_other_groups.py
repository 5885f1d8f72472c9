"""What a handler is told of another group's nodes changes nothing there."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from workers.handlers.episode_steps import SyncMetadata, UpdateCommunities

_THEIRS = """
CREATE (e:Episodic {uuid: $episode, group_id: $group, content: 'theirs', status: 'Synced', tenant_id: 'theirs'})
CREATE (n:Entity {uuid: $entity, group_id: $group, name: 'Theirs', summary: '', created_at: datetime(),
    tenant_id: 'theirs'})
CREATE (o:Entity {uuid: $other, group_id: $group, name: 'Other', summary: '', created_at: datetime(),
    tenant_id: 'theirs'})
CREATE (c:Community {uuid: $community, group_id: $group, name: 'Community', tenant_id: 'theirs', member_count: 1})
CREATE (e)-[:MENTIONS {group_id: $group}]->(n)
CREATE (c)-[:HAS_MEMBER {group_id: $group}]->(n)
CREATE (n)-[:RELATES_TO {uuid: $fact, group_id: $group, name: 'KNOWS', fact: 'Theirs knows Other',
    episodes: [], created_at: datetime()}]->(o)
"""
_ALL = """
MATCH (n {group_id: $group}) RETURN n.uuid AS uuid, properties(n) AS properties ORDER BY uuid
"""


@pytest.mark.parametrize("step", [SyncMetadata, UpdateCommunities])
async def test_a_step_leaves_nodes_of_another_group_alone(bench: Any, step: Any) -> None:
    group = f"theirs-{uuid4().hex[:8]}"
    ids = {name: str(uuid4()) for name in ("episode", "entity", "other", "community", "fact")}
    await bench.driver.execute_query(_THEIRS, group=group, **ids)
    before = await nodes_of(bench, group)
    payload = {
        "task_id": str(uuid4()),
        "group_id": bench.group_id,
        "tenant_id": "acme",
        "project_id": bench.group_id,
        "user_id": "u1",
        "episode": {"uuid": ids["episode"], "content": "theirs"},
        "entities": [ids["entity"]],
        "facts": [ids["fact"]],
    }
    await step().process(payload, bench.context)
    assert await nodes_of(bench, group) == before
    assert not await bench.database.fetch("SELECT 1 FROM edge_types WHERE project_id = $1", bench.group_id)
    await bench.driver.execute_query("MATCH (n {group_id: $group}) DETACH DELETE n", group=group)


async def nodes_of(bench: Any, group: str) -> list[dict[str, Any]]:
    result = await bench.driver.execute_query(_ALL, group=group)
    return [dict(record) for record in result.records]
